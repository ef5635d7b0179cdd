package memguard_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
	"unsafe"

	"strongroom"
	"strongroom/memguard"
	"strongroom/memguard/core"
)

// panicked is what f panics with.
func panicked(f func()) (v any) {
	defer func() { v = recover() }()
	f()
	return nil
}

// overflow writes past the end of a buffer.
func overflow(b *memguard.LockedBuffer) {
	data := b.Bytes()
	unsafe.Slice(unsafe.SliceData(data), len(data)+1)[len(data)] ^= 0xff
}

func isDamage(v any) bool {
	err, _ := v.(error)
	return errors.Is(err, strongroom.ErrDamaged)
}

// What wrote past an end of a buffer is found when it is destroyed, sealed or purged, by a panic or the handler.
func TestAnOverflowIsFound(t *testing.T) {
	defer memguard.Purge()
	defer memguard.Configure(memguard.Settings{})
	b := memguard.NewBuffer(16)
	overflow(b)
	if v := panicked(b.Destroy); !isDamage(v) {
		t.Error(v)
	}
	isDead(t, b)

	b, other := memguard.NewBuffer(16), memguard.NewBuffer(32)
	overflow(b)
	enclave := memguard.NewEnclave([]byte("before"))
	if v := panicked(memguard.Purge); !isDamage(v) {
		t.Error(v)
	}
	isDead(t, b)
	isDead(t, other)
	if _, err := enclave.Open(); err != core.ErrDecryptionFailed {
		t.Error(err)
	}

	b = memguard.NewBuffer(16)
	overflow(b)
	if v := panicked(func() { memguard.SafePanic("why") }); v != "why" {
		t.Error(v)
	}
	isDead(t, b)

	var told []error
	memguard.Configure(memguard.Settings{OnFailure: func(err error) {
		// No lock is held here.
		b.IsAlive()
		b.Lock()
		defer b.Unlock()
		told = append(told, err)
	}})
	for name, end := range map[string]func(){
		"destroy": func() { b.Destroy() },
		"purge":   memguard.Purge,
		"panic":   func() { panicked(func() { memguard.SafePanic(1) }) },
		"seal": func() {
			opened, err := b.Seal().Open()
			if err != nil || !opened.EqualTo(zeros(16)) {
				t.Error(err)
			}
			opened.Destroy()
		},
		"truncate": func() {
			b.Truncate(3)
			if !b.EqualTo(zeros(3)) {
				t.Errorf("%q", b.Bytes())
			}
		},
	} {
		b, told = memguard.NewBuffer(16), nil
		overflow(b)
		end()
		if len(told) != 1 || !isDamage(told[0]) {
			t.Errorf("%s: %v", name, told)
		}
		b.Destroy()
	}
}

// A purge does not wait for long for a buffer whose lock is held, and the memory is given back when it is free.
func TestAPurgeTellsOfAnOverflowLater(t *testing.T) {
	defer memguard.Configure(memguard.Settings{})
	told := make(chan error, 1)
	memguard.Configure(memguard.Settings{OnFailure: func(err error) { told <- err }})
	b := memguard.NewBuffer(16)
	overflow(b)
	b.RLock()
	memguard.Purge()
	isStillLocked := len(told) == 0
	b.RUnlock()
	select {
	case err := <-told:
		if !isDamage(err) || !isStillLocked {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("nobody was told")
	}
	isDead(t, b)
}

// With damage found, SafeExit ends the process by a panic that names it, or with its status if there is a handler.
func TestAnExitWithAnOverflow(t *testing.T) {
	for by, want := range map[string]int{"overflow": 2, "told overflow": 3} {
		command := exec.Command(os.Args[0])
		command.Env = append(os.Environ(), "MEMGUARD_TEST_ENDS_BY="+by)
		var said bytes.Buffer
		command.Stderr = &said
		_ = command.Run()
		if code := command.ProcessState.ExitCode(); code != want || !strings.Contains(said.String(), "past an end") {
			t.Errorf("%s: %d\n%s", by, code, said.String())
		}
	}
}
