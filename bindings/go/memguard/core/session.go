package core

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"strongroom"
)

// Settings say how much memory is locked, and how long it is waited for.
type Settings struct {
	// Options are those of the vault. The zero value begins with 16 KiB, or less where no more may be locked, and
	// grows as far as the system lets it.
	Options strongroom.Options
	// Wait is how long it is waited for room; 0 is ten seconds, and what is negative is not at all.
	Wait time.Duration
	// OnFailure is told of what memguard ends the program for: no room in time, memory that may not be locked, and
	// what wrote past an end of a buffer. The call then goes on, without memory with a destroyed buffer or no enclave.
	// It is told of a write to a frozen buffer too, which is not done. Without it all but that panic.
	OnFailure func(error)
}

// ErrFrozen is what Settings.OnFailure is told of a write to a frozen buffer.
var ErrFrozen = errors.New("a frozen buffer was to be written to, and was not: call Melt first")

// Configure sets what is to be from the next Purge on, and at once if nothing was sealed or allocated yet.
func Configure(settings Settings) {
	sessions.mu.Lock()
	defer sessions.mu.Unlock()
	sessions.settings = settings
}

// Fail panics with the error, or tells whom the settings name.
func Fail(err error) {
	if !tell(err) {
		panic(err)
	}
}

// tell tells whom the settings name of an error, if there is one.
func tell(err error) (told bool) {
	onFailure := sessions.now().OnFailure
	if err == nil || onFailure == nil {
		return false
	}
	onFailure(err)
	return true
}

// A session is a vault, from one purge to the next, and the buffers that are open in it.
type session struct {
	mu       sync.RWMutex
	settings Settings
	vault    *strongroom.Vault
	buffers  map[*Buffer]struct{}
	// How many purges there were.
	purges uint64
}

var sessions = session{buffers: make(map[*Buffer]struct{})}

const defaultWait = 10 * time.Second

func (s *session) now() Settings {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.settings
}

// current is the vault, which is made if there is none.
func (s *session) current() (*strongroom.Vault, error) {
	s.mu.RLock()
	vault := s.vault
	s.mu.RUnlock()
	if vault != nil {
		return vault, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.vault != nil {
		return s.vault, nil
	}
	vault, err := newVault(s.settings.Options)
	if err == nil {
		s.vault = vault
	}
	return vault, err
}

// newVault makes a vault, with less from the start if the limit is below that.
func newVault(options strongroom.Options) (*strongroom.Vault, error) {
	if options.Budget != 0 || options.Ceiling != 0 {
		return strongroom.New(options)
	}
	options.Ceiling = ceiling
	var last error
	for options.Budget = floor; options.Budget >= os.Getpagesize(); options.Budget /= 2 {
		vault, err := strongroom.New(options)
		if err == nil || !errors.Is(err, strongroom.ErrNotLocked) {
			return vault, err
		}
		last = err
	}
	if last == nil { // The pages are larger than that.
		options.Budget = os.Getpagesize()
		return strongroom.New(options)
	}
	return nil, last
}

const (
	floor   = 16 << 10
	ceiling = 1 << 30
)

// asking is what is asked of a vault, at once or within a time.
type asking struct {
	now    func(*strongroom.Vault) (*strongroom.Opened, error)
	within func(context.Context, *strongroom.Vault) (*strongroom.Opened, error)
}

// waiting does what waits for room, in the vault there is, and anew if that is purged meanwhile.
func (s *session) waiting(ask asking) (*Buffer, error) {
	for {
		vault, err := s.current()
		if err != nil {
			return nil, err
		}
		opened, err := s.open(vault, ask)
		if err != nil {
			if s.isOver(vault) {
				continue
			}
			return nil, err
		}
		buffer, err := newBuffer(opened)
		if err != nil {
			return nil, err
		}
		if s.add(vault, buffer) {
			return buffer, nil
		}
		buffer.Destroy()
	}
}

func (s *session) open(vault *strongroom.Vault, ask asking) (*strongroom.Opened, error) {
	wait := s.now().Wait
	switch {
	case wait < 0:
		return ask.now(vault)
	case wait == 0:
		wait = defaultWait
	}
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	return ask.within(ctx, vault)
}

// isOver reports whether another vault has taken this one's place.
func (s *session) isOver(vault *strongroom.Vault) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.vault != vault
}

// add remembers a buffer, unless its vault was purged meanwhile.
func (s *session) add(vault *strongroom.Vault, b *Buffer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.vault != vault {
		return false
	}
	s.buffers[b] = struct{}{}
	return true
}

func (s *session) remove(b *Buffer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.buffers, b)
}

// purge gives what was damaged.
func (s *session) purge() error {
	s.mu.Lock()
	vault, buffers := s.vault, s.buffers
	s.vault, s.buffers = nil, make(map[*Buffer]struct{})
	s.purges++
	s.mu.Unlock()
	if vault == nil {
		return nil
	}
	// What fails here was destroyed before.
	_ = vault.Destroy()
	var damage []error
	for b := range buffers {
		damage = append(damage, b.purge())
	}
	vault.Close()
	return errors.Join(damage...)
}

// purged is how many purges there were.
func (s *session) purged() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.purges
}
