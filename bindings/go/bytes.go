package strongroom

// #include <strongroom.h>
//
// #cgo noescape strongroom_wipe
// #cgo nocallback strongroom_wipe
// #cgo noescape strongroom_constant_time_equal
// #cgo nocallback strongroom_constant_time_equal
import "C"

import "unsafe"

func first(b []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(b)) }

func letters(s string) unsafe.Pointer { return unsafe.Pointer(unsafe.StringData(s)) }

func length[T ~[]byte | ~string](b T) C.size_t { return C.size_t(len(b)) }

// Wipe overwrites bytes with zeros, which no compiler leaves out.
func Wipe(b []byte) {
	// It fails for no slice.
	_ = C.strongroom_wipe(first(b), length(b))
}

// Equal reports whether two byte strings are equal, in a time that depends on their lengths alone.
func Equal(one, other []byte) bool {
	var equal C.bool
	_ = C.strongroom_constant_time_equal(first(one), length(one), first(other), length(other), &equal)
	return bool(equal)
}

// WipeAll overwrites the locked memory of every vault of this process with zeros, keys included. It is for a
// process that ends: every call fails afterwards.
func WipeAll() { C.strongroom_wipe_all() }

// Version is that of the library, as in "0.1.0".
func Version() string { return C.GoString(C.strongroom_version()) }
