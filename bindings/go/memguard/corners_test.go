package memguard_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"strongroom"
	"strongroom/memguard"
	"strongroom/memguard/core"
)

// A destroyed buffer equals nothing, not even nothing; one that never had a byte does.
func TestWhatEqualsNothing(t *testing.T) {
	for _, b := range []*memguard.LockedBuffer{memguard.NewBuffer(0), memguard.NewBufferFromBytes(nil)} {
		if !b.EqualTo(nil) || !b.EqualTo([]byte{}) || b.EqualTo([]byte{0}) {
			t.Error("of a buffer of no bytes")
		}
	}
	destroyed := memguard.NewBuffer(1)
	destroyed.Destroy()
	sealed := memguard.NewBuffer(1)
	sealed.Seal()
	purged := memguard.NewBuffer(1)
	memguard.Purge()
	for _, b := range []*memguard.LockedBuffer{destroyed, sealed, purged} {
		if b.EqualTo(nil) || b.EqualTo([]byte{}) || b.EqualTo([]byte{0}) {
			t.Error("of a destroyed buffer")
		}
	}
}

func TestCopiesOutOfBounds(t *testing.T) {
	b := memguard.NewBuffer(4)
	defer b.Destroy()
	src := []byte("ab")
	for _, offset := range []int{5, -1} {
		if panicked(func() { b.CopyAt(offset, src) }) == nil || panicked(func() { b.MoveAt(offset, src) }) == nil {
			t.Error("an offset of", offset)
		}
	}
	// The buffer is as it was, and its lock is free.
	b.MoveAt(4, nil)
	b.Copy(src)
	if !b.EqualTo([]byte("ab\x00\x00")) {
		t.Errorf("%q", b.Bytes())
	}
	// What overlaps is copied from the front.
	b.CopyAt(0, b.Bytes()[1:])
	if !b.EqualTo([]byte("b\x00\x00\x00")) {
		t.Errorf("%q", b.Bytes())
	}
}

func TestNumbersLieWhereTheProcessorWantsThem(t *testing.T) {
	for size := 1; size < 700; size++ {
		b := memguard.NewBuffer(size)
		if data := b.Bytes(); address(data)%8 != 0 || cap(data) != size {
			t.Fatalf("%d bytes, %d with what follows, at %x", size, cap(data), address(data))
		}
		b.Destroy()
	}
}

func TestAStreamAfterAPurge(t *testing.T) {
	s := memguard.NewStream()
	write := func(text string) {
		if n, err := s.Write([]byte(text)); n != len(text) || err != nil {
			t.Error(n, err)
		}
	}
	write("one")
	write("two")
	// A buffer without room takes nothing, and is told what there is.
	for range 3 {
		if n, err := s.Read(nil); n != 0 || err != nil || s.Size() != 6 || s.Len() != 2 {
			t.Error(n, err, s.Size())
		}
	}
	memguard.Purge()
	write("three")
	if n, err := s.Read(nil); n != 0 || err != core.ErrDecryptionFailed || s.Size() != 8 {
		t.Error(n, err, s.Size())
	}
	b, err := s.Next()
	if isDead(t, b); err != core.ErrDecryptionFailed || s.Size() != 5 {
		t.Error(err, s.Size())
	}
	if b, err = s.Flush(); err != nil || b.String() != "three" {
		t.Error(err)
	}
	b.Destroy()
	if n, err := s.Read(nil); n != 0 || err != io.EOF {
		t.Error(n, err)
	}
	// What cannot be opened ends what is flushed, and is not in the way of what comes then.
	write("four")
	memguard.Purge()
	write("five")
	if b, err = s.Flush(); err != core.ErrDecryptionFailed {
		t.Error(err)
	}
	isDead(t, b)
	if b, err = s.Flush(); err != nil || b.String() != "five" {
		t.Error(err)
	}
	b.Destroy()
}

