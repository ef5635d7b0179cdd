package strongroom

// #include "shim.h"
//
// #cgo nocallback strongroom_go_waker
import "C"

import (
	"context"
	"errors"
	"fmt"
	"runtime/cgo"
	"time"
)

// A waiter asks the library for one open secret or several: at once, or in line.
type waiter struct {
	try   func(*C.strongroom_vault, **C.strongroom_opened) C.enum_strongroom_status
	begin func(*C.strongroom_vault, C.strongroom_waker, **C.strongroom_opening,
		**C.strongroom_opened) C.enum_strongroom_status
}

func (v *Vault) wait(ctx context.Context, count int, w waiter) ([]*Opened, error) {
	return wait(ctx, &v.held, count, w.try, w.begin, v.inTheWay)
}

// bell is rung when it is worth asking again.
type bell chan struct{}

//export strongroomGoWake
func strongroomGoWake(number C.uintptr_t) {
	select {
	case cgo.Handle(number).Value().(bell) <- struct{}{}:
	default: // It has rung already.
	}
}

//export strongroomGoRelease
func strongroomGoRelease(number C.uintptr_t) { cgo.Handle(number).Delete() }

// wait asks at once, then waits in line. The goroutine waits for its bell, and no thread does.
func wait[H comparable](
	ctx context.Context, from *held[H], count int,
	try func(H, **C.strongroom_opened) C.enum_strongroom_status,
	begin func(H, C.strongroom_waker, **C.strongroom_opening, **C.strongroom_opened) C.enum_strongroom_status,
	inTheWay func(waited time.Duration, cause error) error,
) ([]*Opened, error) {
	if err := ctx.Err(); err != nil {
		return nil, inTheWay(0, err)
	}
	handles := make([]*C.strongroom_opened, count)
	var status C.enum_strongroom_status
	err := from.useWithFew(func(handle H) C.enum_strongroom_status {
		status = try(handle, &handles[0])
		if status == C.STRONGROOM_FULL {
			return C.STRONGROOM_OK
		}
		return status
	})
	if err != nil {
		return nil, err
	}
	if status == C.STRONGROOM_OK {
		return openedOf(handles), nil
	}
	began := time.Now()
	rung := make(bell, 1)
	var opening *C.strongroom_opening
	err = from.useWithFew(func(handle H) C.enum_strongroom_status {
		waker := C.strongroom_go_waker(C.uintptr_t(cgo.NewHandle(rung)))
		status = begin(handle, waker, &opening, &handles[0])
		if status == C.STRONGROOM_PENDING {
			return C.STRONGROOM_OK
		}
		return status
	})
	for err == nil && status == C.STRONGROOM_PENDING {
		select {
		case <-rung:
			enter()
			err = call(func() C.enum_strongroom_status {
				status = C.strongroom_opening_finish(&opening, &handles[0])
				if status == C.STRONGROOM_PENDING {
					return C.STRONGROOM_OK
				}
				return status
			})
			leave()
		case <-ctx.Done():
			enter()
			C.strongroom_opening_cancel(&opening)
			leave()
			return nil, inTheWay(time.Since(began), ctx.Err())
		}
	}
	if err != nil {
		return nil, err
	}
	return openedOf(handles), nil
}

// inTheWay says why there was no room before the context was done.
func (v *Vault) inTheWay(waited time.Duration, cause error) error {
	e := &Error{Status: ErrTimedOut, cause: cause, Numbers: Numbers{Waited: waited}}
	how := "wait longer"
	if !errors.Is(cause, context.DeadlineExceeded) {
		how = "let it wait"
	}
	m, err := v.Metrics()
	if err != nil {
		e.Message = fmt.Sprintf("no room within %v (%v): %s", waited.Round(time.Millisecond), cause, how)
		return e
	}
	e.Numbers.Held, e.Numbers.Capacity, e.Numbers.Waiters = int(m.Live), int(m.Budget), int(m.Waiters)
	e.Numbers.GrowthRefused = m.GrowthRefusals > 0
	remedy := "give the vault a larger budget"
	if e.Numbers.GrowthRefused {
		remedy = "let the process lock more (Vault.Protections says what is in the way)"
	}
	e.Message = fmt.Sprintf(
		"no room within %v (%v): %d secrets are open, %d of %d bytes are locked, %d callers wait; close secrets "+
			"sooner, %s, or %s", waited.Round(time.Millisecond), cause, m.Live, m.Locked, m.Budget, m.Waiters, how, remedy)
	return e
}
