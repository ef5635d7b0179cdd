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
