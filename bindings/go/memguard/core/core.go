// Package core is what memguard's package of that name exports and its LockedBuffer and Enclave are made of, on
// strongroom: see package memguard.
//
// Not here are Encrypt, Decrypt and Hash, with their two errors: they are golang.org/x/crypto's nacl/secretbox and
// blake2b, and need nothing of this.
package core

import (
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"os"
	"runtime"

	"strongroom"
)

// The errors are told apart by identity, as memguard's are.
var (
	// ErrNullBuffer is of a buffer of less than one byte.
	ErrNullBuffer = errors.New("<memguard::core::ErrNullBuffer> buffer size must be greater than zero")
	// ErrBufferExpired is of a buffer that was destroyed.
	ErrBufferExpired = errors.New(
		"<memguard::core::ErrBufferExpired> buffer has been purged from memory and can no longer be used")
	// ErrNullEnclave is of an enclave of less than one byte.
	ErrNullEnclave = errors.New("<memguard::core::ErrNullEnclave> enclave size must be greater than zero")
	// ErrDecryptionFailed is of an enclave that was changed, or sealed before a Purge.
	ErrDecryptionFailed = errors.New(
		"<memguard::core::ErrDecryptionFailed> decryption failed: key is wrong or ciphertext is corrupt")
	// ErrCofferExpired is of a coffer that was destroyed, or made before a Purge.
	ErrCofferExpired = errors.New("<memguard::core::ErrCofferExpired> attempted usage of destroyed key object")
)

// Overhead is by how many bytes what is in an Enclave is longer than its secret.
const Overhead int = strongroom.Overhead

// Copy copies as many bytes as fit, in a time that depends on their number alone.
func Copy(dst, src []byte) {
	n := min(len(dst), len(src))
	subtle.ConstantTimeCopy(1, dst[:n], src[:n])
}

// Move copies as Copy does, and wipes all of the source.
func Move(dst, src []byte) {
	Copy(dst, src)
	Wipe(src)
}

// Equal reports whether two byte strings are equal, in a time that depends on their lengths alone.
func Equal(x, y []byte) bool { return subtle.ConstantTimeCompare(x, y) == 1 }

// Scramble overwrites bytes with random ones.
func Scramble(buf []byte) error {
	_, err := rand.Read(buf)
	return err
}

// Wipe overwrites bytes with zeros.
func Wipe(buf []byte) {
	strongroom.Wipe(buf)
	runtime.KeepAlive(buf)
}

// Purge draws a new session key and destroys every buffer there is: no enclave of before can be opened. Fail is called
// then if something was found to have written past an end of one.
func Purge() {
	if err := sessions.purge(); err != nil {
		Fail(err)
	}
}

// Exit wipes all that is secret, and ends the process with that status. Fail is called before that as Purge does.
func Exit(c int) {
	err := sessions.purge()
	strongroom.WipeAll()
	if err != nil {
		Fail(err)
	}
	os.Exit(c)
}

// Panic wipes all that it can, and panics.
func Panic(v interface{}) {
	tell(sessions.purge())
	panic(v)
}
