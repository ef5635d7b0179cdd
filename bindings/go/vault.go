package strongroom

// #include <stdlib.h>
// #include "shim.h"
//
// #cgo noescape strongroom_seal
// #cgo nocallback strongroom_seal
// #cgo noescape strongroom_seal_and_wipe
// #cgo nocallback strongroom_seal_and_wipe
// #cgo noescape strongroom_fill_random
// #cgo nocallback strongroom_fill_random
import "C"

import (
	"context"
	"fmt"
	"runtime"
	"unsafe"
)

// A Vault seals secrets into records, and opens records in locked memory, under a budget. It may be used by
// many goroutines at once.
type Vault struct{ held[*C.strongroom_vault] }

// A Sealed is the record of a secret, which may lie anywhere: it is encrypted, and only the vault that made it
// opens it.
type Sealed []byte

// Overhead is by how many bytes a record is longer than its secret.
const Overhead = C.STRONGROOM_RECORD_OVERHEAD

// SecretLen is the secret's length in bytes.
func (s Sealed) SecretLen() int { return max(len(s)-Overhead, 0) }

// New makes a vault and locks its memory. Close it when it is not used any more.
//
// It fails with ErrNotLocked if the process may not lock so much; the message says what to change.
func New(options Options) (*Vault, error) {
	var handle *C.strongroom_vault
	err := options.with(func(options *C.strongroom_options) C.enum_strongroom_status {
		return C.strongroom_vault_build(options, &handle)
	})
	if err != nil {
		return nil, err
	}
	return newVault(handle), nil
}

func newVault(handle *C.strongroom_vault) *Vault {
	v := new(Vault)
	hold(v, &v.held, "the vault", handle, freeVault)
	return v
}

func freeVault(handle *C.strongroom_vault) { C.strongroom_vault_free(&handle) }

// Close gives the vault back. Its memory goes with the last of its open secrets, streams, stores and reserves;
// what it sealed is unreadable for good.
func (v *Vault) Close() { v.close(freeVault) }

// Reserve is a vault for those who may use the reserve of that name too, which Options.Reserves have named:
// they use the common memory while there is room and nobody waits for it, and the reserve when not.
func (v *Vault) Reserve(name string) (*Vault, error) {
	text := C.CString(name)
	defer C.free(unsafe.Pointer(text))
	var handle *C.strongroom_vault
	err := v.use(func(vault *C.strongroom_vault) C.enum_strongroom_status {
		return C.strongroom_vault_reserve(vault, text, &handle)
	})
	if err != nil {
		return nil, err
	}
	return newVault(handle), nil
}

// Seal seals a secret. The purpose says what it is for ("db/password"): opening takes the same again.
func (v *Vault) Seal(secret []byte, purpose string) (Sealed, error) {
	return v.seal(len(secret), func(vault *C.strongroom_vault, record []byte, len *C.size_t) C.enum_strongroom_status {
		return C.strongroom_seal(vault, first(secret), length(secret), letters(purpose), length(purpose),
			first(record), length(record), len)
	})
}

// SealAndWipe seals a secret, and wipes it where it was. After a failure it is as it was.
func (v *Vault) SealAndWipe(secret []byte, purpose string) (Sealed, error) {
	return v.seal(len(secret), func(vault *C.strongroom_vault, record []byte, len *C.size_t) C.enum_strongroom_status {
		return C.strongroom_seal_and_wipe(vault, first(secret), length(secret), letters(purpose), length(purpose),
			first(record), length(record), len)
	})
}

func (v *Vault) seal(
	len int, f func(*C.strongroom_vault, []byte, *C.size_t) C.enum_strongroom_status,
) (Sealed, error) {
	record := make(Sealed, len+Overhead)
	var taken C.size_t
	err := v.use(func(vault *C.strongroom_vault) C.enum_strongroom_status { return f(vault, record, &taken) })
	if err != nil {
		return nil, err
	}
	return record[:taken], nil
}

// Use opens a record, calls f with the secret as [Opened.Use] does, and closes it. It waits for room as Open
// does.
func (v *Vault) Use(ctx context.Context, sealed Sealed, purpose string, f func(secret []byte)) error {
	if ctx.Err() == nil {
		if used, err := v.tryUse(sealed, purpose, f); used || err != nil {
			return err
		}
	}
	opened, err := v.Open(ctx, sealed, purpose)
	if err != nil {
		return err
	}
	return opened.useAndClose(f)
}

