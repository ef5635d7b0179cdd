package strongroom

// #include <strongroom.h>
import "C"

import (
	"context"
	"errors"
	"io"
	"runtime"
	"unsafe"
)

// A SealWriter seals what is written to it, chunk by chunk, and writes the sealed stream on. Only the vault that
// sealed a stream can open it. One goroutine uses it at a time.
type SealWriter struct {
	held[*C.strongroom_seal_stream]
	to     io.Writer
	sealed []byte
}

// An OpenReader reads a sealed stream and gives what it opens as, chunk by chunk. One goroutine uses it at a
// time.
type OpenReader struct {
	held[*C.strongroom_open_stream]
	from io.Reader
	// What was read and is not pushed yet, of the buffer behind it.
	rest, buffer []byte
	err          error
	// Whether a chunk is exposed.
	showing bool
}

// DefaultChunk is how many bytes of a stream are open at a time if it is not said.
const DefaultChunk = 16 << 10

// NewSealWriter begins a stream to w, with room in locked memory for one chunk of so many bytes (0 for
// DefaultChunk), which it keeps until it is closed. It waits for that room as Open does.
func (v *Vault) NewSealWriter(
	ctx context.Context, w io.Writer, purpose string, chunk int,
) (*SealWriter, error) {
	s := &SealWriter{to: w}
	var handle *C.strongroom_seal_stream
	err := v.room(ctx, chunk, func(vault *C.strongroom_vault) C.enum_strongroom_status {
		return C.strongroom_seal_stream_new(vault, C.size_t(max(chunk, 0)), letters(purpose), length(purpose), 0, &handle)
	})
	if err != nil {
		return nil, err
	}
	hold(s, &s.held, "the stream", handle, freeSealStream)
	return s, nil
}

func freeSealStream(handle *C.strongroom_seal_stream) { C.strongroom_seal_stream_free(&handle) }

func freeOpenStream(handle *C.strongroom_open_stream) { C.strongroom_open_stream_free(&handle) }

// room makes something that takes room for a chunk: it asks, and while there is none it takes its place in line
// for as much, and asks again.
func (v *Vault) room(ctx context.Context, chunk int, f func(*C.strongroom_vault) C.enum_strongroom_status) error {
	if chunk <= 0 {
		chunk = DefaultChunk
	}
	for {
		err := v.use(f)
		if !errors.Is(err, ErrFull) {
			return err
		}
		place, err := v.Allocate(ctx, chunk)
		if err != nil {
			return err
		}
		if err := place.Close(); err != nil {
			return err
		}
	}
}

// Write seals p and writes what that gives of the stream.
func (s *SealWriter) Write(p []byte) (int, error) {
	written := 0
	for written < len(p) {
		part := p[written:min(len(p), written+DefaultChunk)]
		err := s.push(len(part), func(stream *C.strongroom_seal_stream, to unsafe.Pointer, room C.size_t,
			len *C.size_t) C.enum_strongroom_status {
			return C.strongroom_seal_stream_push(stream, first(part), length(part), to, room, len)
		})
		if err != nil {
			return written, err
		}
		written += len(part)
	}
	return written, nil
}

// Flush seals what was written so far as a shorter chunk, for a reader at the other end.
func (s *SealWriter) Flush() error {
	return s.push(0, func(stream *C.strongroom_seal_stream, to unsafe.Pointer, room C.size_t,
		len *C.size_t) C.enum_strongroom_status {
		return C.strongroom_seal_stream_flush(stream, to, room, len)
	})
}

// Close seals the last chunk, without which a stream is a truncated one, which does not open, and gives the room
// back. It does not close the writer below. Closing again does nothing.
func (s *SealWriter) Close() error {
	err := s.push(0, func(stream *C.strongroom_seal_stream, to unsafe.Pointer, room C.size_t,
		len *C.size_t) C.enum_strongroom_status {
		return C.strongroom_seal_stream_end(stream, to, room, len)
	})
	s.close(freeSealStream)
	if errors.Is(err, ErrClosed) {
		return nil
	}
	return err
}

