//go:build !strongroom_system

package strongroom

// build.sh puts the header and the static library there.

// #cgo CFLAGS: -I${SRCDIR}/lib
// #cgo LDFLAGS: ${SRCDIR}/lib/libstrongroom.a -lm -lpthread
// #cgo linux LDFLAGS: -ldl -lrt
import "C"