// tryUse is Use where there is room now, with two calls through the border instead of four; else nothing.
func (v *Vault) tryUse(sealed Sealed, purpose string, f func(secret []byte)) (used bool, err error) {
	enter()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var shown C.strongroom_go_shown
	full := false
	err = v.use(func(vault *C.strongroom_vault) C.enum_strongroom_status {
		status := C.strongroom_go_open(vault, first(sealed), length(sealed), letters(purpose), length(purpose), &shown)
		if full = status == C.STRONGROOM_FULL; full {
			return C.STRONGROOM_OK
		}
		return status
	})
	leave()
	if full || err != nil {
		return false, err
	}
	// In a defer, for an f that panics or ends the goroutine.
	defer func() {
		err = call(func() C.enum_strongroom_status { return C.strongroom_go_close(&shown) })
	}()
	within(func() { f(unsafe.Slice((*byte)(shown.bytes), int(shown.len))) })
	return true, nil
}

// TryOpen opens a record, or fails with ErrFull if there is no room now.
func (v *Vault) TryOpen(sealed Sealed, purpose string) (*Opened, error) {
	var handle *C.strongroom_opened
	err := v.use(func(vault *C.strongroom_vault) C.enum_strongroom_status {
		return C.strongroom_open(vault, first(sealed), length(sealed), letters(purpose), length(purpose), 0, &handle)
	})
	if err != nil {
		return nil, err
	}
	return newOpened(handle), nil
}

// TryAllocate is room for a new secret of so many bytes, all zero, or ErrFull if there is none now.
func (v *Vault) TryAllocate(size int) (*Opened, error) {
	if size < 0 {
		return nil, negative(size)
	}
	var handle *C.strongroom_opened
	err := v.use(func(vault *C.strongroom_vault) C.enum_strongroom_status {
		return C.strongroom_allocate(vault, C.size_t(size), 0, &handle)
	})
	if err != nil {
		return nil, err
	}
	return newOpened(handle), nil
}

func negative(size int) error {
	return &Error{Status: ErrInvalidArgument, Message: fmt.Sprintf(
		"a secret cannot have %d bytes: give how many it has", size)}
}

// Open opens a record, waiting for room until the context is done. Those who wait are served in the order in
// which they came, and take no thread. What no room would help is said at once.
//
// A goroutine that holds an open secret and waits for another may wait as long as the context lets it,
// together with others that do the same: open together what is needed at the same time (OpenAll).
func (v *Vault) Open(ctx context.Context, sealed Sealed, purpose string) (*Opened, error) {
	return one(v.wait(ctx, 1, waiter{
		try: func(vault *C.strongroom_vault, handles **C.strongroom_opened) C.enum_strongroom_status {
			return C.strongroom_open(vault, first(sealed), length(sealed),
				letters(purpose), length(purpose), 0, handles)
		},
		begin: func(vault *C.strongroom_vault, waker C.strongroom_waker,
			opening **C.strongroom_opening, handles **C.strongroom_opened) C.enum_strongroom_status {
			return C.strongroom_open_begin(vault, first(sealed), length(sealed),
				letters(purpose), length(purpose), waker, opening, handles)
		},
	}))
}

// Allocate is room for a new secret of so many bytes, all zero: write it with Opened.Change, then seal it. It
// waits as Open does.
func (v *Vault) Allocate(ctx context.Context, size int) (*Opened, error) {
	if size < 0 {
		return nil, negative(size)
	}
	return one(v.wait(ctx, 1, waiter{
		try: func(vault *C.strongroom_vault, handles **C.strongroom_opened) C.enum_strongroom_status {
			return C.strongroom_allocate(vault, C.size_t(size), 0, handles)
		},
		begin: func(vault *C.strongroom_vault, waker C.strongroom_waker,
			opening **C.strongroom_opening, handles **C.strongroom_opened) C.enum_strongroom_status {
			return C.strongroom_allocate_begin(vault, C.size_t(size), waker, opening, handles)
		},
	}))
}

// A Request is one of several records that are opened together.
type Request struct {
	Sealed  Sealed
	Purpose string
}

