package strongroom

// #include <stdlib.h>
// #include <strongroom.h>
import "C"

import (
	"fmt"
	"time"
	"unsafe"
)

// Options say what a vault is to be. The zero value is a vault of 64 KiB, no less and no more, of memory that
// must be locked.
type Options struct {
	// Budget is how many bytes the vault locks from the start and always, rounded up to whole pages.
	// 0 is 64 KiB.
	Budget int
	// Ceiling is how many bytes it locks at most. 0 is the budget: it does not grow.
	Ceiling int
	// Reserves name bytes beyond the ceiling that only those can use who ask for them: see Vault.Reserve.
	Reserves map[string]int
	// Policy says what to do when memory cannot be locked.
	Policy Policy
	// Backing says what kind of memory to lock.
	Backing Backing
	// Windows says whether the memory is shut but for the moments in which somebody uses it.
	Windows Windows
	// KeyShare says where one of the two shares of the vault's key rests.
	KeyShare KeyShare
	// KeyShareKept is how long a share from a keyring is kept in locked memory for those who seal or open
	// next, in whole milliseconds.
	KeyShareKept time.Duration
	// Linger is how long memory beyond the budget that nothing is open in is kept, in whole milliseconds. 0
	// is ten seconds, and what is negative is not at all.
	Linger time.Duration
}

// A Policy says what to do when memory cannot be locked.
type Policy uint32

const (
	// Require fails, or does not grow.
	Require Policy = C.STRONGROOM_POLICY_REQUIRE
	// Prefer goes on in unlocked memory, which can be written to the swap device, and says so: see
	// Vault.Protections.
	Prefer Policy = C.STRONGROOM_POLICY_PREFER
)

// A Backing is a kind of memory to lock.
type Backing uint32

const (
	// Anonymous is anonymous memory, locked by mlock(2).
	Anonymous Backing = C.STRONGROOM_BACKING_ANONYMOUS
	// SecretMemory is that of memfd_secret(2), or an error.
	SecretMemory Backing = C.STRONGROOM_BACKING_SECRET_MEMORY
	// PreferSecretMemory is secret memory where the system gives it, else anonymous memory.
	PreferSecretMemory Backing = C.STRONGROOM_BACKING_PREFER_SECRET_MEMORY
)

// Windows say whether a vault's memory is shut but for the moments in which somebody uses it: while the function
// runs that Opened.Use, Opened.Change, Vault.Use, Store.Use or OpenReader.Next was given. Whoever touches it
// otherwise ends the program ("unexpected fault address"). The budget then begins at two pages. Where there can
// be none it is ErrWindowsRefused; with Prefer the vault has none, and Vault.Protections says so.
type Windows uint32

const (
	// NoWindows: the memory is always open.
	NoWindows Windows = C.STRONGROOM_WINDOWS_NONE
	// PageWindows are by page protection, mprotect(2), on every machine: while anybody has a window, all
	// goroutines can read all secrets, and the first window and the end of the last one are a system call each.
	PageWindows Windows = C.STRONGROOM_WINDOWS_PAGES
	// KeyWindows are by memory protection keys, pkeys(7), or an error: a window is the thread's own, and so is
	// for the function alone and not for goroutines that it starts.
	KeyWindows Windows = C.STRONGROOM_WINDOWS_KEYS
	// KeyOrPageWindows are by keys where the machine has them, else by pages.
	KeyOrPageWindows Windows = C.STRONGROOM_WINDOWS_KEYS_OR_PAGES
	// PreferKeyWindows are by keys where the machine has them, else there are none.
	PreferKeyWindows Windows = C.STRONGROOM_WINDOWS_KEYS_OR_NONE
)

// A KeyShare is a place where one of the two shares of the vault's key rests.
type KeyShare uint32

const (
	// LockedMemory is where the other share rests.
	LockedMemory KeyShare = C.STRONGROOM_KEY_SHARE_LOCKED_MEMORY
	// ProcessKeyring is process-keyring(7), or an error.
	ProcessKeyring KeyShare = C.STRONGROOM_KEY_SHARE_PROCESS_KEYRING
	// SessionKeyring is session-keyring(7), or an error.
	SessionKeyring KeyShare = C.STRONGROOM_KEY_SHARE_SESSION_KEYRING
	// PreferProcessKeyring is process-keyring(7) where the system gives one, else locked memory.
	PreferProcessKeyring KeyShare = C.STRONGROOM_KEY_SHARE_PREFER_PROCESS_KEYRING
	// PreferSessionKeyring is session-keyring(7) where the system gives one, else locked memory.
	PreferSessionKeyring KeyShare = C.STRONGROOM_KEY_SHARE_PREFER_SESSION_KEYRING
)

const defaultBudget = 64 << 10

// with calls f with the library's options.
func (o Options) with(f func(*C.strongroom_options) C.enum_strongroom_status) error {
	if o.Budget < 0 || o.Ceiling < 0 {
		return &Error{Status: ErrInvalidArgument, Message: fmt.Sprintf(
			"a budget of %d bytes that ends at %d is none: give how many bytes to lock", o.Budget, o.Ceiling)}
	}
	if o.Budget == 0 {
		o.Budget = defaultBudget
		if o.Ceiling > 0 {
			o.Budget = min(o.Budget, o.Ceiling)
		}
	}
	if o.Ceiling == 0 {
		o.Ceiling = o.Budget
	}
	var options *C.strongroom_options
	if err := call(func() C.enum_strongroom_status { return C.strongroom_options_new(&options) }); err != nil {
		return err
	}
	defer C.strongroom_options_free(&options)
	set := []func() C.enum_strongroom_status{
		func() C.enum_strongroom_status {
			return C.strongroom_options_budget(options, C.size_t(o.Budget), C.size_t(o.Ceiling))
		},
		func() C.enum_strongroom_status { return C.strongroom_options_policy(options, C.uint32_t(o.Policy)) },
		func() C.enum_strongroom_status { return C.strongroom_options_backing(options, C.uint32_t(o.Backing)) },
		func() C.enum_strongroom_status { return C.strongroom_options_windows(options, C.uint32_t(o.Windows)) },
		func() C.enum_strongroom_status {
			return C.strongroom_options_key_share(options, C.uint32_t(o.KeyShare), millis(o.KeyShareKept))
		},
	}
	if o.Linger != 0 {
		set = append(set, func() C.enum_strongroom_status {
			return C.strongroom_options_linger(options, millis(max(o.Linger, 0)))
		})
	}
	for name, bytes := range o.Reserves {
		if bytes < 0 {
			return &Error{Status: ErrInvalidArgument, Message: fmt.Sprintf(
				"the reserve %q of %d bytes is none: give how many bytes to lock", name, bytes)}
		}
		set = append(set, func() C.enum_strongroom_status {
			text := C.CString(name)
			defer C.free(unsafe.Pointer(text))
			return C.strongroom_options_reserve(options, text, C.size_t(bytes))
		})
	}
	for _, f := range append(set, func() C.enum_strongroom_status { return f(options) }) {
		if err := call(f); err != nil {
			return err
		}
	}
	return nil
}

// millis are whole milliseconds, one at least if there is any time at all.
func millis(d time.Duration) C.uint64_t {
	if d <= 0 {
		return 0
	}
	return C.uint64_t(max(d.Milliseconds(), 1))
}
