/* What a program has that search.c searches. */

#ifndef STRAY_SUBJECT_H
#define STRAY_SUBJECT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SECRET = 64 };

#define REQUIRE(truth)                                                        \
    do {                                                                      \
        if (!(truth)) {                                                       \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #truth); \
            abort();                                                          \
        }                                                                     \
    } while (0)

/* Where the secret comes from: the kernel writes it where it is to be, and nowhere else. */
static void fetch(void *place)
{
    REQUIRE(read(3, place, SECRET) == SECRET);
}

static void be_searched(const char *word)
{
    char byte;
    REQUIRE(write(1, word, strlen(word)) == (ssize_t)strlen(word) && write(1, "\n", 1) == 1);
    REQUIRE(read(0, &byte, 1) == 1);
}

static void plant(void)
{
    void *place = malloc(SECRET);
    REQUIRE(place != NULL);
    fetch(place);
    be_searched("planted");
    free(place);
}

#endif
