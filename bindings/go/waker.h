// A callback of the library's as a number that Go knows: see waiting.go.

#ifndef STRONGROOM_GO_WAKER_H
#define STRONGROOM_GO_WAKER_H

#include <strongroom.h>

strongroom_waker strongroom_go_waker(uintptr_t number);

enum strongroom_status strongroom_go_names(const strongroom_store *store, uintptr_t number);

#endif
