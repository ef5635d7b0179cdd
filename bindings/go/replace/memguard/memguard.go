// Package memguard stands under memguard's own import path, for a replace line in go.mod, and is strongroom/memguard.
package memguard

import (
	"io"
	"os"

	"strongroom/memguard"
)

type (
	// An Enclave holds a secret sealed.
	Enclave = memguard.Enclave
	// A LockedBuffer holds a secret in locked memory.
	LockedBuffer = memguard.LockedBuffer
	// A Stream keeps what is written to it sealed.
	Stream = memguard.Stream
)

// StreamChunkSize is how many bytes of a Stream are in one chunk at most. To set it, set that of strongroom/memguard.
var StreamChunkSize = memguard.StreamChunkSize

// NewEnclave seals bytes and wipes them where they were.
func NewEnclave(src []byte) *Enclave { return memguard.NewEnclave(src) }

// NewEnclaveRandom seals so many random bytes.
func NewEnclaveRandom(size int) *Enclave { return memguard.NewEnclaveRandom(size) }

// NewBuffer is a buffer of so many bytes, all zero.
func NewBuffer(size int) *LockedBuffer { return memguard.NewBuffer(size) }

// NewBufferFromBytes is a frozen buffer with the bytes of src, which are wiped there.
func NewBufferFromBytes(src []byte) *LockedBuffer { return memguard.NewBufferFromBytes(src) }

// NewBufferRandom is a frozen buffer of random bytes.
func NewBufferRandom(size int) *LockedBuffer { return memguard.NewBufferRandom(size) }

// NewBufferFromReader reads so many bytes into a frozen buffer.
func NewBufferFromReader(r io.Reader, size int) (*LockedBuffer, error) {
	return memguard.NewBufferFromReader(r, size)
}

// NewBufferFromReaderUntil reads into a frozen buffer up to the delimiter.
func NewBufferFromReaderUntil(r io.Reader, delim byte) (*LockedBuffer, error) {
	return memguard.NewBufferFromReaderUntil(r, delim)
}

// NewBufferFromEntireReader reads all there is into a frozen buffer.
func NewBufferFromEntireReader(r io.Reader) (*LockedBuffer, error) {
	return memguard.NewBufferFromEntireReader(r)
}

// NewStream is an empty stream.
func NewStream() *Stream { return memguard.NewStream() }

// ScrambleBytes overwrites bytes with random ones.
func ScrambleBytes(buf []byte) { memguard.ScrambleBytes(buf) }

// WipeBytes overwrites bytes with zeros.
func WipeBytes(buf []byte) { memguard.WipeBytes(buf) }

// Purge draws a new session key and destroys every LockedBuffer there is.
func Purge() { memguard.Purge() }

// SafePanic wipes all that it can, and panics.
func SafePanic(v interface{}) { memguard.SafePanic(v) }

// SafeExit wipes all that is secret, and ends the process.
func SafeExit(c int) { memguard.SafeExit(c) }

// CatchSignal has f called when one of the signals comes, and the process ended then.
func CatchSignal(f func(os.Signal), signals ...os.Signal) { memguard.CatchSignal(f, signals...) }

// CatchInterrupt has the process ended, and all that is secret wiped, when an interrupt signal comes.
func CatchInterrupt() { memguard.CatchInterrupt() }
