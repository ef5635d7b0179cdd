// 1,000,000 secrets are sealed, then opened one after the other, under the limit of 64 KiB.
//
//	prlimit --memlock=65536:65536 ./million
package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"time"

	"strongroom"
)

const secrets = 1_000_000

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
	began := time.Now()
	all := make([]strongroom.Sealed, secrets)
	var secret [32]byte
	for i := range all {
		binary.LittleEndian.PutUint64(secret[:], uint64(i))
		if all[i], err = vault.SealAndWipe(secret[:], "token"); err != nil {
			return err
		}
	}
	sealed := time.Since(began)
	began = time.Now()
	for i, record := range all {
		var number uint64
		err := vault.Use(context.Background(), record, "token", func(b []byte) {
			number = binary.LittleEndian.Uint64(b)
		})
		if err != nil {
			return err
		}
		if number != uint64(i) {
			return fmt.Errorf("secret %d is another's", i)
		}
	}
	opened := time.Since(began)
	metrics, err := vault.Metrics()
	if err != nil {
		return err
	}
	runtime.KeepAlive(all)
	fmt.Printf("%d secrets under %d locked bytes: sealed in %v, opened in %v\n",
		secrets, metrics.Locked, sealed.Round(time.Millisecond), opened.Round(time.Millisecond))
	return nil
}
