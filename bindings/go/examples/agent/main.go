// An agent that was written for memguard: 200 credentials, user and password each, and 100 polls at one instant, each of
// which opens both of every credential. Nothing but go.mod says that it is strongroom.
//
//	GOMAXPROCS=1 prlimit --memlock=16384:16384 ./agent
package main

import (
	"fmt"
	"os"
	"sync"

	"github.com/awnumar/memguard"
)

const (
	credentials = 200
	polls       = 100
)

type credential struct{ user, password *memguard.Enclave }

func user(i int) string { return fmt.Sprintf("agent-%04d@database.example", i) }

func password(i int) string { return fmt.Sprintf("correct-horse-battery-staple-%04d", i) }

func main() {
	memguard.CatchInterrupt()
	defer memguard.Purge()
	var all []credential
	for i := range credentials {
		all = append(all, credential{
			memguard.NewEnclave([]byte(user(i))), memguard.NewEnclave([]byte(password(i))),
		})
	}
	start := make(chan struct{})
	var group sync.WaitGroup
	var failed sync.Map
	for poll := range polls {
		group.Add(1)
		go func() {
			defer group.Done()
			<-start
			for i := range all {
				// Not all begin with the same.
				i = (i + poll*2) % len(all)
				if err := connect(all[i], i); err != nil {
					failed.Store(poll, err)
					return
				}
			}
		}()
	}
	close(start)
	group.Wait()
	failed.Range(func(_, err any) bool {
		fmt.Fprintln(os.Stderr, err)
		memguard.SafeExit(1)
		return false
	})
	fmt.Printf("%d polls of %d credentials\n", polls, credentials)
}

func connect(c credential, i int) error {
	name, err := c.user.Open()
	if err != nil {
		return err
	}
	defer name.Destroy()
	word, err := c.password.Open()
	if err != nil {
		return err
	}
	defer word.Destroy()
	if name.String() != user(i) || !word.EqualTo([]byte(password(i))) {
		return fmt.Errorf("credential %d is another's", i)
	}
	return nil
}
