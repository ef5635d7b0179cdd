package memguard

import (
	"container/list"
	"io"
	"os"
	"sync"

	"strongroom/memguard/core"
)

// StreamChunkSize is how many bytes of a Stream are in one chunk, and in locked memory at a time, at most. Set it
// before the first stream is used, if less may be locked.
var StreamChunkSize = os.Getpagesize() * 4

// A Stream keeps what is written to it sealed, chunk by chunk, until it is read.
type Stream struct {
	sync.Mutex
	*list.List
}

// NewStream is an empty stream.
func NewStream() *Stream { return &Stream{List: list.New()} }

// Write seals data in chunks, and wipes it where it was. What is written last is read last.
func (s *Stream) Write(data []byte) (int, error) {
	s.Lock()
	defer s.Unlock()
	written := 0
	for written < len(data) {
		chunk := data[written:min(len(data), written+max(StreamChunkSize, 1))]
		e, err := core.NewEnclave(chunk)
		if err != nil {
			return written, err
		}
		s.PushBack(&Enclave{e})
		written += len(chunk)
	}
	return written, nil
}

// Read opens the next chunk and copies it to buf, which is not locked: Next gives it where it is. What buf has no room
// for is sealed again, and read next. It gives io.EOF when there is nothing.
func (s *Stream) Read(buf []byte) (int, error) {
	s.Lock()
	defer s.Unlock()
	if s.Len() > 0 && len(buf) == 0 {
		return 0, nil
	}
	b, err := s.next()
	if err != nil {
		return 0, err
	}
	defer b.Destroy()
	n := len(buf)
	if n >= b.Size() {
		n = b.Size()
	} else if rest, err := core.NewEnclave(b.Bytes()[n:]); err != nil {
		return 0, err
	} else {
		s.PushFront(&Enclave{rest})
	}
	core.Copy(buf, b.Bytes()[:n])
	return n, nil
}

// Size is how many bytes there are to be read.
func (s *Stream) Size() int {
	s.Lock()
	defer s.Unlock()
	return s.size()
}

func (s *Stream) size() int {
	n := 0
	for e := s.Front(); e != nil; e = e.Next() {
		n += e.Value.(*Enclave).Size()
	}
	return n
}

// Next opens the next chunk in a frozen buffer, and gives io.EOF when there is none. A chunk that is not opened for
// want of room stays the next.
func (s *Stream) Next() (*LockedBuffer, error) {
	s.Lock()
	defer s.Unlock()
	return s.next()
}

func (s *Stream) next() (*LockedBuffer, error) {
	e := s.Front()
	if e == nil {
		return null(), io.EOF
	}
	b, err := e.Value.(*Enclave).Open()
	if err != nil {
		return null(), err
	}
	s.Remove(e)
	return b, nil
}

// Flush opens all there is in one frozen buffer. If a chunk cannot be opened, the buffer holds those before it, and the
// error says why.
func (s *Stream) Flush() (*LockedBuffer, error) {
	s.Lock()
	defer s.Unlock()
	all, err := tryBuffer(s.size())
	if err != nil {
		return all, err
	}
	for n := 0; n < all.Size(); {
		chunk, err := s.next()
		if err != nil {
			return cut(all, n, err)
		}
		all.CopyAt(n, chunk.Bytes())
		n += chunk.Size()
		chunk.Destroy()
	}
	all.Freeze()
	return all, nil
}
