#include "waker.h"
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
