package strongroom

// #include <strongroom.h>
import "C"

import (
	"runtime"
	"sync"
)

// A held is a handle of the library's: used by many, taken back by one, when no other uses it.
type held[H comparable] struct {
	what    string
	mu      sync.RWMutex
	handle  H
	cleanup runtime.Cleanup
}

// hold has the handle freed when its holder is unreachable: a net, for what was not closed.
func hold[T any, H comparable](holder *T, h *held[H], what string, handle H, free func(H)) {
	h.what, h.handle = what, handle
	h.cleanup = runtime.AddCleanup(holder, free, handle)
}

// use calls the library with the handle, which nobody takes back meanwhile.
func (h *held[H]) use(f func(H) C.enum_strongroom_status) error {
	var none H
	h.mu.RLock()
	defer h.mu.RUnlock()
	if h.handle == none {
		return closed(h.what)
	}
	return call(func() C.enum_strongroom_status { return f(h.handle) })
}

// useWithFew is use for what thousands may ask for at one moment. The runtime starts a thread for each call that is
// interrupted on a busy machine, so that few call at a time; the others wait without one. Who calls it has not locked
// its thread.
func (h *held[H]) useWithFew(f func(H) C.enum_strongroom_status) error {
	enter()
	defer leave()
	return h.use(f)
}

func enter() { calling <- struct{}{} }

func leave() { <-calling }

var calling = make(chan struct{}, 16)

// alone is use for what one goroutine may use at a time.
func (h *held[H]) alone(f func(H) C.enum_strongroom_status) error {
	var none H
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.handle == none {
		return closed(h.what)
	}
	return call(func() C.enum_strongroom_status { return f(h.handle) })
}

// close takes the handle back; closing again does nothing.
func (h *held[H]) close(free func(H)) {
	var none H
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.handle != none {
		h.cleanup.Stop()
		free(h.handle)
		h.handle = none
	}
}
