/* libsodium's memory functions as the drop-in has them, called as any program calls them. It is linked to the
 * drop-in itself, so it needs no libsodium. `sodium` runs all that holds anywhere; `sodium WHAT` one thing that
 * takes an environment of its own. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mapped.h"

void *sodium_malloc(size_t size);
void *sodium_allocarray(size_t count, size_t size);
void sodium_free(void *pointer);
int sodium_mlock(void *const first, const size_t len);
int sodium_munlock(void *const first, const size_t len);
int sodium_mprotect_noaccess(void *pointer);
int sodium_mprotect_readonly(void *pointer);
int sodium_mprotect_readwrite(void *pointer);
void sodium_memzero(void *const first, const size_t len);

#define CHECK(condition)                                                                  \
    do {                                                                                  \
        if (!(condition)) {                                                               \
            fprintf(stderr, "%s:%d: %s (errno %d)\n", __FILE__, __LINE__, #condition, errno); \
            abort();                                                                      \
        }                                                                                 \
    } while (0)

static int all_are(const unsigned char *bytes, size_t len, unsigned char value) {
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] != value) return 0;
    }
    return 1;
}

/* ---- what is allocated */

static void allocations(void) {
    static const size_t sizes[] = {1, 16, 31, 64, 1000, 4096, 5000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        unsigned char *bytes = sodium_malloc(sizes[i]);
        CHECK(bytes != NULL);
        CHECK((uintptr_t)bytes % 16 == 0);
        CHECK(all_are(bytes, sizes[i], 0xdb));
        CHECK(is_locked(bytes) && is_locked(bytes + sizes[i] - 1));
        CHECK(is_out_of_dumps(bytes));
        memset(bytes, 1, sizes[i]);
        sodium_free(bytes);
    }
    void *nothing = sodium_malloc(0);
    CHECK(nothing != NULL);
    sodium_free(nothing);
    sodium_free(NULL);

    errno = 0;
    CHECK(sodium_malloc(SIZE_MAX) == NULL && errno == ENOMEM);
    errno = 0;
    CHECK(sodium_malloc(SIZE_MAX / 2) == NULL && errno == ENOMEM);
    errno = 0;
    CHECK(sodium_allocarray(SIZE_MAX / 2, 3) == NULL && errno == ENOMEM);
    errno = 0;
    CHECK(sodium_allocarray(3, SIZE_MAX / 3) == NULL && errno == ENOMEM);
    errno = 0;
    CHECK(sodium_allocarray(SIZE_MAX / 16 + 2, 16) == NULL && errno == ENOMEM);
    unsigned char *array = sodium_allocarray(3, 10);
    CHECK(array != NULL && all_are(array, 30, 0xdb));
    sodium_free(array);
    array = sodium_allocarray(0, SIZE_MAX);
    CHECK(array != NULL);
    sodium_free(array);
}

static void what_is_freed_is_wiped(void) {
    volatile unsigned char *secret = sodium_malloc(64);
    CHECK(secret != NULL);
    memset((void *)secret, 's', 64);
    /* Where the program can still see it: the page is that of others too. */
    void *neighbour = sodium_malloc(64);
    sodium_free((void *)secret);
    for (int i = 0; i < 64; i++) CHECK(secret[i] != 's');
    sodium_free(neighbour);
}

/* ---- at the limit; 64 KiB is what it takes less than */

static void full_is_an_answer(void) {
    static void *held[100000];
    int count = 0;
    errno = 0;
    while (count < 100000 && (held[count] = sodium_malloc(1000)) != NULL) {
        CHECK(is_locked(held[count]));
        count++;
    }
    CHECK(count < 100000 && errno == ENOMEM);
    CHECK(count >= 50);
    CHECK(locked_bytes() <= 64 * 1024);
    sodium_free(held[--count]);
    CHECK((held[count++] = sodium_malloc(1000)) != NULL);
    while (count > 0) sodium_free(held[--count]);
    void *again = sodium_malloc(1000);
    CHECK(again != NULL);
    sodium_free(again);
}

/* ---- damage: each in a child, which has to die of it, and say so */

static void past_the_end(void) {
    unsigned char *bytes = sodium_malloc(20);
    bytes[20] ^= 1;
    sodium_free(bytes);
}

static void before_the_start(void) {
    unsigned char *bytes = sodium_malloc(20);
    bytes[-1] ^= 1;
    sodium_free(bytes);
}

static void twice(void) {
    void *bytes = sodium_malloc(20);
    sodium_free(bytes);
    sodium_free(bytes);
}

static void foreign(void) {
    static char bytes[64];
    sodium_free(bytes + 16);
}

static void inside(void) {
    unsigned char *bytes = sodium_malloc(64);
    sodium_free(bytes + 16);
}