// What there is no room for stays in the stream.
func TestAStreamWithoutRoom(t *testing.T) {
	memguard.Purge()
	defer memguard.Configure(memguard.Settings{})
	defer memguard.Purge()
	memguard.Configure(memguard.Settings{Options: strongroom.Options{Budget: 16 << 10}, Wait: -1})
	s := memguard.NewStream()
	_, _ = s.Write(bytes.Repeat([]byte{7}, 5000))
	held := memguard.NewBuffer(12000)
	buf := make([]byte, 10)
	for range 2 {
		if n, err := s.Read(buf); n != 0 || !errors.Is(err, strongroom.ErrFull) || s.Size() != 5000 {
			t.Error(n, err, s.Size())
		}
		b, err := s.Next()
		if isDead(t, b); !errors.Is(err, strongroom.ErrFull) || s.Size() != 5000 {
			t.Error(err, s.Size())
		}
		b, err = s.Flush()
		if isDead(t, b); !errors.Is(err, strongroom.ErrFull) || s.Size() != 5000 {
			t.Error(err, s.Size())
		}
	}
	held.Destroy()
	if n, err := s.Read(buf); n != 10 || err != nil || s.Size() != 4990 || buf[9] != 7 {
		t.Error(n, err, s.Size())
	}
}

// A readerFunc reads by a function.
type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// A purge destroys a buffer that is being read into, and what the reader still writes there hits nobody else's memory.
func TestAPurgeWhileAReaderReads(t *testing.T) {
	memguard.Purge()
	others := make([]*memguard.LockedBuffer, 0)
	for name, construct := range map[string]func(io.Reader) (*memguard.LockedBuffer, error){
		"size":  func(r io.Reader) (*memguard.LockedBuffer, error) { return memguard.NewBufferFromReader(r, 600) },
		"until": func(r io.Reader) (*memguard.LockedBuffer, error) { return memguard.NewBufferFromReaderUntil(r, 'x') },
		"all":   memguard.NewBufferFromEntireReader,
	} {
		for _, before := range []int{0, 1, 255, 256, 300} {
			read := 0
			b, err := construct(readerFunc(func(p []byte) (int, error) {
				if read < before {
					n := copy(p[:min(len(p), before-read)], bytes.Repeat([]byte{'a'}, before))
					read += n
					return n, nil
				}
				if read == before {
					memguard.Purge()
					// Were the memory given back, this would have it.
					for range 20 {
						others = append(others, memguard.NewBufferFromBytes([]byte("others")))
					}
				}
				if read > 1000 {
					return 0, io.EOF
				}
				p = p[:1]
				p[0] = 'b'
				read++
				return 1, nil
			}))
			if isDead(t, b); err != core.ErrBufferExpired {
				t.Errorf("%s, after %d bytes: %v", name, before, err)
			}
		}
	}
	for _, b := range others {
		if b.IsAlive() && !b.EqualTo([]byte("others")) {
			t.Errorf("%q", b.Bytes())
		}
		b.Destroy()
	}
}

// An error of the reader is the very one, and what was read before it is kept.
func TestErrorsOfReaders(t *testing.T) {
	broken := errors.New("broken")
	failing := func() io.Reader { return io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(broken)) }
	withData := func() io.Reader {
		return readerFunc(func(p []byte) (int, error) { return copy(p, "a"), broken })
	}
	for _, c := range []struct {
		name string
		got  func() (*memguard.LockedBuffer, error)
		want string
		err  error
	}{
		{"size", func() (*memguard.LockedBuffer, error) { return memguard.NewBufferFromReader(failing(), 9) }, "abc", broken},
		{"until", func() (*memguard.LockedBuffer, error) { return memguard.NewBufferFromReaderUntil(failing(), 'x') }, "abc", broken},
		{"all", func() (*memguard.LockedBuffer, error) { return memguard.NewBufferFromEntireReader(failing()) }, "abc", broken},
		{"enough", func() (*memguard.LockedBuffer, error) { return memguard.NewBufferFromReader(withData(), 1) }, "a", nil},
		{"not the end", func() (*memguard.LockedBuffer, error) { return memguard.NewBufferFromReaderUntil(withData(), 'x') }, "a", broken},
		{"all with data", func() (*memguard.LockedBuffer, error) { return memguard.NewBufferFromEntireReader(withData()) }, "a", broken},
	} {
		b, err := c.got()
		if err != c.err || b.String() != c.want || b.IsMutable() || cap(b.Bytes()) != len(c.want) {
			t.Errorf("%s: %q, %v", c.name, b.String(), err)
		}
		b.Destroy()
	}
	// The end comes before the error that comes with it.
	if b, err := memguard.NewBufferFromReaderUntil(withData(), 'a'); err != nil || b.IsAlive() {
		t.Error(err)
	}
}
