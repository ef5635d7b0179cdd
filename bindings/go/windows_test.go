package strongroom_test

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"
	"unsafe"

	"strongroom"
	"strongroom/memguard"
)

// faults reports whether reading b, and writing it, each end the program, which here are panics.
func faults(t *testing.T, b []byte) bool {
	t.Helper()
	at := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	faulted := func(touch func()) (is bool) {
		defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
		defer func() {
			fault, ok := recover().(interface{ Addr() uintptr })
			if ok && fault.Addr() != at {
				t.Errorf("a fault at %x, not at %x", fault.Addr(), at)
			}
			is = ok
		}()
		touch()
		return
	}
	read := faulted(func() { runtime.KeepAlive(b[0] + 1) })
	if written := faulted(func() { b[0] ^= 1 }); written != read {
		t.Errorf("read: %v, written: %v", read, written)
	}
	return read
}

// kinds are the windows that this machine has.
func kinds(t *testing.T) map[string]strongroom.Windows {
	kinds := map[string]strongroom.Windows{"pages": strongroom.PageWindows, "keys": strongroom.KeyWindows}
	v, err := strongroom.New(strongroom.Options{Windows: strongroom.KeyWindows})
	if err == nil {
		v.Close()
		return kinds
	}
	if !errors.Is(err, strongroom.ErrWindowsRefused) {
		t.Fatal(err)
	}
	delete(kinds, "keys")
	// Who only prefers protection has a vault without windows, and can see that.
	v = must(strongroom.New(strongroom.Options{Windows: strongroom.KeyWindows, Policy: strongroom.Prefer}))
	defer v.Close()
	if p := must(v.Protections()); p.Windows != "none" {
		t.Errorf("%+v", p)
	}
	return kinds
}

func TestASecretIsThereWhileItIsUsed(t *testing.T) {
	ctx := context.Background()
	for name, windows := range kinds(t) {
		v := must(strongroom.New(strongroom.Options{Budget: 32 << 10, Windows: windows}))
		if p := must(v.Protections()); p.Windows != name {
			t.Errorf("%+v", p)
		}
		var shut []byte
		keep := func(b []byte) {
			if string(b) != "hunter2" {
				t.Errorf("%q", b)
			}
			shut = b
		}
		is := func(what string) {
			t.Helper()
			if !faults(t, shut) {
				t.Errorf("%s, %s: it is there after its use", name, what)
			}
		}
		sealed := must(v.Seal([]byte("hunter2"), ""))
		opened := must(v.Open(ctx, sealed, ""))
		if err := opened.Use(keep); err != nil {
			t.Error(err)
		}
		is("Opened.Use")
		// The end of one use does not shut what another has open.
		_ = opened.Use(func(b []byte) {
			_ = opened.Use(keep)
			keep(b)
			if must(opened.Equal([]byte("hunter2"))) != (b[0] == 'h') {
				t.Error("another secret")
			}
		})
		is("Opened.Use in another")
		func() {
			defer func() { _ = recover() }()
			_ = opened.Use(func(b []byte) { keep(b); panic("on the way out") })
		}()
		is("Opened.Use that panics")
		if err := opened.Change(keep); err != nil {
			t.Error(err)
		}
		is("Opened.Change")
		if _, err := opened.Expose(); !errors.Is(err, strongroom.ErrWindowsRefused) {
			t.Error(err)
		}
		if err := opened.Close(); err != nil {
			t.Error(err)
		}
		if err := v.Use(ctx, sealed, "", keep); err != nil {
			t.Error(err)
		}
		is("Vault.Use")
		store := must(v.NewStore(strongroom.StoreOptions{}))
		_ = must(store.Insert("a", []byte("hunter2"), 0))
		if err := store.Use(ctx, "a", keep); err != nil {
			t.Error(err)
		}
		is("Store.Use")
		store.Close()
		var stream bytes.Buffer
		w := must(v.NewSealWriter(ctx, &stream, "", 1024))
		_ = must(w.Write([]byte("hunter2")))
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		r := must(v.NewOpenReader(ctx, &stream, "", 1024))
		if err := r.Next(keep); err != nil {
			t.Error(err)
		}
		is("OpenReader.Next")
		_ = r.Close()
		if err := v.Verify(); err != nil {
			t.Error(err)
		}
		v.Close()
	}
	v := must(strongroom.New(strongroom.Options{}))
	defer v.Close()
	var open []byte
	opened := must(v.Allocate(ctx, 7))
	_ = opened.Use(func(b []byte) { open = b })
	if faults(t, open) {
		t.Error("a vault is shut that has no windows")
	}
	_ = opened.Close()
}

// Goroutines that are moved between threads each end their own windows.
func TestManyGoroutinesHaveWindows(t *testing.T) {
	ctx := context.Background()
	for name, windows := range kinds(t) {
		v := must(strongroom.New(strongroom.Options{Budget: 16 << 10, Windows: windows}))
		sealed := must(v.Seal([]byte("hunter2"), ""))
		shared := must(v.Open(ctx, sealed, ""))
		var group sync.WaitGroup
		for range 32 {
			group.Add(1)
			go func() {
				defer group.Done()
				for range 50 {
					err := v.Use(ctx, sealed, "", func(b []byte) {
						runtime.Gosched()
						if string(b) != "hunter2" {
							t.Errorf("%q", b)
						}
						_ = shared.Use(func(other []byte) {
							runtime.Gosched()
							if !bytes.Equal(b, other) {
								t.Errorf("%q", other)
							}
						})
					})
					if err != nil {
						t.Error(err)
					}
				}
			}()
		}
		group.Wait()
		var shut []byte
		_ = shared.Use(func(b []byte) { shut = b })
		if !faults(t, shut) {
			t.Errorf("%s: a window is left open", name)
		}
		if err := shared.Close(); err != nil {
			t.Error(err)
		}
		v.Close()
	}
}

// A buffer of memguard's keeps its bytes exposed.
func TestMemguardHasNoWindows(t *testing.T) {
	var said error
	settings := memguard.Settings{OnFailure: func(err error) { said = err }}
	settings.Options.Windows = strongroom.PageWindows
	memguard.Configure(settings)
	memguard.Purge()
	defer memguard.Purge()
	defer memguard.Configure(memguard.Settings{})
	if b := memguard.NewBuffer(32); b.IsAlive() || !errors.Is(said, strongroom.ErrWindowsRefused) {
		t.Error(said)
	}
}
