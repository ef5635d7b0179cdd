/* A program of libsodium's that has many secrets at once: `buffers [COUNT]`. It knows nothing of strongroom.
 * It says how many it has, and, of the kernel, how many of them are locked; it fails if not all are. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mapped.h"

int sodium_init(void);
void *sodium_malloc(size_t size);
void sodium_free(void *pointer);

int main(int argc, char **argv) {
    const int count = argc > 1 ? atoi(argv[1]) : 500;
    unsigned char **secrets = calloc((size_t)count, sizeof *secrets);
    int has = 0, locked = 0, intact = 0;
    if (secrets == NULL || sodium_init() < 0) return 2;
    for (int i = 0; i < count; i++) {
        secrets[i] = sodium_malloc(64);
        if (secrets[i] == NULL) break;
        memset(secrets[i], i & 0xff, 64);
        has++;
    }
    for (int i = 0; i < has; i++) {
        locked += is_locked(secrets[i]);
        intact += secrets[i][0] == (i & 0xff) && secrets[i][63] == (i & 0xff);
    }
    printf("%d of %d buffers of 64 bytes, %d of them locked (VmLck %ld KiB)\n", has, count, locked,
           locked_bytes() / 1024);
    for (int i = 0; i < has; i++) sodium_free(secrets[i]);
    free(secrets);
    return locked == count && intact == count ? 0 : 1;
}
