package core

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"strongroom"
)

// A Buffer holds a secret in locked memory until it is destroyed, even if nobody can reach it any more: its bytes may be
// in use. Its lock is the caller's too: who holds it keeps the buffer from being changed and destroyed.
type Buffer struct {
	sync.RWMutex
	opened *strongroom.Opened
	// The bytes, until they are destroyed.
	data   atomic.Pointer[[]byte]
	frozen atomic.Bool
	// That it is to be destroyed as soon as nobody holds its lock.
	purged atomic.Bool
}

// NewBuffer is a buffer of so many bytes, all zero, that may be written to. It waits for room, and says in numbers
// why there was none in time. ErrNullBuffer if they are less than one.
func NewBuffer(size int) (*Buffer, error) {
	if size < 1 {
		return nil, ErrNullBuffer
	}
	return sessions.waiting(asking{
		now: func(vault *strongroom.Vault) (*strongroom.Opened, error) { return vault.TryAllocate(size) },
		within: func(ctx context.Context, vault *strongroom.Vault) (*strongroom.Opened, error) {
			return vault.Allocate(ctx, size)
		},
	})
}

// newBuffer exposes the secret for as long as the buffer lives, which a vault with windows refuses: so it is all
// the same which thread ends that.
func newBuffer(opened *strongroom.Opened) (*Buffer, error) {
	data, err := opened.Expose()
	if err != nil {
		return nil, errors.Join(err, opened.Close())
	}
	b := &Buffer{opened: opened}
	b.data.Store(&data)
	return b, nil
}

// Data is the bytes, or nil if they were destroyed.
func (b *Buffer) Data() []byte {
	if data := b.data.Load(); data != nil {
		return *data
	}
	return nil
}

// Inner is Data: there are no pages around a single secret.
func (b *Buffer) Inner() []byte { return b.Data() }

// Alive reports whether the buffer was not destroyed.
func (b *Buffer) Alive() bool { return b.data.Load() != nil }

// Mutable reports whether the buffer is alive and not frozen.
func (b *Buffer) Mutable() bool { return b.Alive() && !b.frozen.Load() }

// Freeze has the buffer's methods refuse to write to it, until Melt. What writes to the bytes themselves is not
// kept from it: secrets share pages.
func (b *Buffer) Freeze() { b.setFrozen(true) }

// Melt undoes Freeze.
func (b *Buffer) Melt() { b.setFrozen(false) }

func (b *Buffer) setFrozen(frozen bool) {
	b.Lock()
	defer b.Unlock()
	if b.Alive() {
		b.frozen.Store(frozen)
	}
}

// Scramble overwrites the bytes with random ones, unless the buffer is frozen.
func (b *Buffer) Scramble() {
	var err error
	b.Change(func(data []byte) { err = Scramble(data) })
	if err != nil {
		Fail(err)
	}
}

// Change calls write with the bytes, which nobody destroys meanwhile; not if the buffer is frozen or destroyed.
func (b *Buffer) Change(write func(data []byte)) {
	if refused := b.change(write); refused {
		tell(ErrFrozen)
	}
}

func (b *Buffer) change(write func(data []byte)) (refused bool) {
	b.Lock()
	defer b.Unlock()
	data := b.Data()
	if data == nil || b.frozen.Load() {
		return data != nil
	}
	write(data)
	return false
}

// Use calls read with the bytes, which stay locked memory meanwhile, even if they are purged. ErrBufferExpired if they
// were destroyed before or are then.
func (b *Buffer) Use(read func(data []byte)) error {
	b.RLock()
	defer b.RUnlock()
	data := b.Data()
	if data == nil || b.purged.Load() {
		return ErrBufferExpired
	}
	read(data)
	if b.purged.Load() {
		return ErrBufferExpired
	}
	return nil
}

// EqualTo reports whether the bytes are those of buf, in a time that depends on the lengths alone; false if they
// were destroyed. A buffer that never had a byte equals what has none.
func (b *Buffer) EqualTo(buf []byte) bool {
	b.RLock()
	defer b.RUnlock()
	data := b.Data()
	return (data != nil || b.opened == nil) && Equal(data, buf)
}

// Truncate leaves the first n bytes, and wipes the others. They move to memory of that size if there is room now.
func (b *Buffer) Truncate(n int) {
	// What fails here is damage, which is found again by nobody: it is told.
	if err := b.truncate(n); err != nil {
		Fail(err)
	}
}

func (b *Buffer) truncate(n int) error {
	b.Lock()
	defer b.Unlock()
	whole := b.data.Load()
	if whole == nil || n >= len(*whole) {
		return nil
	}
	shorter := (*whole)[:n:n]
	opened, moved := tryShorter(shorter)
	if opened == nil {
		Wipe((*whole)[n:])
		b.data.CompareAndSwap(whole, &shorter)
		return nil
	}
	if !b.data.CompareAndSwap(whole, &moved) { // It was purged.
		return errors.Join(opened.Conceal(), opened.Close())
	}
	old := b.opened
	b.opened = opened
	return errors.Join(old.Conceal(), old.Close())
}

func tryShorter(data []byte) (*strongroom.Opened, []byte) {
	vault, err := sessions.current()
	if err != nil {
		return nil, nil
	}
	opened, err := vault.TryAllocate(len(data))
	if err != nil {
		return nil, nil
	}
	moved, err := opened.Expose()
	if err != nil {
		_ = opened.Close()
		return nil, nil
	}
	Copy(moved, data)
	return opened, moved
}

// Destroy wipes the bytes and gives their memory back; again it does nothing. What wrote past an end of them is
// found now, and Fail is called.
func (b *Buffer) Destroy() {
	if err := b.destroy(); err != nil {
		Fail(err)
	}
}

func (b *Buffer) destroy() error {
	b.Lock()
	defer b.Unlock()
	return b.end()
}

// end destroys the buffer, whose lock the caller holds.
func (b *Buffer) end() error {
	if b.data.Swap(nil) == nil {
		return nil
	}
	sessions.remove(b)
	if err := b.opened.Conceal(); err != nil {
		return err
	}
	return b.opened.Close()
}

// purge destroys the buffer even if somebody holds its lock: its bytes are wiped then, and their memory is given
// back when the lock is.
func (b *Buffer) purge() error {
	b.purged.Store(true)
	for range patience {
		if b.TryLock() {
			defer b.Unlock()
			return b.end()
		}
		time.Sleep(time.Millisecond)
	}
	Wipe(b.Data())
	go func() { tell(b.destroy()) }()
	return nil
}

const patience = 100
