package strongroom

// #include <strongroom.h>
//
// #cgo noescape strongroom_error_numbers_read
// #cgo nocallback strongroom_error_numbers_read
// #cgo nocallback strongroom_error_message
import "C"

import (
	"fmt"
	"runtime"
	"strings"
	"time"
	"unsafe"
)

// A Status says what kind of failure an [Error] is: errors.Is(err, strongroom.ErrFull).
type Status uint32

// The kinds of failure.
const (
	// ErrInvalidArgument: an argument is none that could be meant.
	ErrInvalidArgument Status = C.STRONGROOM_INVALID_ARGUMENT
	// ErrFull: there is no room now.
	ErrFull Status = C.STRONGROOM_FULL
	// ErrTimedOut: there was no room in time. The context's error is wrapped.
	ErrTimedOut Status = C.STRONGROOM_TIMED_OUT
	// ErrTooLarge: it would not fit even if nothing else were open.
	ErrTooLarge Status = C.STRONGROOM_TOO_LARGE
	// ErrNeverTogether: what was asked for together could not be open together even if nothing else were.
	ErrNeverTogether Status = C.STRONGROOM_NEVER_TOGETHER
	// ErrTampered: the record was changed, is another's, or belongs to another vault or purpose.
	ErrTampered Status = C.STRONGROOM_TAMPERED
	// ErrDestroyed: the vault was destroyed, or all memory was wiped.
	ErrDestroyed Status = C.STRONGROOM_DESTROYED
	// ErrForked: this process was forked from the one that made the vault.
	ErrForked Status = C.STRONGROOM_FORKED
	// ErrNoEntropy: the operating system gives no random bytes.
	ErrNoEntropy Status = C.STRONGROOM_NO_ENTROPY
	// ErrKeyShare: a share of the key cannot rest in the kernel's keyring, or is not there any more.
	ErrKeyShare Status = C.STRONGROOM_KEY_SHARE
	// ErrNotLocked: the memory could not be locked.
	ErrNotLocked Status = C.STRONGROOM_NOT_LOCKED
	// ErrBudget: the budget is too small, or ends below its start.
	ErrBudget Status = C.STRONGROOM_BUDGET
	// ErrExhausted: so much was sealed that the vault must be renewed.
	ErrExhausted Status = C.STRONGROOM_EXHAUSTED
	// ErrExposed: the secret is used still.
	ErrExposed Status = C.STRONGROOM_EXPOSED
	// ErrShared: the secret is open for others too and cannot be changed.
	ErrShared Status = C.STRONGROOM_SHARED
	// ErrNotFound: the store has no secret of that name, or the vault no reserve.
	ErrNotFound Status = C.STRONGROOM_NOT_FOUND
	// ErrExists: the name has a secret already.
	ErrExists Status = C.STRONGROOM_EXISTS
	// ErrOtherVersion: the secret was replaced meanwhile.
	ErrOtherVersion Status = C.STRONGROOM_OTHER_VERSION
	// ErrStoreFull: the store holds as many secrets as it may.
	ErrStoreFull Status = C.STRONGROOM_STORE_FULL
	// ErrVersionsUsedUp: the name's secret was replaced as often as can be counted.
	ErrVersionsUsedUp Status = C.STRONGROOM_VERSIONS_USED_UP
	// ErrNotAStream: this is no sealed stream.
	ErrNotAStream Status = C.STRONGROOM_NOT_A_STREAM
	// ErrChunkTooLong: the stream's chunks are longer than the room for one.
	ErrChunkTooLong Status = C.STRONGROOM_CHUNK_TOO_LONG
	// ErrTruncated: the stream ends before its last chunk.
	ErrTruncated Status = C.STRONGROOM_TRUNCATED
	// ErrFollowed: something follows the end of the stream.
	ErrFollowed Status = C.STRONGROOM_FOLLOWED
	// ErrEnded: the stream was ended.
	ErrEnded Status = C.STRONGROOM_ENDED
	// ErrDamaged: something wrote past an end of a secret, or into free memory.
	ErrDamaged Status = C.STRONGROOM_DAMAGED
	// ErrWindowsRefused: the memory cannot have the windows that were asked for; or it has some, and would have to
	// stay open (Opened.Expose).
	ErrWindowsRefused Status = C.STRONGROOM_WINDOWS_REFUSED
	// ErrClonesUnseen: nothing tells this process that its machine was cloned.
	ErrClonesUnseen Status = C.STRONGROOM_CLONES_UNSEEN
	// ErrInternal: a fault inside the library. Please report it, with the message.
	ErrInternal Status = C.STRONGROOM_INTERNAL
	// ErrClosed: the vault, store, stream or open secret was closed.
	ErrClosed Status = 1 << 16
)