static void aborts(void (*damage)(void), const char *said) {
    int ends[2];
    char text[512] = {0};
    int status;
    CHECK(pipe(ends) == 0);
    const pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        dup2(ends[1], 2);
        damage();
        _exit(0);
    }
    close(ends[1]);
    size_t len = 0;
    ssize_t count;
    while (len < sizeof text - 1 && (count = read(ends[0], text + len, sizeof text - 1 - len)) > 0) {
        len += (size_t)count;
    }
    close(ends[0]);
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    if (strstr(text, said) == NULL) fprintf(stderr, "it said: %s\n", text);
    CHECK(strncmp(text, "strongroom: ", 12) == 0 && strstr(text, said) != NULL);
}

static void damage_ends_the_process(void) {
    aborts(past_the_end, "canary behind a secret overwritten");
    aborts(before_the_start, "canary before a secret overwritten");
    aborts(twice, "released already");
    aborts(foreign, "another library's");
    aborts(inside, "another library's");
}

/* ---- forked children */

static void child_has_what_its_parent_had(unsigned char *secret) {
    CHECK(all_are(secret, 100, 'p'));
    CHECK(is_locked(secret) && is_out_of_dumps(secret));
    memset(secret, 'c', 100);
    unsigned char *own = sodium_malloc(100);
    CHECK(own != NULL && is_locked(own));
    memset(own, 'o', 100);
    sodium_free(secret);
    for (int i = 0; i < 100; i++) CHECK(((volatile unsigned char *)secret)[i] == 0);
    CHECK(all_are(own, 100, 'o'));
    sodium_free(own);
}

static void children(void) {
    unsigned char *secret = sodium_malloc(100);
    int status;
    CHECK(secret != NULL);
    memset(secret, 'p', 100);
    const pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        /* A child's child too. */
        const pid_t grandchild = fork();
        if (grandchild != 0) {
            CHECK(waitpid(grandchild, &status, 0) == grandchild);
            CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        }
        child_has_what_its_parent_had(secret);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(all_are(secret, 100, 'p'));
    CHECK(is_locked(secret));
    sodium_free(secret);
}

/* ---- memory of the program's own */

static void locks_on_memory_of_the_program_s(void) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    unsigned char *pages =
        mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(pages != MAP_FAILED);
    const long before = locked_bytes();
    unsigned char *one = pages + page + 10, *two = pages + page + 200;
    memset(one, '1', 100);
    memset(two, '2', 100);
    CHECK(sodium_mlock(one, 100) == 0);
    CHECK(is_locked(one) && is_out_of_dumps(one));
    CHECK(sodium_mlock(two, 100) == 0);
    CHECK(!is_locked(pages) && !is_locked(pages + 2 * page));

    /* Neighbours on a page: one that goes does not take the other along. */
    CHECK(sodium_munlock(one, 100) == 0);
    CHECK(all_are(one, 100, 0) && all_are(two, 100, '2'));
    CHECK(is_locked(two) && is_out_of_dumps(two));
    CHECK(sodium_munlock(two, 100) == 0);
    CHECK(all_are(two, 100, 0));
    CHECK(!is_locked(two) && !is_out_of_dumps(two));

    /* Locks do not add up. */
    CHECK(sodium_mlock(one, page) == 0 && sodium_mlock(one, page) == 0);
    CHECK(is_locked(pages + page) && is_locked(pages + 2 * page));
    CHECK(sodium_munlock(one, page) == 0);
    CHECK(!is_locked(pages + page) && !is_locked(pages + 2 * page));
    CHECK(locked_bytes() == before);

    /* What cannot be locked is said. */
    errno = 0;
    CHECK(sodium_mlock(one, (size_t)1 << 40) == -1 && errno == ENOMEM);
    errno = 0;
    CHECK(sodium_mlock(one, SIZE_MAX) == -1 && errno == EINVAL);

    /* A child inherits no lock. */
    CHECK(sodium_mlock(one, 100) == 0);
    memset(one, '1', 100);
    int status;
    const pid_t child = fork();
    if (child == 0) {
        CHECK(!is_locked(one) && all_are(one, 100, '1'));
        CHECK(sodium_mlock(two, 100) == 0 && is_locked(two));
        CHECK(sodium_munlock(two, 100) == 0 && !is_locked(two));
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(is_locked(one));
    CHECK(sodium_munlock(one, 100) == 0);

    /* Memory of sodium_malloc's is locked, and stays so. */
    unsigned char *secret = sodium_malloc(50), *other = sodium_malloc(50);
    memset(other, 'x', 50);
    CHECK(sodium_mlock(secret, 50) == 0);
    CHECK(sodium_munlock(secret, 50) == 0);
    CHECK(all_are(secret, 50, 0) && all_are(other, 50, 'x'));
    CHECK(is_locked(secret) && is_out_of_dumps(secret));
    sodium_free(secret);
    sodium_free(other);
    munmap(pages, 3 * page);
}

static void protection(int answer, int why) {
    char *secret = sodium_malloc(32);
    CHECK(secret != NULL);
    int (*const calls[])(void *) = {sodium_mprotect_noaccess, sodium_mprotect_readonly,
                                    sodium_mprotect_readwrite};
    for (int i = 0; i < 3; i++) {
        errno = 0;
        CHECK(calls[i](secret) == answer && errno == why);
        secret[0] = 1;
        errno = 0;
        CHECK(calls[i](secret + 1) == -1 && errno == EINVAL);
        errno = 0;
        CHECK(calls[i](NULL) == -1 && errno == EINVAL);
    }
    sodium_free(secret);
}

