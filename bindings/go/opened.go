package strongroom

// #include <strongroom.h>
//
// #cgo noescape strongroom_opened_len
// #cgo nocallback strongroom_opened_len
// #cgo noescape strongroom_opened_version
// #cgo nocallback strongroom_opened_version
// #cgo noescape strongroom_opened_windows
// #cgo nocallback strongroom_opened_windows
// #cgo noescape strongroom_opened_read
// #cgo nocallback strongroom_opened_read
// #cgo noescape strongroom_opened_write
// #cgo nocallback strongroom_opened_write
// #cgo noescape strongroom_opened_end
// #cgo nocallback strongroom_opened_end
// #cgo noescape strongroom_opened_equals
// #cgo nocallback strongroom_opened_equals
// #cgo nocallback strongroom_opened_fill_random
// #cgo noescape strongroom_opened_seal
// #cgo nocallback strongroom_opened_seal
import "C"

import (
	"runtime"
	"unsafe"
)

// An Opened is an open secret, in locked memory between canaries. Close it as soon as it was used.
type Opened struct{ held[*C.strongroom_opened] }

func newOpened(handle *C.strongroom_opened) *Opened {
	o := new(Opened)
	hold(o, &o.held, "the secret", handle, dropOpened)
	return o
}

func openedOf(handles []*C.strongroom_opened) []*Opened {
	opened := make([]*Opened, len(handles))
	for i, handle := range handles {
		opened[i] = newOpened(handle)
	}
	return opened
}

func one(opened []*Opened, err error) (*Opened, error) {
	if err != nil {
		return nil, err
	}
	return opened[0], nil
}

// dropOpened closes what nobody can use any more, whatever was exposed of it.
func dropOpened(handle *C.strongroom_opened) {
	for C.strongroom_opened_close(&handle) == C.STRONGROOM_EXPOSED {
		if C.strongroom_opened_end(handle) != C.STRONGROOM_OK {
			return
		}
	}
}

// Use calls f with the secret's bytes, which lie in locked memory and are to be read only; several may read at
// once. They must not be used after f has returned: copy what must stay, knowing that the copy is yours to wipe.
//
// The goroutine stays on its thread meanwhile, as with runtime.LockOSThread: f should not wait long. In a
// program that is built with GOEXPERIMENT=runtimesecret, f runs within secret.Do, which wipes what f leaves in
// registers, on the stack and on the heap.
func (o *Opened) Use(f func(secret []byte)) error {
	return o.exposed(f, func(opened *C.strongroom_opened, to **C.uint8_t, len *C.size_t) C.enum_strongroom_status {
		return C.strongroom_opened_read(opened, to, len)
	})
}

func (o *Opened) useAndClose(f func(secret []byte)) error {
	// In a defer, for an f that panics.
	defer o.Close()
	if err := o.Use(f); err != nil {
		return err
	}
	return o.Close()
}

// Change calls f as Use does, with bytes that it may write. ErrExposed if somebody uses the secret, ErrShared
// if it was opened from a store for all who ask.
func (o *Opened) Change(f func(secret []byte)) error {
	return o.exposed(f, func(opened *C.strongroom_opened, to **C.uint8_t, len *C.size_t) C.enum_strongroom_status {
		return C.strongroom_opened_write(opened, to, len)
	})
}

type expose func(*C.strongroom_opened, **C.uint8_t, *C.size_t) C.enum_strongroom_status

func (o *Opened) exposed(f func([]byte), expose expose) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	secret, err := o.begin(expose)
	if err != nil {
		return err
	}
	// In a defer, for an f that panics or ends the goroutine.
	defer o.Conceal()
	within(func() { f(secret) })
	return nil
}

func (o *Opened) begin(expose expose) ([]byte, error) {
	var bytes *C.uint8_t
	var len C.size_t
	err := o.use(func(opened *C.strongroom_opened) C.enum_strongroom_status { return expose(opened, &bytes, &len) })
	if err != nil {
		return nil, err
	}
	return unsafe.Slice((*byte)(bytes), int(len)), nil
}

// Expose shows the secret's bytes, to be read and written by the caller alone, until Conceal: for those who
// cannot use a closure. Use and Change are better, because nothing here keeps the bytes from being used later.
// The caller keeps o reachable as long. ErrWindowsRefused if the vault has windows, which end with a closure.
func (o *Opened) Expose() ([]byte, error) {
	var windows C.uint32_t
	err := o.use(func(opened *C.strongroom_opened) C.enum_strongroom_status {
		return C.strongroom_opened_windows(opened, &windows)
	})
	if err != nil {
		return nil, err
	}
	if windows != C.STRONGROOM_WINDOWS_NONE {
		return nil, &Error{Status: ErrWindowsRefused, Message: "the vault has windows, and who keeps the bytes of " +
			"this secret would have its memory open for as long: give Use or Change a function, or make the vault " +
			"with NoWindows"}
	}
	return o.begin(func(opened *C.strongroom_opened, to **C.uint8_t, len *C.size_t) C.enum_strongroom_status {
		return C.strongroom_opened_write(opened, to, len)
	})
}

// Conceal ends what Expose began.
func (o *Opened) Conceal() error {
	return o.use(func(opened *C.strongroom_opened) C.enum_strongroom_status { return C.strongroom_opened_end(opened) })
}

// Len is the secret's length in bytes.
func (o *Opened) Len() (int, error) {
	var len C.size_t
	err := o.use(func(opened *C.strongroom_opened) C.enum_strongroom_status {
		return C.strongroom_opened_len(opened, &len)
	})
	return int(len), err
}

// Version is which version of its name's secret it is; 0 if it was not opened by Store.Open.
func (o *Opened) Version() (uint32, error) {
	var version C.uint32_t
	err := o.use(func(opened *C.strongroom_opened) C.enum_strongroom_status {
		return C.strongroom_opened_version(opened, &version)
	})
	return uint32(version), err
}

// Equal reports whether the secret equals other, in a time that depends on the lengths alone.
func (o *Opened) Equal(other []byte) (bool, error) {
	var equal C.bool
	err := o.use(func(opened *C.strongroom_opened) C.enum_strongroom_status {
		return C.strongroom_opened_equals(opened, first(other), length(other), &equal)
	})
	return bool(equal), err
}

// Random fills the secret with random bytes, from the vault's generator: a new key.
func (o *Opened) Random() error {
	return o.use(func(opened *C.strongroom_opened) C.enum_strongroom_status {
		return C.strongroom_opened_fill_random(opened)
	})
}

// Seal seals the secret from where it is open, as Vault.Seal does. It stays open.
func (o *Opened) Seal(purpose string) (Sealed, error) {
	len, err := o.Len()
	if err != nil {
		return nil, err
	}
	record := make(Sealed, len+Overhead)
	var taken C.size_t
	err = o.use(func(opened *C.strongroom_opened) C.enum_strongroom_status {
		return C.strongroom_opened_seal(opened, letters(purpose), length(purpose),
			first(record), length(record), &taken)
	})
	if err != nil {
		return nil, err
	}
	return record[:taken], nil
}

// Close wipes the secret and makes room for those who wait; closing again does nothing. ErrDamaged if something
// wrote past an end of it; it is closed all the same. ErrExposed if somebody uses it: it is then as it was.
func (o *Opened) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.handle == nil {
		return nil
	}
	err := call(func() C.enum_strongroom_status { return C.strongroom_opened_close(&o.handle) })
	if o.handle == nil {
		o.cleanup.Stop()
	}
	return err
}
