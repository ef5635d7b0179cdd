// 10,000 secrets are held, and polled by 50 goroutines at once, under the limit of 64 KiB.
//
//	prlimit --memlock=65536:65536 ./poll
package main

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"github.com/awnumar/memguard"
)

const (
	secrets = 10_000
	workers = 50
)

func secret(i int) string { return fmt.Sprintf("token-%08d-of-thirty-two-bytes!!", i) }

func main() {
	defer memguard.Purge()
	held := make([]*memguard.Enclave, secrets)
	for i := range held {
		held[i] = memguard.NewEnclave([]byte(secret(i)))
	}
	var next, wrong atomic.Int64
	var group sync.WaitGroup
	for range workers {
		group.Add(1)
		go func() {
			defer group.Done()
			for i := next.Add(1) - 1; i < 3*secrets; i = next.Add(1) - 1 {
				b, err := held[i%secrets].Open()
				if err != nil {
					fmt.Fprintln(os.Stderr, err)
					wrong.Add(1)
					return
				}
				if !b.EqualTo([]byte(secret(int(i % secrets)))) {
					wrong.Add(1)
				}
				b.Destroy()
			}
		}()
	}
	group.Wait()
	if wrong.Load() > 0 {
		memguard.SafeExit(1)
	}
	fmt.Printf("%d secrets, polled three times\n", secrets)
}