func (s *SealWriter) push(
	len int, f func(*C.strongroom_seal_stream, unsafe.Pointer, C.size_t, *C.size_t) C.enum_strongroom_status,
) error {
	var taken C.size_t
	err := s.alone(func(stream *C.strongroom_seal_stream) C.enum_strongroom_status {
		var bound C.size_t
		if status := C.strongroom_seal_stream_bound(stream, C.size_t(len), &bound); status != C.STRONGROOM_OK {
			return status
		}
		if uint64(cap(s.sealed)) < uint64(bound) {
			s.sealed = make([]byte, bound)
		}
		return f(stream, first(s.sealed), C.size_t(cap(s.sealed)), &taken)
	})
	if err != nil || taken == 0 {
		return err
	}
	_, err = s.to.Write(s.sealed[:taken])
	return err
}

// NewOpenReader begins to open a stream from r, with room in locked memory for one chunk of so many bytes (0 for
// DefaultChunk), which it keeps until it is closed. A stream whose chunks are longer does not open. It waits for
// that room as Open does.
func (v *Vault) NewOpenReader(
	ctx context.Context, r io.Reader, purpose string, chunk int,
) (*OpenReader, error) {
	o := &OpenReader{from: r, buffer: make([]byte, DefaultChunk)}
	var handle *C.strongroom_open_stream
	err := v.room(ctx, chunk, func(vault *C.strongroom_vault) C.enum_strongroom_status {
		return C.strongroom_open_stream_new(vault, C.size_t(max(chunk, 0)), letters(purpose), length(purpose), 0, &handle)
	})
	if err != nil {
		return nil, err
	}
	hold(o, &o.held, "the stream", handle, freeOpenStream)
	return o, nil
}

// Read copies what is open of the stream into p, which is the caller's to wipe: Next shows it where it lies. It
// gives io.EOF when the stream has ended and nothing was left out.
func (o *OpenReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n := 0
	err := o.show(func(open []byte) int {
		n = copy(p, open)
		return n
	})
	return n, err
}

// Next calls f with what is open of the stream's next chunk, in locked memory, as Opened.Use does; it is wiped
// afterwards. It gives io.EOF when the stream has ended and nothing was left out.
func (o *OpenReader) Next(f func(open []byte)) error {
	return o.show(func(open []byte) int {
		within(func() { f(open) })
		return len(open)
	})
}

// Close wipes what is open and gives the room back. It does not close the reader below. ErrExposed if it is
// called by what Next calls: it is then as it was.
func (o *OpenReader) Close() error {
	o.mu.Lock()
	showing := o.showing
	o.mu.Unlock()
	if showing {
		return &Error{Status: ErrExposed, Message: "the stream's chunk is used still: close it after Next has returned"}
	}
	o.close(freeOpenStream)
	return nil
}

// show calls f with what is open and wipes as much as f says.
func (o *OpenReader) show(f func([]byte) int) error {
	for o.err == nil {
		shown, err := o.shown(f)
		if shown || err != nil {
			o.err = err
			break
		}
		if o.err = o.push(); o.err != nil {
			break
		}
	}
	return o.err
}

// shown is false if more of the stream is to be pushed first.
func (o *OpenReader) shown(f func([]byte) int) (bool, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var bytes *C.uint8_t
	var len C.size_t
	pending := false
	err := o.alone(func(stream *C.strongroom_open_stream) C.enum_strongroom_status {
		status := C.strongroom_open_stream_read(stream, &bytes, &len)
		if pending = status == C.STRONGROOM_PENDING; pending {
			return C.STRONGROOM_OK
		}
		o.showing = status == C.STRONGROOM_OK
		return status
	})
	if err != nil || pending {
		return false, err
	}
	used := 0
	// In a defer, for an f that panics or ends the goroutine.
	defer func() {
		_ = o.alone(func(stream *C.strongroom_open_stream) C.enum_strongroom_status {
			o.showing = false
			return C.strongroom_open_stream_end(stream, C.size_t(used))
		})
	}()
	if len == 0 {
		return false, io.EOF
	}
	used = f(unsafe.Slice((*byte)(bytes), int(len)))
	return true, nil
}

// push reads more of the stream, and pushes it.
func (o *OpenReader) push() error {
	ended := false
	if len(o.rest) == 0 {
		n, err := o.from.Read(o.buffer)
		o.rest, ended = o.buffer[:n], err == io.EOF && n == 0
		if n == 0 && err != io.EOF {
			return err
		}
	}
	if len(o.rest) == 0 && !ended {
		return nil
	}
	var taken C.size_t
	err := o.alone(func(stream *C.strongroom_open_stream) C.enum_strongroom_status {
		return C.strongroom_open_stream_push(stream, first(o.rest), length(o.rest), &taken)
	})
	o.rest = o.rest[taken:]
	return err
}
