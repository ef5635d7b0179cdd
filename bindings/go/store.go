package strongroom

// #include "shim.h"
//
// #cgo nocallback strongroom_store_insert
// #cgo noescape strongroom_store_insert
// #cgo nocallback strongroom_store_contains
// #cgo noescape strongroom_store_contains
// #cgo nocallback strongroom_store_version
// #cgo noescape strongroom_store_version
import "C"

import (
	"context"
	"fmt"
	"runtime/cgo"
	"time"
	"unsafe"
)

// A Store gives names to secrets, which are sealed side by side in ordinary memory, and opened in a vault. It
// may be used by many goroutines at once.
type Store struct {
	held[*C.strongroom_store]
	vault *Vault
}

// StoreOptions say what a store is to be.
type StoreOptions struct {
	// Most is how many secrets it holds at most; 0 for as many as memory holds.
	Most int
	// Linger is how long a secret stays open after its last reader has closed it, for whoever asks for it next,
	// unless its room is needed; in whole milliseconds.
	Linger time.Duration
}

// NewStore makes an empty store, whose secrets are sealed and opened in the vault.
func (v *Vault) NewStore(options StoreOptions) (*Store, error) {
	if options.Most < 0 {
		return nil, &Error{Status: ErrInvalidArgument, Message: fmt.Sprintf(
			"a store cannot hold %d secrets: give how many at most, or 0", options.Most)}
	}
	var handle *C.strongroom_store
	err := v.use(func(vault *C.strongroom_vault) C.enum_strongroom_status {
		return C.strongroom_store_new(vault, C.size_t(options.Most), millis(options.Linger), &handle)
	})
	if err != nil {
		return nil, err
	}
	s := &Store{vault: v}
	hold(s, &s.held, "the store", handle, freeStore)
	return s, nil
}

func freeStore(handle *C.strongroom_store) { C.strongroom_store_free(&handle) }

// Close gives the store back. Its records go when what is open of it is closed.
func (s *Store) Close() { s.close(freeStore) }

// Insert seals a secret under a name that stands for none; else ErrExists. After expires the name stands for
// nothing again; 0 for never. The answer is the version, which is 1.
func (s *Store) Insert(name string, secret []byte, expires time.Duration) (uint32, error) {
	return s.version(func(store *C.strongroom_store, version *C.uint32_t) C.enum_strongroom_status {
		return C.strongroom_store_insert(store, letters(name), length(name), first(secret), length(secret),
			millis(expires), version)
	})
}

// Replace puts another secret in the place of a name's, or ErrNotFound. At every moment the name opens as one
// of the two; what is open stays what it was. Otherwise as Insert.
func (s *Store) Replace(name string, secret []byte, expires time.Duration) (uint32, error) {
	return s.version(func(store *C.strongroom_store, version *C.uint32_t) C.enum_strongroom_status {
		return C.strongroom_store_replace(store, letters(name), length(name), first(secret), length(secret),
			millis(expires), version)
	})
}

// Put seals a secret under a name, in the place of another or of none. Otherwise as Insert.
func (s *Store) Put(name string, secret []byte, expires time.Duration) (uint32, error) {
	return s.version(func(store *C.strongroom_store, version *C.uint32_t) C.enum_strongroom_status {
		return C.strongroom_store_put(store, letters(name), length(name), first(secret), length(secret),
			millis(expires), version)
	})
}

// ReplaceVersion puts another secret in the place of a name's if that has the version old still, else
// ErrOtherVersion: for those who have read it and made the new one of it.
func (s *Store) ReplaceVersion(name string, old uint32, secret []byte) (uint32, error) {
	return s.version(func(store *C.strongroom_store, version *C.uint32_t) C.enum_strongroom_status {
		return C.strongroom_store_replace_version(store, letters(name), length(name), C.uint32_t(old),
			first(secret), length(secret), version)
	})
}

// Version is the version of a name's secret, or ErrNotFound.
func (s *Store) Version(name string) (uint32, error) {
	return s.version(func(store *C.strongroom_store, version *C.uint32_t) C.enum_strongroom_status {
		return C.strongroom_store_version(store, letters(name), length(name), version)
	})
}

