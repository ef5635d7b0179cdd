/* The interface in the shape of malloc(3). */

#define _DEFAULT_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strongroom.h>
#include <sys/wait.h>
#include <unistd.h>

#include "require.h"

static int faults;

static void on_fault(strongroom_fault_kind kind, const char *message, void *user_data)
{
    (void)message, (void)user_data;
    faults = (int)kind + 1;
}

/* Runs in a child; whether that was aborted. */
static int aborts(void (*wrong)(void))
{
    pid_t child = fork();
    if (child == 0) {
        fclose(stderr);
        wrong();
        _exit(0);
    }
    int status;
    REQUIRE(waitpid(child, &status, 0) == child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void overflows(void)
{
    char *bytes = (char *)strongroom_malloc(24);
    bytes[24] ^= 0x55;
    strongroom_free(bytes);
}

static void frees_twice(void)
{
    void *bytes = strongroom_malloc(24);
    strongroom_free(bytes);
    strongroom_free(bytes);
}

static void *inherited;

static void frees_what_its_parent_allocated(void)
{
    strongroom_free(inherited);
    void *own = strongroom_malloc(24);
    REQUIRE(own != NULL);
    strongroom_free(own);
}

int main(void)
{
    unsigned char *bytes = (unsigned char *)strongroom_malloc(40);
    REQUIRE(bytes != NULL && (uintptr_t)bytes % 16 == 0 && strongroom_usable_size(bytes) == 40);
    for (int at = 0; at < 40; at++)
        REQUIRE(bytes[at] == 0);
    memset(bytes, 7, 40);
    bytes = (unsigned char *)strongroom_realloc(bytes, 5000);
    REQUIRE(bytes != NULL && bytes[39] == 7 && bytes[40] == 0);
    bytes = (unsigned char *)strongroom_realloc(bytes, 3);
    REQUIRE(bytes != NULL && bytes[2] == 7 && strongroom_usable_size(bytes) == 3);

    void *nothing = strongroom_malloc(0), *more = strongroom_calloc(0, 8);
    REQUIRE(nothing != NULL && more != NULL && nothing != more);
    strongroom_free(nothing);
    strongroom_free(more);
    strongroom_free(NULL);
    REQUIRE(strongroom_usable_size(NULL) == 0 && strongroom_usable_size(&bytes) == 0);

    size_t huge[] = {SIZE_MAX, SIZE_MAX / 2, (size_t)1 << 40};
    for (int number = 0; number < 3; number++) {
        errno = 0;
        REQUIRE(strongroom_malloc(huge[number]) == NULL && errno == ENOMEM);
        REQUIRE(strlen(strongroom_error_message()) > 10);
        errno = 0;
        REQUIRE(strongroom_realloc(bytes, huge[number]) == NULL && errno == ENOMEM && bytes[2] == 7);
    }
    errno = 0;
    REQUIRE(strongroom_calloc(SIZE_MAX / 2, 3) == NULL && errno == ENOMEM);
    inherited = bytes;

    REQUIRE(!aborts(frees_what_its_parent_allocated));
    REQUIRE(aborts(overflows));
    REQUIRE(aborts(frees_twice));
    REQUIRE(strongroom_on_fault(on_fault, NULL) == STRONGROOM_OK);
    overflows();
    REQUIRE(faults == STRONGROOM_FAULT_KIND_CANARY_AFTER + 1);
    int local;
    strongroom_free(&local);
    REQUIRE(faults == STRONGROOM_FAULT_KIND_FOREIGN_FREE + 1);
    errno = 0;
    REQUIRE(strongroom_realloc(&local, 8) == NULL && errno == ENOMEM);
    strongroom_free(bytes);
    REQUIRE(strongroom_malloc_install(NULL) == STRONGROOM_ALREADY_INSTALLED);
    return 0;
}
