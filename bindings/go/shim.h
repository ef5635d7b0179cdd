// What is easier said in C: callbacks as numbers that Go knows, and two calls in one.

#ifndef STRONGROOM_GO_SHIM_H
#define STRONGROOM_GO_SHIM_H

#include <strongroom.h>

// See waiting.go.
strongroom_waker strongroom_go_waker(uintptr_t number);

// See store.go.
enum strongroom_status strongroom_go_names(const strongroom_store *store, uintptr_t number);

// A secret that is open and exposed to be read.
typedef struct strongroom_go_shown {
    strongroom_opened *opened;
    const uint8_t *bytes;
    size_t len;
} strongroom_go_shown;

// strongroom_open, without waiting, and strongroom_opened_read.
enum strongroom_status strongroom_go_open(const strongroom_vault *vault, const void *record, size_t record_len,
                                          const void *context, size_t context_len, strongroom_go_shown *shown);

// strongroom_opened_end and strongroom_opened_close.
enum strongroom_status strongroom_go_close(strongroom_go_shown *shown);

#endif
