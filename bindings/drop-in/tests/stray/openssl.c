/* Does with a secret what OpenSSL's secure heap can do with it, for ../../../c/tests/stray/search.c. */

#include "../../../c/tests/stray/subject.h"
#include "preloaded.h"

int CRYPTO_secure_malloc_init(size_t size, size_t least);
void *CRYPTO_secure_malloc(size_t size, const char *file, int line);
void *CRYPTO_secure_zalloc(size_t size, const char *file, int line);
void CRYPTO_secure_free(void *pointer, const char *file, int line);
void CRYPTO_secure_clear_free(void *pointer, size_t size, const char *file, int line);
size_t CRYPTO_secure_actual_size(void *pointer);

int main(void)
{
    REQUIRE(is_preloaded());
    REQUIRE(CRYPTO_secure_malloc_init(32768, 32) != 0);
    unsigned char *one = CRYPTO_secure_malloc(SECRET, __FILE__, __LINE__);
    unsigned char *two = CRYPTO_secure_zalloc(2 * SECRET, __FILE__, __LINE__);
    REQUIRE(one != NULL && two != NULL && CRYPTO_secure_actual_size(one) >= SECRET);
    fetch(one);
    be_searched("open");
    fetch(two);
    fetch(two + SECRET);
    be_searched("open");
    CRYPTO_secure_clear_free(two, 2 * SECRET, __FILE__, __LINE__);
    be_searched("open");
    CRYPTO_secure_free(one, __FILE__, __LINE__);
    be_searched("dropped");
    plant();
    return 0;
}
