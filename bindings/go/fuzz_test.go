package strongroom_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"strongroom"
)

// Whatever bytes are sealed, they open as what they were; what was changed does not open, nor under another purpose.
func FuzzSealed(f *testing.F) {
	f.Add([]byte("hunter2"), "db/password", uint16(3))
	f.Add([]byte{}, "", uint16(0))
	f.Add(bytes.Repeat([]byte{0}, 5000), "\x00", uint16(5023))
	v := vault(f, 64<<10)
	f.Fuzz(func(t *testing.T, secret []byte, purpose string, at uint16) {
		sealed, err := v.Seal(secret, purpose)
		if err != nil {
			t.Fatal(err)
		}
		err = v.Use(context.Background(), sealed, purpose, func(b []byte) {
			if !bytes.Equal(b, secret) {
				t.Errorf("%q opened as %q", secret, b)
			}
		})
		if err != nil && !errors.Is(err, strongroom.ErrTooLarge) {
			t.Fatal(err)
		}
		if _, err := v.TryOpen(sealed, purpose+"x"); !refused(err) {
			t.Error(err)
		}
		sealed[int(at)%len(sealed)] ^= 1
		if _, err := v.TryOpen(sealed, purpose); !refused(err) {
			t.Error(err)
		}
		if _, err := v.TryOpen(secret, purpose); !refused(err) {
			t.Error(err)
		}
	})
}

func refused(err error) bool {
	return errors.Is(err, strongroom.ErrTampered) || errors.Is(err, strongroom.ErrTooLarge)
}

// Whatever is written to a stream, and however it is cut, is read again; and no bytes are a stream that were not sealed.
func FuzzStream(f *testing.F) {
	f.Add([]byte("hunter2"), uint8(3))
	f.Add(bytes.Repeat([]byte{1}, 9000), uint8(200))
	v := vault(f, 64<<10)
	f.Fuzz(func(t *testing.T, plain []byte, step uint8) {
		var sealed bytes.Buffer
		w, err := v.NewSealWriter(context.Background(), &sealed, "", 1024)
		if err != nil {
			t.Fatal(err)
		}
		for rest := plain; len(rest) > 0; {
			n := min(len(rest), int(step)+1)
			if _, err := w.Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		for from, isStream := range map[io.Reader]bool{&sealed: true, bytes.NewReader(plain): false} {
			r, err := v.NewOpenReader(context.Background(), from, "", 1024)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(r)
			if isStream && (err != nil || !bytes.Equal(got, plain)) || !isStream && err == nil {
				t.Errorf("%d bytes were read as %d: %v", len(plain), len(got), err)
			}
			_ = r.Close()
		}
	})
}
