// Package core stands under memguard's own import path, for a replace line in go.mod, and is strongroom/memguard/core.
package core

import "strongroom/memguard/core"

type (
	// A Buffer holds a secret in locked memory.
	Buffer = core.Buffer
	// An Enclave holds a secret sealed.
	Enclave = core.Enclave
	// A Coffer holds 32 random bytes, sealed.
	Coffer = core.Coffer
)

// Overhead is by how many bytes what is in an Enclave is longer than its secret.
const Overhead int = core.Overhead

// The errors are those of strongroom/memguard/core.
var (
	ErrNullBuffer       = core.ErrNullBuffer
	ErrBufferExpired    = core.ErrBufferExpired
	ErrNullEnclave      = core.ErrNullEnclave
	ErrDecryptionFailed = core.ErrDecryptionFailed
	ErrCofferExpired    = core.ErrCofferExpired
)

// NewBuffer is a buffer of so many bytes, all zero.
func NewBuffer(size int) (*Buffer, error) { return core.NewBuffer(size) }

// NewCoffer draws the bytes of a new coffer.
func NewCoffer() *Coffer { return core.NewCoffer() }

// NewEnclave seals bytes and wipes them where they were.
func NewEnclave(buf []byte) (*Enclave, error) { return core.NewEnclave(buf) }

// Seal seals a buffer's bytes, and destroys the buffer.
func Seal(b *Buffer) (*Enclave, error) { return core.Seal(b) }

// Open opens an enclave in a new buffer.
func Open(e *Enclave) (*Buffer, error) { return core.Open(e) }

// EnclaveSize is the length of what an enclave holds.
func EnclaveSize(e *Enclave) int { return core.EnclaveSize(e) }

// Copy copies as many bytes as fit, in a time that depends on their number alone.
func Copy(dst, src []byte) { core.Copy(dst, src) }

// Move copies as Copy does, and wipes the source.
func Move(dst, src []byte) { core.Move(dst, src) }

// Equal reports whether two byte strings are equal, in a time that depends on their lengths alone.
func Equal(x, y []byte) bool { return core.Equal(x, y) }

// Scramble overwrites bytes with random ones.
func Scramble(buf []byte) error { return core.Scramble(buf) }

// Wipe overwrites bytes with zeros.
func Wipe(buf []byte) { core.Wipe(buf) }

// Purge draws a new session key and destroys every buffer there is.
func Purge() { core.Purge() }

// Exit wipes all that is secret, and ends the process.
func Exit(c int) { core.Exit(c) }

// Panic wipes all that it can, and panics.
func Panic(v interface{}) { core.Panic(v) }