func (s *Store) version(f func(*C.strongroom_store, *C.uint32_t) C.enum_strongroom_status) (uint32, error) {
	var version C.uint32_t
	err := s.use(func(store *C.strongroom_store) C.enum_strongroom_status { return f(store, &version) })
	return uint32(version), err
}

// Remove removes a name and its secret, or ErrNotFound. What is open of it stays open for those who have it.
func (s *Store) Remove(name string) error {
	return s.use(func(store *C.strongroom_store) C.enum_strongroom_status {
		return C.strongroom_store_remove(store, letters(name), length(name))
	})
}

// RemoveExpired removes all whose time is over, and says how many those were: for names that nobody asks for
// any more. It walks over all names.
func (s *Store) RemoveExpired() (int, error) {
	var removed C.size_t
	err := s.use(func(store *C.strongroom_store) C.enum_strongroom_status {
		return C.strongroom_store_remove_expired(store, &removed)
	})
	return int(removed), err
}

// Contains reports whether a name stands for a secret.
func (s *Store) Contains(name string) (bool, error) {
	var contains C.bool
	err := s.use(func(store *C.strongroom_store) C.enum_strongroom_status {
		return C.strongroom_store_contains(store, letters(name), length(name), &contains)
	})
	return bool(contains), err
}

// Len is how many names stand for a secret.
func (s *Store) Len() (int, error) {
	var len C.size_t
	err := s.use(func(store *C.strongroom_store) C.enum_strongroom_status { return C.strongroom_store_len(store, &len) })
	return int(len), err
}

// Names are all names, in no order. What is put in or removed meanwhile may be missed or not.
func (s *Store) Names() ([]string, error) {
	names := new([]string)
	number := cgo.NewHandle(names)
	defer number.Delete()
	err := s.use(func(store *C.strongroom_store) C.enum_strongroom_status {
		return C.strongroom_go_names(store, C.uintptr_t(number))
	})
	return *names, err
}

//export strongroomGoName
func strongroomGoName(name unsafe.Pointer, len C.size_t, number C.uintptr_t) {
	names := cgo.Handle(number).Value().(*[]string)
	*names = append(*names, string(unsafe.Slice((*byte)(name), int(len))))
}

// Open opens a name's secret for all who ask for it, waiting as Vault.Open does. Those who open the same name
// at the same time read the same memory: a thousand goroutines that use one password take one place in the
// vault, and it is decrypted once. It can be read, not changed.
func (s *Store) Open(ctx context.Context, name string) (*Opened, error) {
	return one(wait(ctx, &s.held, 1,
		func(store *C.strongroom_store, handles **C.strongroom_opened) C.enum_strongroom_status {
			return C.strongroom_store_open(store, letters(name), length(name), 0, handles)
		},
		func(store *C.strongroom_store, waker C.strongroom_waker,
			opening **C.strongroom_opening, handles **C.strongroom_opened) C.enum_strongroom_status {
			return C.strongroom_store_open_begin(store, letters(name), length(name), waker, opening, handles)
		}, s.vault.inTheWay))
}

// TryOpen is Open for those who do not wait: ErrFull if there is no room now.
func (s *Store) TryOpen(name string) (*Opened, error) {
	var handle *C.strongroom_opened
	err := s.use(func(store *C.strongroom_store) C.enum_strongroom_status {
		return C.strongroom_store_open(store, letters(name), length(name), 0, &handle)
	})
	if err != nil {
		return nil, err
	}
	return newOpened(handle), nil
}

// TryOpenAlone opens a name's secret for the caller alone, who may change what is open; that changes no record.
// ErrFull if there is no room now.
func (s *Store) TryOpenAlone(name string) (*Opened, error) {
	var handle *C.strongroom_opened
	err := s.use(func(store *C.strongroom_store) C.enum_strongroom_status {
		return C.strongroom_store_open_alone(store, letters(name), length(name), 0, &handle)
	})
	if err != nil {
		return nil, err
	}
	return newOpened(handle), nil
}

// Use opens a name's secret, calls f with it as Opened.Use does, and closes it.
func (s *Store) Use(ctx context.Context, name string, f func(secret []byte)) error {
	opened, err := s.Open(ctx, name)
	if err != nil {
		return err
	}
	return opened.useAndClose(f)
}
