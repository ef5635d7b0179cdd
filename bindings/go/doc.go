// Package strongroom packs many secrets under few locked pages, sealed at rest.
//
// A secret rests as a sealed record in ordinary memory, where it costs no locked memory. While it is open
// it lies in locked memory, between canaries, under a budget. When that is full, callers wait in a fair
// line, within a context, and without a thread each.
//
//	vault, err := strongroom.New(strongroom.Options{Budget: 64 << 10})
//	sealed, err := vault.SealAndWipe(password, "db/password")
//	err = vault.Use(ctx, sealed, "db/password", func(password []byte) { connect(password) })
//
// # What it promises, and what it does not
//
// No byte of an open secret is on Go's heap or on a goroutine's stack because of this package: the slice
// that Use gives points into the locked memory. What the program copies out of it is the program's, and so
// is what was there before: a string cannot be wiped at all.
//
// Everything is closed by its Close. What is forgotten is closed when the garbage collector finds it, which
// may be late: the collector does not know that locked memory is scarce.
//
// A process that forks without executing another program sees nothing of a vault; Go programs do not.
package strongroom
