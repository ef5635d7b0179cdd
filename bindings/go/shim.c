#include "shim.h"
#include "_cgo_export.h"

static void wake(void *user_data) {
    strongroomGoWake((uintptr_t)user_data);
}

static void release(void *user_data) {
    strongroomGoRelease((uintptr_t)user_data);
}

strongroom_waker strongroom_go_waker(uintptr_t number) {
    strongroom_waker waker = {wake, release, (void *)number};
    return waker;
}

static void visit(const void *name, size_t len, uint32_t version, void *user_data) {
    (void)version;
    strongroomGoName((void *)name, len, (uintptr_t)user_data);
}

enum strongroom_status strongroom_go_names(const strongroom_store *store, uintptr_t number) {
    return strongroom_store_for_each_name(store, visit, (void *)number);
}

enum strongroom_status strongroom_go_open(const strongroom_vault *vault, const void *record, size_t record_len,
                                          const void *context, size_t context_len, strongroom_go_shown *shown) {
    enum strongroom_status status =
        strongroom_open(vault, record, record_len, context, context_len, 0, &shown->opened);
    if (status != STRONGROOM_OK) return status;
    status = strongroom_opened_read(shown->opened, &shown->bytes, &shown->len);
    if (status == STRONGROOM_OK) return status;
    // It failed, and why is kept: closing succeeds, or is that failure's matter.
    enum strongroom_status closed = strongroom_opened_close(&shown->opened);
    return closed == STRONGROOM_OK ? status : closed;
}

enum strongroom_status strongroom_go_close(strongroom_go_shown *shown) {
    enum strongroom_status status = strongroom_opened_end(shown->opened);
    if (status != STRONGROOM_OK) return status;
    return strongroom_opened_close(&shown->opened);
}
