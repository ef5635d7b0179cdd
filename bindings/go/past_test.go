package strongroom_test

import "unsafe"

// past writes past the end of b, which checkptr would find, so it is no conversion that is looked at.
//
//go:nocheckptr
func past(b []byte) { *(*byte)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(b)), len(b))) ^= 1 }
