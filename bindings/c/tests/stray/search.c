/* Starts a program with a secret that only this one knows, and searches all of its memory for that, from outside.
 *
 *     search PROGRAM [ARGUMENT...]
 *
 * The program reads the secret's 64 bytes from descriptor 3, as often as it needs them. It writes a word to its
 * standard output when it is to be searched, and reads a byte from its standard input when it may go on:
 *
 *     open       the secret is open: it must be found, and in locked memory alone
 *     dropped    it must not be found: no eight bytes of it
 *     planted    it must be found, or the search is worth nothing
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SECRET = 64, WINDOW = 8, WINDOWS = SECRET - WINDOW + 1, PIECE = 1 << 20, COPIES = 64 };

static unsigned char secret[SECRET];
/* The first two bytes that a window can have: most memory is passed over by these alone. */
static bool starts[1 << 16];

static void require(bool truth, const char *what)
{
    if (!truth) {
        fprintf(stderr, "search: %s\n", what);
        exit(1);
    }
}

static size_t start(const unsigned char *bytes)
{
    return (size_t)bytes[0] << 8 | bytes[1];
}

static size_t found_in(const unsigned char *bytes, size_t len)
{
    size_t found = 0;
    for (size_t at = 0; at + WINDOW <= len; at++) {
        if (!starts[start(bytes + at)])
            continue;
        for (size_t window = 0; window < WINDOWS; window++)
            found += memcmp(bytes + at, secret + window, WINDOW) == 0;
    }
    return found;
}

struct found {
    size_t locked, elsewhere;
};

/* Searches the mappings that can be read, and says where else than in locked memory something is. Which are
 * locked stands after each, among its flags. */
static struct found search(pid_t id, bool say)
{
    static unsigned char piece[PIECE];
    char path[64], line[512], rights[8] = "";
    uint64_t from, to;
    size_t here = 0;
    struct found found = {0, 0};
    snprintf(path, sizeof path, "/proc/%d/mem", (int)id);
    int memory = open(path, O_RDONLY);
    snprintf(path, sizeof path, "/proc/%d/smaps", (int)id);
    FILE *maps = fopen(path, "r");
    require(memory >= 0 && maps != NULL, "the program's memory cannot be read");
    char where[512] = "";
    while (fgets(line, sizeof line, maps) != NULL) {
        if (strncmp(line, "VmFlags:", 8) == 0) {
            bool is_locked = strstr(line, " lo") != NULL;
            *(is_locked ? &found.locked : &found.elsewhere) += here;
            if (say && here > 0 && !is_locked)
                fprintf(stderr, "found %zu times in %s", here, where);
            here = 0;
        } else if (sscanf(line, "%lx-%lx %7s", &from, &to, rights) == 3 && rights[0] == 'r') {
            memcpy(where, line, sizeof where);
            for (uint64_t at = from; at < to; at += PIECE - WINDOW) {
                size_t most = to - at < PIECE ? to - at : PIECE;
                ssize_t count = pread(memory, piece, most, (off_t)at);
                here += count > 0 ? found_in(piece, (size_t)count) : 0;
            }
        }
    }
    fclose(maps);
    close(memory);
    return found;
}

int main(int count, char **words)
{
    require(count > 1, "which program?");
    require(getrandom(secret, SECRET, 0) == SECRET, "no random bytes");
    for (size_t window = 0; window < WINDOWS; window++)
        starts[start(secret + window)] = true;

    int given[2], asked[2], said[2];
    require(pipe(given) == 0 && pipe(asked) == 0 && pipe(said) == 0, "no pipes");
    for (int copy = 0; copy < COPIES; copy++)
        require(write(given[1], secret, SECRET) == SECRET, "the pipe is full");
    /* What is executed has nothing of this memory. */
    pid_t child = vfork();
    if (child == 0) {
        dup2(asked[0], 0);
        dup2(said[1], 1);
        dup2(given[0], 3);
        close(asked[1]);
        close(said[0]);
        execvp(words[1], words + 1);
        _exit(127);
    }
    close(asked[0]);
    close(said[1]);
    FILE *from = fdopen(said[0], "r");
    char word[32];
    bool was_dropped = false, was_planted = false;
    while (fscanf(from, "%31s", word) == 1) {
        struct found found = search(child, strcmp(word, "planted") != 0);
        if (strcmp(word, "open") == 0) {
            require(found.locked > 0, "what is open is not found");
            require(found.elsewhere == 0, "what is open is found in memory that is not locked");
        } else if (strcmp(word, "dropped") == 0) {
            require(found.locked == 0, "what was dropped is found in locked memory");
            require(found.elsewhere == 0, "what was dropped is found");
            was_dropped = true;
        } else if (strcmp(word, "planted") == 0) {
            require(found.elsewhere > 0, "a copy that was planted is not found");
            was_planted = true;
        } else {
            require(false, "the program says what this one does not know");
        }
        require(write(asked[1], "", 1) == 1, "the program is gone");
    }
    int status = 0;
    require(waitpid(child, &status, 0) == child && status == 0, "the program failed");
    require(was_dropped && was_planted, "the program did not say all of it");
    return 0;
}
