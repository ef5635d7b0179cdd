package strongroom

// #include <stdlib.h>
// #include <strongroom.h>
//
// #cgo noescape strongroom_vault_metrics_read
// #cgo nocallback strongroom_vault_metrics_read
// #cgo noescape strongroom_store_metrics_read
// #cgo nocallback strongroom_store_metrics_read
import "C"

import (
	"encoding/json"
	"time"
	"unsafe"
)

// Metrics are what a vault holds and has seen; sizes are in bytes.
type Metrics struct {
	// Budget is the most that the vault locks, reserves included.
	Budget uint64
	// Locked is what it has locked now, less what the kernel says is not locked any more.
	Locked uint64
	// Unlocked is what the kernel says is not locked; -1 if it does not say.
	Unlocked int64
	// Used is what lies in runs and blocks with a live secret, the shares of the key included.
	Used uint64
	// Live is how many secrets are open now, and Peak the most that were seen open at once.
	Live, Peak uint64
	// Waiters is how many callers wait now, Waits how many did, and LongestWait how long at most.
	Waiters, Waits uint64
	LongestWait    time.Duration
	// Refusals is how many were told that there is no room, those who then waited included.
	Refusals uint64
	// Faults is how much damage was found.
	Faults uint64
	// Rooms is how many stretches of locked memory there are now, Grown how many were added, GivenBack how many
	// were given back, and GrowthRefusals how often the system would not lock more.
	Rooms, Grown, GivenBack, GrowthRefusals uint64
}

// Metrics counts what the vault holds and has seen.
func (v *Vault) Metrics() (Metrics, error) {
	var m C.strongroom_metrics
	err := v.useWithFew(func(vault *C.strongroom_vault) C.enum_strongroom_status {
		return C.strongroom_vault_metrics_read(vault, &m, C.size_t(unsafe.Sizeof(m)))
	})
	return Metrics{
		Budget: uint64(m.budget), Locked: uint64(m.locked), Unlocked: int64(m.unlocked), Used: uint64(m.used),
		Live: uint64(m.live), Peak: uint64(m.peak),
		Waiters: uint64(m.waiters), Waits: uint64(m.waits), LongestWait: time.Duration(m.longest_wait_ns),
		Refusals: uint64(m.refusals), Faults: uint64(m.faults),
		Rooms: uint64(m.rooms), Grown: uint64(m.grown), GivenBack: uint64(m.given_back),
		GrowthRefusals: uint64(m.growth_refusals),
	}, err
}

// StoreMetrics are what a store holds and has seen.
type StoreMetrics struct {
	// Secrets is how many names stand for a secret, and RecordBytes how much ordinary memory their records take.
	Secrets, RecordBytes uint64
	// Open is how many are open now, each counted once however many read it, and Lingering how many of these
	// nobody reads.
	Open, Lingering uint64
	// Decryptions is how often a secret was decrypted to be read by whoever asks, and GivenUp how often one that
	// lingered was given up because room was needed.
	Decryptions, GivenUp uint64
}

// Metrics counts what the store holds and has seen.
func (s *Store) Metrics() (StoreMetrics, error) {
	var m C.strongroom_store_metrics
	err := s.use(func(store *C.strongroom_store) C.enum_strongroom_status {
		return C.strongroom_store_metrics_read(store, &m, C.size_t(unsafe.Sizeof(m)))
	})
	return StoreMetrics{
		Secrets: uint64(m.secrets), RecordBytes: uint64(m.record_bytes),
		Open: uint64(m.open), Lingering: uint64(m.lingering),
		Decryptions: uint64(m.decryptions), GivenUp: uint64(m.given_up),
	}, err
}

// Protections are what the system has granted for all of a vault's memory, and why it did not grant more.
type Protections struct {
	Locked       bool `json:"locked"`
	DumpExcluded bool `json:"dump_excluded"`
	ForkHidden   bool `json:"fork_hidden"`
	// ForkView is what a forked child sees: "zeroed", "absent" or "copied".
	ForkView     string `json:"fork_view"`
	Guarded      bool   `json:"guarded"`
	SecretMemory bool   `json:"secret_memory"`
	// Windows is what shuts the memory while nobody uses it: "none", "pages" or "keys".
	Windows string `json:"windows"`
	// The refusals have the cause, the numbers and the remedy; empty if there was none.
	LockRefusal     string `json:"lock_refusal"`
	GrowthRefusal   string `json:"growth_refusal"`
	KeyShareRefusal string `json:"key_share_refusal"`
}

// Protections asks what the system has granted for the vault's memory.
func (v *Vault) Protections() (Protections, error) {
	var p Protections
	var text *C.char
	err := v.use(func(vault *C.strongroom_vault) C.enum_strongroom_status {
		return C.strongroom_vault_protections_json(vault, &text)
	})
	if err != nil {
		return p, err
	}
	if err := json.Unmarshal([]byte(taken(text)), &p); err != nil {
		return p, &Error{Status: ErrInternal, Message: err.Error(), cause: err}
	}
	return p, nil
}

// Doctor says how much memory this process may lock, how many secrets fit, and what came of trying, as a JSON
// object. If open and size are not 0, it says too whether so many secrets of so many bytes can be open at one
// time. It locks what it tries for a moment, in a child process.
func Doctor(open, size int) (json.RawMessage, error) {
	var text *C.char
	err := call(func() C.enum_strongroom_status {
		return C.strongroom_doctor_json(C.uint64_t(max(open, 0)), C.uint64_t(max(size, 0)), &text)
	})
	if err != nil {
		return nil, err
	}
	return json.RawMessage(taken(text)), nil
}

// Remedy is the sentence that says what to change so that so many bytes more can be locked; empty if they can be
// already, or if that cannot be told.
func Remedy(bytes int) (string, error) {
	var text *C.char
	err := call(func() C.enum_strongroom_status {
		return C.strongroom_limits_remedy(C.uint64_t(max(bytes, 0)), &text)
	})
	if err != nil || text == nil {
		return "", err
	}
	return taken(text), nil
}

func taken(text *C.char) string {
	defer C.strongroom_text_free(&text)
	return C.GoString(text)
}