static void zeros(void) {
    unsigned char bytes[100];
    memset(bytes, 1, sizeof bytes);
    sodium_memzero(bytes, sizeof bytes - 1);
    CHECK(all_are(bytes, sizeof bytes - 1, 0) && bytes[sizeof bytes - 1] == 1);
    sodium_memzero(bytes, 0);
}

/* ---- threads, and children forked by them meanwhile */

static int rounds = 2000;

static void one_round(unsigned seed) {
    const size_t len = 1 + seed * 7919u % 300;
    unsigned char *bytes = sodium_malloc(len);
    if (bytes == NULL) {
        CHECK(errno == ENOMEM);
        return;
    }
    memset(bytes, (int)(seed & 0xff), len);
    if (seed % 5 == 0) sched_yield();
    CHECK(all_are(bytes, len, (unsigned char)seed));
    sodium_free(bytes);
}

static void *works(void *number) {
    for (unsigned i = 0; i < (unsigned)rounds; i++) one_round(i * 31 + (unsigned)(uintptr_t)number);
    return NULL;
}

static void *forks(void *number) {
    for (int i = 0; i < rounds / 50; i++) {
        unsigned char *secret = sodium_malloc(40);
        int status;
        if (secret != NULL) memset(secret, 'k', 40);
        const pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            unsigned char own[16] = {1};
            alarm(20);
            if (secret != NULL) CHECK(all_are(secret, 40, 'k'));
            for (unsigned seed = 0; seed < 20; seed++) one_round(seed);
            CHECK(sodium_mlock(own, sizeof own) == 0 || errno == ENOMEM);
            CHECK(sodium_munlock(own, sizeof own) == 0);
            sodium_free(secret);
            _exit(0);
        }
        CHECK(waitpid(child, &status, 0) == child);
        if (!WIFEXITED(status)) fprintf(stderr, "the child ended by signal %d\n", WTERMSIG(status));
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        sodium_free(secret);
    }
    return number;
}

static void *locks(void *number) {
    unsigned char *page = aligned_alloc(4096, 4096);
    for (int i = 0; i < rounds; i++) {
        unsigned char *mine = page + i % 40 * 100;
        if (sodium_mlock(mine, 50) == 0) {
            CHECK(is_locked(mine) || i % 50 != 0);
            CHECK(sodium_munlock(mine, 50) == 0);
        }
    }
    free(page);
    return number;
}

static void threads(void) {
    pthread_t all[8];
    for (uintptr_t i = 0; i < 8; i++) {
        void *(*const job)(void *) = i < 5 ? works : i < 7 ? forks : locks;
        CHECK(pthread_create(&all[i], NULL, job, (void *)i) == 0);
    }
    for (int i = 0; i < 8; i++) CHECK(pthread_join(all[i], NULL) == 0);
}

/* ---- the process's end: handlers of the program's have their keys */

static unsigned char *last_words;

static void at_the_end(void) {
    CHECK(all_are(last_words, 32, 'e'));
    sodium_free(last_words);
    void *more = sodium_malloc(32);
    CHECK(more != NULL);
    sodium_free(more);
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "refuses-protection") == 0) {
        protection(-1, ENOSYS);
        return 0;
    }
    /* No byte may be locked. */
    if (strcmp(what, "refuses") == 0) {
        errno = 0;
        CHECK(sodium_malloc(32) == NULL && errno == ENOMEM);
        return 0;
    }
    /* A child that may lock less than its parent: it goes on, and says so if it was asked to. */
    if (strcmp(what, "child-locks-less") == 0) {
        const struct rlimit nothing = {0, 0};
        unsigned char *secret = sodium_malloc(32);
        int status;
        CHECK(secret != NULL && setrlimit(RLIMIT_MEMLOCK, &nothing) == 0);
        const pid_t child = fork();
        if (child == 0) _exit(all_are(secret, 32, 0xdb) && !is_locked(secret) ? 0 : 1);
        CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
        sodium_free(secret);
        return 0;
    }
    if (strcmp(what, "is-unlocked") == 0) {
        void *secret = sodium_malloc(32);
        CHECK(secret != NULL && !is_locked(secret) && is_out_of_dumps(secret));
        sodium_free(secret);
        return 0;
    }
    if (strcmp(what, "fills") == 0) {
        full_is_an_answer();
        return 0;
    }
    if (strcmp(what, "threads") == 0) {
        rounds = argc > 2 ? atoi(argv[2]) : rounds;
        threads();
        return 0;
    }
    CHECK(atexit(at_the_end) == 0);
    last_words = sodium_malloc(32);
    CHECK(last_words != NULL);
    memset(last_words, 'e', 32);
    allocations();
    what_is_freed_is_wiped();
    damage_ends_the_process();
    children();
    locks_on_memory_of_the_program_s();
    protection(0, 0);
    zeros();
    return 0;
}
