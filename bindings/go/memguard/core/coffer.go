package core

import (
	"sync"
	"sync/atomic"
)

// A Coffer holds 32 random bytes, sealed, until it is destroyed or all is purged. Who holds its lock keeps it from
// being changed and destroyed.
type Coffer struct {
	sync.Mutex
	// Nil in one that was destroyed.
	value atomic.Pointer[cofferValue]
}

type cofferValue struct {
	enclave *Enclave
	// How many purges there were before.
	purges uint64
}

const cofferSize = 32

// NewCoffer draws the bytes of a new coffer.
func NewCoffer() *Coffer {
	s := new(Coffer)
	err := s.fill(randomBuffer)
	for err == ErrCofferExpired { // It was purged meanwhile.
		err = s.fill(randomBuffer)
	}
	if err != nil {
		Fail(err)
	}
	return s
}

// Init draws new bytes for the coffer.
func (s *Coffer) Init() error {
	s.Lock()
	defer s.Unlock()
	if s.Destroyed() {
		return ErrCofferExpired
	}
	return s.fill(randomBuffer)
}

// Rekey seals the bytes anew. There is no need for it: a vault keeps its key in two shares itself.
func (s *Coffer) Rekey() error {
	s.Lock()
	defer s.Unlock()
	return s.fill(s.open)
}

// View shows the bytes in a new buffer. It waits for room as Open does, without the coffer's lock.
func (s *Coffer) View() (*Buffer, error) { return s.open() }

// Destroy makes the bytes unreadable.
func (s *Coffer) Destroy() error {
	s.Lock()
	defer s.Unlock()
	s.value.Store(nil)
	return nil
}

// Destroyed reports whether the coffer was destroyed, or all was purged.
func (s *Coffer) Destroyed() bool {
	if s == nil {
		return true
	}
	value := s.value.Load()
	return value == nil || value.purges != sessions.purged()
}

func (s *Coffer) open() (*Buffer, error) {
	value := s.value.Load()
	if value == nil || s.Destroyed() {
		return nil, ErrCofferExpired
	}
	b, err := Open(value.enclave)
	if err == ErrDecryptionFailed {
		return nil, ErrCofferExpired
	}
	return b, err
}

func (s *Coffer) fill(from func() (*Buffer, error)) error {
	purges := sessions.purged()
	b, err := from()
	if err != nil {
		return err
	}
	e, err := Seal(b)
	switch err {
	case nil:
		s.value.Store(&cofferValue{e, purges})
		return nil
	case ErrBufferExpired:
		return ErrCofferExpired
	default:
		b.Destroy()
		return err
	}
}

func randomBuffer() (*Buffer, error) {
	b, err := NewBuffer(cofferSize)
	if err != nil {
		return nil, err
	}
	b.Change(func(data []byte) { err = Scramble(data) })
	if err != nil {
		b.Destroy()
		return nil, err
	}
	return b, nil
}