// OpenAll opens records, all or none, waiting as Open does: one place in line, and one wait. ErrNeverTogether, at
// once, if the budget is too small for all of them.
func (v *Vault) OpenAll(ctx context.Context, requests ...Request) ([]*Opened, error) {
	if len(requests) == 0 {
		return nil, nil
	}
	// The records are Go's: what C is given of them must not lie in Go's memory, which may not point there.
	bytes := 1
	for _, request := range requests {
		bytes += len(request.Sealed) + len(request.Purpose)
	}
	memory := C.malloc(C.size_t(bytes))
	defer C.free(memory)
	// All zero: the collector looks at what a pointer is written over.
	size := C.size_t(unsafe.Sizeof(C.strongroom_request{}))
	asked := (*C.strongroom_request)(C.calloc(C.size_t(len(requests)), size))
	defer C.free(unsafe.Pointer(asked))
	at := 0
	for i, request := range requests {
		record := unsafe.Add(memory, at)
		at += copy(unsafe.Slice((*byte)(record), len(request.Sealed)), request.Sealed)
		purpose := unsafe.Add(memory, at)
		at += copy(unsafe.Slice((*byte)(purpose), len(request.Purpose)), request.Purpose)
		unsafe.Slice(asked, len(requests))[i] = C.strongroom_request{
			record: record, record_len: length(request.Sealed),
			context: purpose, context_len: length(request.Purpose),
		}
	}
	count := C.size_t(len(requests))
	return v.wait(ctx, len(requests), waiter{
		try: func(vault *C.strongroom_vault, handles **C.strongroom_opened) C.enum_strongroom_status {
			return C.strongroom_open_all(vault, asked, count, 0, handles)
		},
		begin: func(vault *C.strongroom_vault, waker C.strongroom_waker,
			opening **C.strongroom_opening, handles **C.strongroom_opened) C.enum_strongroom_status {
			return C.strongroom_open_all_begin(vault, asked, count, waker, opening, handles)
		},
	})
}

// Random fills b with random bytes, from the vault's generator.
func (v *Vault) Random(b []byte) error {
	return v.use(func(vault *C.strongroom_vault) C.enum_strongroom_status {
		return C.strongroom_fill_random(vault, first(b), length(b))
	})
}

// Destroy wipes the key: all that was sealed is unreadable for good, and those who wait to open it are told at
// once. What is open stays open.
func (v *Vault) Destroy() error {
	return v.use(func(vault *C.strongroom_vault) C.enum_strongroom_status { return C.strongroom_vault_destroy(vault) })
}

// Trim gives back at once all memory beyond the budget's start that nothing is open in.
func (v *Vault) Trim() error {
	return v.use(func(vault *C.strongroom_vault) C.enum_strongroom_status { return C.strongroom_vault_trim(vault) })
}

// Refresh draws new shares of the key: what was seen of one share before is of no use afterwards.
func (v *Vault) Refresh() error {
	return v.use(func(vault *C.strongroom_vault) C.enum_strongroom_status { return C.strongroom_vault_refresh(vault) })
}

// Renew goes on sealing under numbers that no copy of this machine uses: for a virtual machine that is resumed
// from a snapshot. What was sealed stays readable.
func (v *Vault) Renew() error {
	return v.use(func(vault *C.strongroom_vault) C.enum_strongroom_status { return C.strongroom_vault_renew(vault) })
}

// RenewAll has every vault of this process renew itself, as [Vault.Renew] does, before it seals next or draws
// random bytes: for the hook that is run when a machine was resumed from a snapshot.
func RenewAll() { C.strongroom_renew_all() }

// RenewWhenCloned has every vault of this process renew itself, as by [RenewAll], when Linux tells that the
// machine was resumed as a copy, and when somebody sets the clock. Call it when the program starts. Whether
// Linux would tell, in its log, is kernelLog; if not, the clock alone tells. What is sealed before the notice
// has come is not protected: where a hook runs before that, call RenewAll in it. ErrClonesUnseen if no notice
// would come.
func RenewWhenCloned() (kernelLog bool, err error) {
	var told C.bool
	err = call(func() C.enum_strongroom_status { return C.strongroom_renew_when_cloned(&told) })
	return bool(told), err
}

// Verify checks every canary and every free byte: ErrDamaged if one was overwritten.
func (v *Vault) Verify() error {
	return v.use(func(vault *C.strongroom_vault) C.enum_strongroom_status { return C.strongroom_vault_verify(vault) })
}
