package memguard

import (
	"os"
	"os/signal"
	"sync"
	"syscall"

	"strongroom/memguard/core"
)

// caught is who is told of signals now.
var caught struct {
	sync.Mutex
	signals chan os.Signal
}

// CatchSignal has f called when one of the signals comes, any if none is said, and the process ended then: all that is
// secret is wiped, and the exit status is 1. Of several calls the last is the one that counts.
//
// Of any, signals that the Go runtime sends itself are not one (SIGURG), nor are those that end nothing unless they are
// caught (SIGCHLD, SIGCONT, SIGWINCH): say them to catch them.
func CatchSignal(f func(os.Signal), signals ...os.Signal) {
	caught.Lock()
	defer caught.Unlock()
	if caught.signals != nil {
		signal.Stop(caught.signals)
		close(caught.signals)
	}
	caught.signals = make(chan os.Signal, 1)
	go end(f, caught.signals, len(signals) == 0)
	signal.Notify(caught.signals, signals...)
}

func end(f func(os.Signal), signals <-chan os.Signal, any bool) {
	for s := range signals {
		if any && isIdle(s) {
			continue
		}
		f(s)
		core.Exit(1)
	}
}

func isIdle(s os.Signal) bool {
	switch s {
	case syscall.SIGURG, syscall.SIGCHLD, syscall.SIGCONT, syscall.SIGWINCH:
		return true
	}
	return false
}

// CatchInterrupt has all that is secret wiped, and the process ended, when an interrupt signal comes.
func CatchInterrupt() { CatchSignal(func(os.Signal) {}, os.Interrupt) }
