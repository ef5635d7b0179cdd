//go:build goexperiment.runtimesecret

package strongroom

import "runtime/secret"

// within calls what sees a secret, and wipes what it leaves in registers, on the stack and on the heap.
func within(f func()) { secret.Do(f) }
