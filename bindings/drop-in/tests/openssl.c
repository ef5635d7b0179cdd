/* OpenSSL's secure heap as the drop-in has it, called as any program calls it, and by libcrypto itself: the
 * program is linked to libcrypto, and started with the drop-in before it. */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mapped.h"

int CRYPTO_secure_malloc_init(size_t size, size_t smallest);
int CRYPTO_secure_malloc_done(void);
int CRYPTO_secure_malloc_initialized(void);
void *CRYPTO_secure_malloc(size_t size, const char *file, int line);
void *CRYPTO_secure_zalloc(size_t size, const char *file, int line);
void CRYPTO_secure_free(void *pointer, const char *file, int line);
void CRYPTO_secure_clear_free(void *pointer, size_t size, const char *file, int line);
int CRYPTO_secure_allocated(const void *pointer);
size_t CRYPTO_secure_used(void);
size_t CRYPTO_secure_actual_size(void *pointer);
void *CRYPTO_malloc(size_t size, const char *file, int line);

typedef struct evp_pkey_st EVP_PKEY;
EVP_PKEY *EVP_PKEY_Q_keygen(void *context, const char *properties, const char *type, ...);
void EVP_PKEY_free(EVP_PKEY *key);
typedef struct bignum_st BIGNUM;
BIGNUM *BN_secure_new(void);
int BN_set_word(BIGNUM *number, unsigned long word);
void BN_clear_free(BIGNUM *number);

#define HERE __FILE__, __LINE__
#define CHECK(condition)                                                          \
    do {                                                                          \
        if (!(condition)) {                                                       \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);       \
            abort();                                                              \
        }                                                                         \
    } while (0)

static void libcrypto_itself(void) {
    const size_t before = CRYPTO_secure_used();
    /* A private key of these lies in the secure heap. */
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
    CHECK(key != NULL);
    CHECK(CRYPTO_secure_used() >= before + 32);
    EVP_PKEY_free(key);
    CHECK(CRYPTO_secure_used() <= before + 4096);
    const size_t without = CRYPTO_secure_used();
    BIGNUM *number = BN_secure_new();
    CHECK(number != NULL && BN_set_word(number, 7));
    CHECK(CRYPTO_secure_used() > without);
    BN_clear_free(number);
    CHECK(CRYPTO_secure_used() == without);
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "always") == 0) {
        libcrypto_itself();
        return 0;
    }
    if (argc > 1 && strcmp(argv[1], "refused") == 0) {
        CHECK(CRYPTO_secure_malloc_init(1 << 15, 16) == 0);
        CHECK(!CRYPTO_secure_malloc_initialized());
        /* Whoever did not look at the answer gets no ordinary memory instead. */
        CHECK(CRYPTO_secure_malloc(10, HERE) == NULL);
        return 0;
    }
    if (argc > 1 && strcmp(argv[1], "unlocked") == 0) {
        CHECK(CRYPTO_secure_malloc_init(1 << 15, 16) == 2);
        return 0;
    }

    /* Before a program asks for a secure heap, it is ordinary memory. */
    CHECK(!CRYPTO_secure_malloc_initialized());
    char *memory = CRYPTO_secure_zalloc(100, HERE);
    CHECK(memory != NULL && memory[0] == 0 && memory[99] == 0);
    CHECK(!is_locked(memory) && !CRYPTO_secure_allocated(memory) && CRYPTO_secure_used() == 0);
    CRYPTO_secure_clear_free(memory, 100, HERE);
    char *early = CRYPTO_secure_malloc(100, HERE);

    CHECK(CRYPTO_secure_malloc_init(1 << 15, 16) == 1);
    CHECK(CRYPTO_secure_malloc_initialized());
    CHECK(CRYPTO_secure_malloc_init(1 << 15, 16) == 0);
    CRYPTO_secure_free(early, HERE);

    memory = CRYPTO_secure_zalloc(100, HERE);
    CHECK(memory != NULL && is_locked(memory) && is_out_of_dumps(memory));
    for (int i = 0; i < 100; i++) CHECK(memory[i] == 0);
    memset(memory, 'k', 100);
    CHECK(CRYPTO_secure_used() == 100 && CRYPTO_secure_actual_size(memory) == 100);
    CHECK(CRYPTO_secure_allocated(memory) && CRYPTO_secure_allocated(memory + 50));
    CHECK(!CRYPTO_secure_allocated(memory + 100) && !CRYPTO_secure_allocated(NULL));
    CHECK(CRYPTO_secure_malloc_done() == 0);
    char *other = CRYPTO_secure_malloc(100, HERE);
    CRYPTO_secure_free(memory, HERE);
    for (int i = 0; i < 100; i++) CHECK(((volatile char *)memory)[i] != 'k');
    CRYPTO_secure_clear_free(other, 100, HERE);
    CRYPTO_secure_free(NULL, HERE);
    CRYPTO_secure_clear_free(NULL, 10, HERE);
    CRYPTO_secure_free(CRYPTO_malloc(10, HERE), HERE);
    CHECK(CRYPTO_secure_used() == 0);

    libcrypto_itself();

    /* More than OpenSSL's heap of that size has room for, and full is an answer. */
    static void *held[100000];
    int count = 0;
    const size_t before = CRYPTO_secure_used();
    while (count < 100000 && (held[count] = CRYPTO_secure_malloc(100, HERE)) != NULL) {
        CHECK(is_locked(held[count]) || count % 50 != 0);
        count++;
    }
    CHECK(count >= 450 && count < 100000);
    while (count > 0) CRYPTO_secure_free(held[--count], HERE);
    CHECK(CRYPTO_secure_used() == before);

    memory = CRYPTO_secure_malloc(20, HERE);
    int status;
    const pid_t child = fork();
    if (child == 0) {
        close(2);
        char *own = CRYPTO_secure_malloc(20, HERE);
        own[20] ^= 1;
        CRYPTO_secure_free(own, HERE);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    CRYPTO_secure_free(memory, HERE);
    return 0;
}
