// Package memguard has the exported interface of memguard 0.23 (github.com/awnumar/memguard) on strongroom: an import
// path, or a replace line in go.mod, is all that a program changes.
//
// What differs: buffers share locked pages, so that hundreds are open where there were a dozen; a sealed Enclave takes
// no locked memory; and when there is no room, a call waits for it, and after some time fails with the numbers and what
// to change, where memguard purges every secret and ends the program. Enclave.Open and the NewBufferFromReader family
// return that as their error; what has none panics, or tells the handler that Configure set.
//
// What memguard does with pages of a buffer's own is not to be had: Freeze is kept by the methods, not by the
// processor, and what writes past an end of a buffer is found when it is destroyed, not at once.
package memguard

import "strongroom/memguard/core"

// Settings say how much memory is locked, how long it is waited for, and who is told when that was in vain.
type Settings = core.Settings

// Configure sets what is to be from the next Purge on, and at once if nothing was sealed or allocated yet. It is not
// memguard's: a program that was written for that has the defaults.
func Configure(settings Settings) { core.Configure(settings) }

// ScrambleBytes overwrites bytes with random ones.
func ScrambleBytes(buf []byte) {
	if err := core.Scramble(buf); err != nil {
		core.Panic(err)
	}
}

// WipeBytes overwrites bytes with zeros.
func WipeBytes(buf []byte) { core.Wipe(buf) }

// Purge draws a new session key and destroys every LockedBuffer there is: no Enclave of before can be opened. It panics
// then, or tells the handler that Configure set, if something had written past an end of one.
func Purge() { core.Purge() }

// SafePanic wipes all that it can, and panics.
func SafePanic(v interface{}) { core.Panic(v) }

// SafeExit wipes all that is secret, and ends the process with that status, or as Purge panics.
func SafeExit(c int) { core.Exit(c) }
