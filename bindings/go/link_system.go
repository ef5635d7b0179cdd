//go:build strongroom_system

package strongroom

// With this tag the library that is installed is used, as pkg-config knows it.

// #cgo pkg-config: strongroom
import "C"
