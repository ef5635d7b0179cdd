package memguard

import (
	"bytes"
	"io"
	"unsafe"

	"strongroom/memguard/core"
)

// A LockedBuffer holds a secret in locked memory. Destroy it as soon as it is not used any more: it takes its share
// of a budget.
//
// What shows its bytes (Bytes, Reader, String, the views as numbers and arrays) shows the locked memory itself, which
// is somebody else's after Destroy. Nothing is destroyed because nobody can reach the buffer any more: its bytes may be
// in use still.
type LockedBuffer struct {
	*core.Buffer
}

// newNullBuffer is a buffer of no bytes, which counts as destroyed.
func newNullBuffer() *LockedBuffer { return &LockedBuffer{new(core.Buffer)} }

// NewBuffer is a buffer of so many bytes, all zero, that may be written to; a destroyed one if they are less than one.
//
// When there is no room it waits, and panics after some time with the numbers and what to change, or tells the
// handler that Configure set, and is a destroyed one.
func NewBuffer(size int) *LockedBuffer {
	b, err := tryBuffer(size)
	if err != nil {
		core.Fail(err)
	}
	return b
}

// tryBuffer is NewBuffer for those who can answer with an error.
func tryBuffer(size int) (*LockedBuffer, error) {
	b, err := core.NewBuffer(size)
	switch err {
	case nil:
		return &LockedBuffer{b}, nil
	case core.ErrNullBuffer:
		return newNullBuffer(), nil
	default:
		return newNullBuffer(), err
	}
}

// NewBufferFromBytes is a frozen buffer with the bytes of src, which are wiped there.
func NewBufferFromBytes(src []byte) *LockedBuffer {
	b := NewBuffer(len(src))
	b.Move(src)
	b.Freeze()
	return b
}

// NewBufferRandom is a frozen buffer of random bytes; a destroyed one if they are less than one.
func NewBufferRandom(size int) *LockedBuffer {
	b := NewBuffer(size)
	b.Scramble()
	b.Freeze()
	return b
}

// NewBufferFromReader reads so many bytes into a frozen buffer. If there are less, it holds those, and the error says
// why. Without a byte it is a destroyed one.
func NewBufferFromReader(r io.Reader, size int) (*LockedBuffer, error) {
	b, err := tryBuffer(size)
	if err != nil || !b.IsAlive() {
		return b, err
	}
	n := 0
	if expired := b.Use(func(data []byte) { n, err = io.ReadFull(r, data) }); expired != nil {
		return newNullBuffer(), expired
	}
	return cut(b, n, err)
}

// NewBufferFromReaderUntil reads into a frozen buffer up to the delimiter, which is read and left out. If the reader
// fails or ends before, the buffer holds what was read, and the error says why. It reads byte by byte: what follows the
// delimiter is not read.
func NewBufferFromReaderUntil(r io.Reader, delim byte) (*LockedBuffer, error) {
	return fill(func(room []byte) (int, bool, error) {
		n, err := r.Read(room[:1])
		if n == 1 && room[0] == delim {
			return 0, true, nil
		}
		return n, false, err
	})
}

// NewBufferFromEntireReader reads all there is into a frozen buffer. If the reader fails before its end, the buffer
// holds what was read, and the error says why.
func NewBufferFromEntireReader(r io.Reader) (*LockedBuffer, error) {
	return fill(func(room []byte) (int, bool, error) {
		n, err := r.Read(room)
		if err == io.EOF {
			return n, true, nil
		}
		return n, false, err
	})
}

// fill reads into a buffer that grows, until that ends or fails. A purge meanwhile is core.ErrBufferExpired.
//
// The reader's code runs with the buffer's lock held for reading, so that the memory stays its own. Nobody waits for
// that lock: only a purge knows the buffer, and goes on without it.
func fill(read func(room []byte) (n int, ended bool, err error)) (*LockedBuffer, error) {
	b, err := tryBuffer(readStart)
	if err != nil {
		return b, err
	}
	for n := 0; ; {
		if n == b.Size() {
			if b, err = grown(b); err != nil {
				return cut(b, n, err)
			}
		}
		got, ended := 0, false
		if expired := b.Use(func(data []byte) { got, ended, err = read(data[n:]) }); expired != nil {
			return newNullBuffer(), expired
		}
		n += got
		if ended || err != nil {
			return cut(b, n, err)
		}
	}
}

// readStart is how many bytes a buffer has that it is not known how many will be read into.
const readStart = 256

// grown is a buffer of twice the size, or the same one if there is no room, or if it was purged.
func grown(b *LockedBuffer) (*LockedBuffer, error) {
	larger, err := tryBuffer(2 * b.Size())
	if err != nil {
		return b, err
	}
	if expired := b.Use(larger.Copy); expired != nil {
		larger.Destroy()
		return b, expired
	}
	b.Destroy()
	return larger, nil
}

// cut is a frozen buffer of the first n bytes.
func cut(b *LockedBuffer, n int, err error) (*LockedBuffer, error) {
	if n == 0 {
		b.Destroy()
		return newNullBuffer(), err
	}
	b.Truncate(n)
	b.Freeze()
	return b, err
}

// Freeze has the buffer's methods refuse to write to it, until Melt. What writes to Bytes itself is not kept from it:
// secrets share pages.
func (b *LockedBuffer) Freeze() { b.Buffer.Freeze() }

// Melt undoes Freeze.
func (b *LockedBuffer) Melt() { b.Buffer.Melt() }

