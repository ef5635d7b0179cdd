package memguard

import (
	"strongroom/memguard/core"
)

// An Enclave holds a secret sealed, in ordinary memory.
type Enclave struct {
	*core.Enclave
}

// NewEnclave seals bytes and wipes them where they were; nil if there are none.
func NewEnclave(src []byte) *Enclave {
	e, err := core.NewEnclave(src)
	if err == core.ErrNullEnclave {
		return nil
	}
	if err != nil {
		core.Fail(err)
		return nil
	}
	return &Enclave{e}
}

// NewEnclaveRandom seals so many random bytes; nil if they are less than one.
func NewEnclaveRandom(size int) *Enclave { return NewBufferRandom(size).Seal() }

// Open opens the enclave in a frozen buffer. It fails with core.ErrDecryptionFailed if the enclave was changed, or
// sealed before a Purge. When there is no room it waits, and fails after some time with the numbers and what to change.
func (e *Enclave) Open() (*LockedBuffer, error) {
	b, err := core.Open(e.Enclave)
	if err != nil {
		return nil, err
	}
	b.Freeze()
	return &LockedBuffer{b}, nil
}

// Size is how many bytes the enclave holds.
func (e *Enclave) Size() int { return core.EnclaveSize(e.Enclave) }
