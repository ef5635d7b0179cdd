//go:build !goexperiment.runtimesecret

package strongroom

// within calls what sees a secret.
func within(f func()) { f() }