// Seal seals the bytes into an enclave and destroys the buffer; nil if it was destroyed before.
func (b *LockedBuffer) Seal() *Enclave {
	e, err := core.Seal(b.Buffer)
	switch err {
	case nil:
		return &Enclave{e}
	case core.ErrBufferExpired:
		return nil
	default:
		core.Fail(err)
		return nil
	}
}

// Copy copies src to the buffer's start, as much as fits. Nothing is done if the buffer is frozen or destroyed.
func (b *LockedBuffer) Copy(src []byte) { b.CopyAt(0, src) }

// CopyAt copies src to an offset, as much as fits. Nothing is done if the buffer is frozen or destroyed.
func (b *LockedBuffer) CopyAt(offset int, src []byte) {
	b.Change(func(data []byte) { core.Copy(data[offset:], src) })
}

// Move is Copy, and wipes src if something was done.
func (b *LockedBuffer) Move(src []byte) { b.MoveAt(0, src) }

// MoveAt is CopyAt, and wipes src if something was done.
func (b *LockedBuffer) MoveAt(offset int, src []byte) {
	b.Change(func(data []byte) { core.Move(data[offset:], src) })
}

// Scramble overwrites the bytes with random ones, unless the buffer is frozen or destroyed.
func (b *LockedBuffer) Scramble() { b.Buffer.Scramble() }

// Wipe overwrites the bytes with zeros, unless the buffer is frozen or destroyed.
func (b *LockedBuffer) Wipe() { b.Change(core.Wipe) }

// Size is how many bytes there are; 0 if they were destroyed.
func (b *LockedBuffer) Size() int { return len(b.Bytes()) }

// Destroy wipes the bytes and gives their memory back; again it does nothing.
func (b *LockedBuffer) Destroy() { b.Buffer.Destroy() }

// IsAlive reports whether the buffer was not destroyed.
func (b *LockedBuffer) IsAlive() bool { return b.Alive() }

// IsMutable reports whether the buffer is alive and not frozen.
func (b *LockedBuffer) IsMutable() bool { return b.Mutable() }

// EqualTo reports whether the bytes are those of buf, in a time that depends on the lengths alone; false if they
// were destroyed. A buffer that never had a byte equals what has none.
func (b *LockedBuffer) EqualTo(buf []byte) bool { return b.Buffer.EqualTo(buf) }

// Bytes are the bytes in locked memory; nil if they were destroyed.
func (b *LockedBuffer) Bytes() []byte { return b.Data() }

// Reader reads the bytes in locked memory.
func (b *LockedBuffer) Reader() *bytes.Reader { return bytes.NewReader(b.Bytes()) }

// String is the bytes in locked memory as a string, which is not a copy: it changes with them.
func (b *LockedBuffer) String() string {
	data := b.Bytes()
	return unsafe.String(unsafe.SliceData(data), len(data))
}

// number is what bytes can be seen as.
type number interface {
	uint16 | uint32 | uint64 | int8 | int16 | int32 | int64
}

// as sees the bytes as numbers, without what is left over; nil if there is not one.
func as[N number](b *LockedBuffer) []N {
	data := b.Bytes()
	var one N
	count := len(data) / int(unsafe.Sizeof(one))
	if count == 0 {
		return nil
	}
	return unsafe.Slice((*N)(unsafe.Pointer(unsafe.SliceData(data))), count)
}

// Uint16 sees the bytes as numbers of 16 bits, without what is left over; nil if they were destroyed.
func (b *LockedBuffer) Uint16() []uint16 { return as[uint16](b) }

// Uint32 sees the bytes as numbers of 32 bits, without what is left over; nil if they were destroyed.
func (b *LockedBuffer) Uint32() []uint32 { return as[uint32](b) }

// Uint64 sees the bytes as numbers of 64 bits, without what is left over; nil if they were destroyed.
func (b *LockedBuffer) Uint64() []uint64 { return as[uint64](b) }

// Int8 sees the bytes as signed numbers of 8 bits; nil if they were destroyed.
func (b *LockedBuffer) Int8() []int8 { return as[int8](b) }

// Int16 sees the bytes as signed numbers of 16 bits, without what is left over; nil if they were destroyed.
func (b *LockedBuffer) Int16() []int16 { return as[int16](b) }

// Int32 sees the bytes as signed numbers of 32 bits, without what is left over; nil if they were destroyed.
func (b *LockedBuffer) Int32() []int32 { return as[int32](b) }

// Int64 sees the bytes as signed numbers of 64 bits, without what is left over; nil if they were destroyed.
func (b *LockedBuffer) Int64() []int64 { return as[int64](b) }

// ByteArray8 is the first 8 bytes in locked memory; nil if there are less, or they were destroyed.
func (b *LockedBuffer) ByteArray8() *[8]byte {
	if data := b.Bytes(); len(data) >= 8 {
		return (*[8]byte)(data)
	}
	return nil
}

// ByteArray16 is the first 16 bytes in locked memory; nil if there are less, or they were destroyed.
func (b *LockedBuffer) ByteArray16() *[16]byte {
	if data := b.Bytes(); len(data) >= 16 {
		return (*[16]byte)(data)
	}
	return nil
}

// ByteArray32 is the first 32 bytes in locked memory; nil if there are less, or they were destroyed.
func (b *LockedBuffer) ByteArray32() *[32]byte {
	if data := b.Bytes(); len(data) >= 32 {
		return (*[32]byte)(data)
	}
	return nil
}

// ByteArray64 is the first 64 bytes in locked memory; nil if there are less, or they were destroyed.
func (b *LockedBuffer) ByteArray64() *[64]byte {
	if data := b.Bytes(); len(data) >= 64 {
		return (*[64]byte)(data)
	}
	return nil
}
