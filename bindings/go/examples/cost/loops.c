#define _POSIX_C_SOURCE 200809L
#include "loops.h"
#include <stdlib.h>
#include <time.h>

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static void check(strongroom_status status) {
    if (status != STRONGROOM_OK) abort();
}

static unsigned char secret[32], record[32 + STRONGROOM_RECORD_OVERHEAD];
static size_t record_len;

double loop_seal(strongroom_vault *vault, int rounds) {
    double began = now();
    for (int round = 0; round < rounds; round++)
        check(strongroom_seal(vault, secret, sizeof secret, "x", 1, record, sizeof record, &record_len));
    return (now() - began) / rounds;
}

double loop_open(strongroom_vault *vault, int rounds) {
    double began = now();
    for (int round = 0; round < rounds; round++) {
        strongroom_opened *opened;
        const uint8_t *bytes;
        size_t len;
        check(strongroom_open(vault, record, record_len, "x", 1, 0, &opened));
        check(strongroom_opened_read(opened, &bytes, &len));
        check(strongroom_opened_end(opened));
        check(strongroom_opened_close(&opened));
    }
    return (now() - began) / rounds;
}
