// What Go pays for a call through the border, and for sealing and opening, beside what C pays in the same process, in
// turns.
package main

// #cgo CFLAGS: -I${SRCDIR}/../../lib
// #include "loops.h"
import "C"

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"strongroom"
)

const (
	rounds = 20_000
	turns  = 15
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	vault, err := strongroom.New(strongroom.Options{Budget: 64 << 10})
	if err != nil {
		return err
	}
	defer vault.Close()
	var bare *C.strongroom_vault
	if C.strongroom_vault_new(64<<10, &bare) != C.STRONGROOM_OK {
		return fmt.Errorf("no vault: %s", C.GoString(C.strongroom_error_message()))
	}
	defer C.strongroom_vault_free(&bare)
	secret := make([]byte, 32)
	sealed, err := vault.Seal(secret, "x")
	if err != nil {
		return err
	}
	kept, err := vault.TryOpen(sealed, "x")
	if err != nil {
		return err
	}
	defer kept.Close()
	ctx := context.Background()
	var seal, sealC, open, openC, call []float64
	for range turns {
		seal = append(seal, each(func() { _, err = vault.Seal(secret, "x") }))
		sealC = append(sealC, float64(C.loop_seal(bare, rounds)))
		open = append(open, each(func() { err = vault.Use(ctx, sealed, "x", func([]byte) {}) }))
		openC = append(openC, float64(C.loop_open(bare, rounds)))
		call = append(call, each(func() { _, err = kept.Len() }))
		if err != nil {
			return err
		}
	}
	fmt.Printf("one call %.0f ns; seal %.0f ns, %.2f x C's %.0f; open, use and close %.0f ns, %.2f x C's %.0f\n",
		median(call), median(seal), median(seal)/median(sealC), median(sealC),
		median(open), median(open)/median(openC), median(openC))
	return nil
}

func each(f func()) float64 {
	began := time.Now()
	for range rounds {
		f()
	}
	return float64(time.Since(began).Nanoseconds()) / rounds
}

func median(times []float64) float64 {
	slices.Sort(times)
	return times[len(times)/2]
}
