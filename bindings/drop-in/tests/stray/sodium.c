/* Does with a secret what libsodium's memory functions can do with it, for ../../../c/tests/stray/search.c. */

#include "../../../c/tests/stray/subject.h"
#include "preloaded.h"

int sodium_init(void);
void *sodium_malloc(size_t size);
void *sodium_allocarray(size_t count, size_t size);
void sodium_free(void *pointer);
int sodium_mlock(void *address, size_t len);
int sodium_munlock(void *address, size_t len);
int sodium_mprotect_noaccess(void *pointer);
int sodium_mprotect_readonly(void *pointer);
int sodium_mprotect_readwrite(void *pointer);
void sodium_memzero(void *pointer, size_t len);

int main(void)
{
    static unsigned char own[SECRET];
    unsigned char passing[SECRET];
    REQUIRE(is_preloaded() && sodium_init() >= 0);
    unsigned char *one = sodium_malloc(SECRET), *many = sodium_allocarray(16, SECRET);
    REQUIRE(one != NULL && many != NULL);
    fetch(one);
    be_searched("open");
    for (int number = 0; number < 16; number++)
        fetch(many + number * SECRET);
    sodium_mprotect_readonly(one);
    sodium_mprotect_noaccess(one);
    sodium_mprotect_readwrite(one);
    be_searched("open");
    fetch(passing);
    sodium_memzero(passing, SECRET);
    be_searched("open");
    /* A program's own memory, locked for as long as the secret is in it; munlock wipes. */
    REQUIRE(sodium_mlock(own, SECRET) == 0);
    fetch(own);
    be_searched("open");
    REQUIRE(sodium_munlock(own, SECRET) == 0);
    be_searched("open");
    sodium_free(many);
    be_searched("open");
    sodium_free(one);
    be_searched("dropped");
    plant();
    return 0;
}