// Error tells the kind of failure; the [Error] that wraps it tells more.
func (s Status) Error() string {
	if text, ok := kinds[s]; ok {
		return "strongroom: " + text
	}
	return fmt.Sprintf("strongroom: status %d", uint32(s))
}

var kinds = map[Status]string{
	ErrInvalidArgument: "invalid argument",
	ErrFull:            "no room now",
	ErrTimedOut:        "no room in time",
	ErrTooLarge:        "too large for the budget",
	ErrNeverTogether:   "too large for the budget together",
	ErrTampered:        "the record is not what was sealed",
	ErrDestroyed:       "the vault was destroyed",
	ErrForked:          "the process was forked",
	ErrNoEntropy:       "no random bytes",
	ErrKeyShare:        "a share of the key is not to be had",
	ErrNotLocked:       "the memory could not be locked",
	ErrBudget:          "the budget is too small",
	ErrExhausted:       "the vault must be renewed",
	ErrExposed:         "the secret is used still",
	ErrShared:          "the secret is open for others too",
	ErrNotFound:        "not found",
	ErrExists:          "the name has a secret already",
	ErrOtherVersion:    "the secret was replaced meanwhile",
	ErrStoreFull:       "the store is full",
	ErrVersionsUsedUp:  "the versions are used up",
	ErrNotAStream:      "not a sealed stream",
	ErrChunkTooLong:    "the stream's chunks are too long",
	ErrTruncated:       "the stream is truncated",
	ErrFollowed:        "something follows the stream",
	ErrEnded:           "the stream was ended",
	ErrDamaged:         "damage was found",
	ErrWindowsRefused:  "not with windows",
	ErrClonesUnseen:    "nothing tells of a clone",
	ErrInternal:        "a fault inside the library",
	ErrClosed:          "closed",
}

// An Error says what kind of failure it was, why, and what to change.
type Error struct {
	// Status is the kind, which errors.Is finds.
	Status Status
	// Message has the cause, the numbers and the remedy, as a sentence.
	Message string
	// Numbers are those of the message, for a program.
	Numbers Numbers
	cause   error
}

// Numbers are those behind a failure; 0 for what is not about it.
type Numbers struct {
	// Requested is how many bytes were asked for.
	Requested int
	// Largest is how many bytes a secret can have in this vault, if those were more.
	Largest int
	// Held is how many secrets were open.
	Held int
	// Capacity is how many bytes open secrets can share.
	Capacity int
	// Waiters is how many callers were waiting.
	Waiters int
	// Waited is how long it was waited for.
	Waited time.Duration
	// GrowthRefused says that the budget allows more, but the system would not lock it.
	GrowthRefused bool
}

func (e *Error) Error() string { return "strongroom: " + e.Message }

// Is reports whether target is the error's Status.
func (e *Error) Is(target error) bool {
	status, ok := target.(Status)
	return ok && status == e.Status
}

// Unwrap is the context's error, if that ended the waiting.
func (e *Error) Unwrap() error { return e.cause }

// call calls the library. Why a call failed is kept for each thread, so the goroutine stays on its own
// until it has asked.
func call(f func() C.enum_strongroom_status) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	status := f()
	if status == C.STRONGROOM_OK {
		return nil
	}
	return failure(status)
}

// failure is to be called in the thread whose last call failed.
func failure(status C.enum_strongroom_status) *Error {
	e := &Error{Status: Status(status), Message: inGo.Replace(C.GoString(C.strongroom_error_message()))}
	var n C.strongroom_numbers
	if C.strongroom_error_numbers_read(&n, C.size_t(unsafe.Sizeof(n))) == C.STRONGROOM_OK {
		e.Numbers = Numbers{
			Requested:     int(n.requested),
			Largest:       int(n.largest),
			Held:          int(n.held),
			Capacity:      int(n.capacity),
			Waiters:       int(n.waiters),
			Waited:        time.Duration(n.waited_ns),
			GrowthRefused: n.growth_refused != 0,
		}
	}
	return e
}

// inGo has what the library's sentences name by Go's names.
var inGo = strings.NewReplacer(
	"call strongroom_opened_end for each", "let each Use return, or call Conceal",
	"strongroom_store_open_alone", "Store.TryOpenAlone",
	"strongroom_options_reserve", "Options.Reserves",
	"Vault::growth_refusal", "Vault.Protections",
	"Vault::renew", "Vault.Renew",
	"strongroom::renew_all", "RenewAll",
	"or context", "or purpose",
)

func closed(what string) *Error {
	return &Error{Status: ErrClosed, Message: what + " was closed: make or open another"}
}
