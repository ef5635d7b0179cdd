package core

import (
	"context"
	"errors"

	"strongroom"
)

// An Enclave holds a secret sealed, in ordinary memory.
type Enclave struct{ sealed strongroom.Sealed }

const purpose = "memguard"

// NewEnclave seals bytes and wipes them where they were. ErrNullEnclave if there are none.
func NewEnclave(buf []byte) (*Enclave, error) {
	if len(buf) < 1 {
		return nil, ErrNullEnclave
	}
	for {
		vault, err := sessions.current()
		if err != nil {
			return nil, err
		}
		sealed, err := vault.SealAndWipe(buf, purpose)
		if err == nil {
			return &Enclave{sealed}, nil
		}
		if !sessions.isOver(vault) {
			return nil, err
		}
	}
}

// Seal seals a buffer's bytes, and destroys the buffer. ErrBufferExpired if it was before. After another failure it
// is as it was.
func Seal(b *Buffer) (*Enclave, error) {
	e, err, damage := seal(b)
	if damage != nil {
		Fail(damage)
	}
	return e, err
}

func seal(b *Buffer) (e *Enclave, err, damage error) {
	b.Lock()
	defer b.Unlock()
	data := b.Data()
	if data == nil || b.purged.Load() {
		return nil, ErrBufferExpired, nil
	}
	e, err = NewEnclave(data)
	if err != nil {
		return nil, err, nil
	}
	return e, nil, b.end()
}

// Open opens an enclave in a new buffer, which may be written to. It waits for room, and says in numbers why there
// was none in time. ErrDecryptionFailed if the enclave was changed, or sealed before a Purge.
func Open(e *Enclave) (*Buffer, error) {
	if e == nil || len(e.sealed) <= strongroom.Overhead {
		return nil, ErrDecryptionFailed
	}
	b, err := sessions.waiting(asking{
		now: func(vault *strongroom.Vault) (*strongroom.Opened, error) { return vault.TryOpen(e.sealed, purpose) },
		within: func(ctx context.Context, vault *strongroom.Vault) (*strongroom.Opened, error) {
			return vault.Open(ctx, e.sealed, purpose)
		},
	})
	if errors.Is(err, strongroom.ErrTampered) {
		return nil, ErrDecryptionFailed
	}
	return b, err
}

// EnclaveSize is the length of what an enclave holds.
func EnclaveSize(e *Enclave) int {
	if e == nil {
		return 0
	}
	return e.sealed.SecretLen()
}
