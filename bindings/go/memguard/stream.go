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
// for is sealed again, and read next. It gives io.EOF when there is nothing, even to a buf without room.
func (s *Stream) Read(buf []byte) (int, error) {
	s.Lock()
	defer s.Unlock()
	front, chunk, err := s.open()
	if err != nil {
		return 0, err
	}
	defer chunk.Destroy()
	n := 0
	expired := chunk.Use(func(data []byte) {
		n = min(len(buf), len(data))
		core.Copy(buf, data[:n])
		err = s.shorten(front, data[n:])
	})
	if expired != nil {
		return 0, expired
	}
	if err != nil {
		core.Wipe(buf[:n])
		return 0, err
	}
	return n, nil
}

// shorten leaves the rest of a chunk, which is sealed and wiped, or takes the chunk out if there is none. After a
// failure it is as it was.
func (s *Stream) shorten(chunk *list.Element, rest []byte) error {
	e, err := core.NewEnclave(rest)
	switch err {
	case nil:
		chunk.Value = &Enclave{e}
		return nil
	case core.ErrNullEnclave:
		s.Remove(chunk)
		return nil
	default:
		return err
	}
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
// want of room stays the next; one that cannot be opened any more, after a Purge, is gone.
func (s *Stream) Next() (*LockedBuffer, error) {
	s.Lock()
	defer s.Unlock()
	return s.next()
}

func (s *Stream) next() (*LockedBuffer, error) {
	front, chunk, err := s.open()
	if err == nil {
		s.Remove(front)
	}
	return chunk, err
}

// open opens the next chunk, which stays in the stream.
func (s *Stream) open() (*list.Element, *LockedBuffer, error) {
	front := s.Front()
	if front == nil {
		return nil, newNullBuffer(), io.EOF
	}
	chunk, err := front.Value.(*Enclave).Open()
	if err != nil {
		if err == core.ErrDecryptionFailed {
			s.Remove(front)
		}
		return nil, newNullBuffer(), err
	}
	return front, chunk, nil
}

// Flush opens all there is in one frozen buffer. If a chunk cannot be opened, the buffer holds those before it, and the
// error says why.
func (s *Stream) Flush() (*LockedBuffer, error) {
	s.Lock()
	defer s.Unlock()
	size := s.size()
	all, err := tryBuffer(size)
	if err != nil {
		return all, err
	}
	for n := 0; n < size; {
		chunk, err := s.next()
		if err != nil {
			return cut(all, n, err)
		}
		expired := chunk.Use(func(data []byte) {
			all.CopyAt(n, data)
			n += len(data)
		})
		if expired != nil {
			return cut(all, n, expired)
		}
		chunk.Destroy()
	}
	all.Freeze()
	return all, nil
}
