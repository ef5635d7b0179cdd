package strongroom_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"strongroom"
)

func vault(t testing.TB, budget int) *strongroom.Vault {
	t.Helper()
	v, err := strongroom.New(strongroom.Options{Budget: budget})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return v
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// fill opens a record as often as there is room for it.
func fill(t testing.TB, v *strongroom.Vault, sealed strongroom.Sealed) []*strongroom.Opened {
	t.Helper()
	var all []*strongroom.Opened
	for {
		opened, err := v.TryOpen(sealed, "")
		if errors.Is(err, strongroom.ErrFull) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, opened)
	}
}

func TestWhatWasSealedOpens(t *testing.T) {
	v := vault(t, 64<<10)
	for _, size := range []int{0, 1, 7, 64, 4096, 20000} {
		secret := bytes.Repeat([]byte{7}, size)
		sealed := must(v.Seal(secret, "db/password"))
		if len(sealed) != size+strongroom.Overhead || sealed.SecretLen() != size {
			t.Errorf("%d bytes became %d", size, len(sealed))
		}
		if size > 6 && bytes.Contains(sealed, secret[:7]) {
			t.Error("the record shows the secret")
		}
		err := v.Use(context.Background(), sealed, "db/password", func(b []byte) {
			if !bytes.Equal(b, secret) {
				t.Errorf("%d bytes opened as %d", size, len(b))
			}
		})
		if err != nil {
			t.Error(err)
		}
		if _, err := v.TryOpen(sealed, "another"); !errors.Is(err, strongroom.ErrTampered) {
			t.Errorf("another purpose: %v", err)
		}
	}
	secret := []byte("hunter2")
	sealed := must(v.SealAndWipe(secret, "x"))
	if !bytes.Equal(secret, make([]byte, 7)) {
		t.Errorf("left: %q", secret)
	}
	sealed[3] ^= 1
	if _, err := v.Open(context.Background(), sealed, "x"); !errors.Is(err, strongroom.ErrTampered) {
		t.Error(err)
	}
}

func TestAnOpenSecretIsWrittenComparedAndSealed(t *testing.T) {
	v := vault(t, 64<<10)
	opened := must(v.Allocate(context.Background(), 16))
	if err := opened.Change(func(b []byte) { copy(b, "correct horse 16") }); err != nil {
		t.Fatal(err)
	}
	if !must(opened.Equal([]byte("correct horse 16"))) || must(opened.Equal([]byte("correct horse"))) {
		t.Error("compared wrongly")
	}
	sealed := must(opened.Seal("x"))
	if err := opened.Random(); err != nil || must(opened.Equal([]byte("correct horse 16"))) {
		t.Error("no random bytes", err)
	}
	if must(opened.Len()) != 16 || must(opened.Version()) != 0 {
		t.Error("length or version")
	}
	if err := opened.Close(); err != nil {
		t.Error(err)
	}
	if err := opened.Close(); err != nil {
		t.Error("closed again:", err)
	}
	if err := opened.Use(func([]byte) { t.Error("used after it was closed") }); !errors.Is(err, strongroom.ErrClosed) {
		t.Error(err)
	}
	if err := v.Use(context.Background(), sealed, "x", func(b []byte) {
		if string(b) != "correct horse 16" {
			t.Error("another secret")
		}
	}); err != nil {
		t.Error(err)
	}
	if !strongroom.Equal([]byte("a"), []byte("a")) || strongroom.Equal([]byte("a"), []byte("b")) {
		t.Error("Equal")
	}
}

func TestASecretIsNotClosedWhileItIsUsed(t *testing.T) {
	v := vault(t, 64<<10)
	opened := must(v.Allocate(context.Background(), 16))
	_ = opened.Use(func([]byte) {
		if err := opened.Close(); !errors.Is(err, strongroom.ErrExposed) {
			t.Error(err)
		}
		if err := opened.Change(func([]byte) {}); !errors.Is(err, strongroom.ErrExposed) {
			t.Error(err)
		}
		// Several read at once.
		if err := opened.Use(func([]byte) {}); err != nil {
			t.Error(err)
		}
	})
	func() {
		defer func() { _ = recover() }()
		_ = opened.Use(func([]byte) { panic("in use") })
	}()
	sealed := must(opened.Seal(""))
	func() {
		defer func() { _ = recover() }()
		_ = v.Use(context.Background(), sealed, "", func([]byte) { panic("in use") })
	}()
	done := make(chan struct{})
	for _, use := range []func(func([]byte)){
		func(f func([]byte)) { _ = opened.Use(f) },
		func(f func([]byte)) { _ = v.Use(context.Background(), sealed, "", f) },
	} {
		go func() {
			defer func() { done <- struct{}{} }()
			use(func([]byte) { runtime.Goexit() })
		}()
		<-done
	}
	if live := must(v.Metrics()).Live; live != 1 {
		t.Errorf("%d are open", live)
	}
	if err := opened.Close(); err != nil {
		t.Error("an exposure has not ended:", err)
	}
}

func TestErrorsHaveCauseNumbersAndRemedy(t *testing.T) {
	v := vault(t, 16<<10)
	sealed := must(v.Seal(make([]byte, 1000), ""))
	all := fill(t, v, sealed)
	_, err := v.TryOpen(sealed, "")
	var e *strongroom.Error
	if !errors.Is(err, strongroom.ErrFull) || !errors.As(err, &e) {
		t.Fatal(err)
	}
	if e.Numbers.Requested != 1000 || e.Numbers.Held != len(all) || e.Numbers.Capacity < 1000*len(all) {
		t.Errorf("%+v, and %d are open", e.Numbers, len(all))
	}
	if !strings.Contains(err.Error(), fmt.Sprintf("%d secrets are open", len(all))) ||
		!strings.Contains(err.Error(), "give the vault a larger budget") {
		t.Error(err)
	}

	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	// The context may have begun long before it waits.
	began := time.Now()
	_, err = v.Open(ctx, sealed, "")
	took := time.Since(began)
	if !errors.Is(err, strongroom.ErrTimedOut) || !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &e) {
		t.Fatal(err)
	}
	if e.Numbers.Held != len(all) || e.Numbers.Waited <= 0 || e.Numbers.Waited > took ||
		!strings.Contains(err.Error(), "larger budget") {
		t.Error(err, e.Numbers)
	}
	cancelled, stop := context.WithCancel(context.Background())
	time.AfterFunc(20*time.Millisecond, stop)
	if _, err = v.Open(cancelled, sealed, ""); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if must(v.Metrics()).Waiters != 0 {
		t.Error("somebody waits still")
	}

	if _, err = v.TryAllocate(1 << 20); !errors.Is(err, strongroom.ErrTooLarge) || !errors.As(err, &e) ||
		e.Numbers.Requested != 1<<20 || e.Numbers.Largest == 0 {
		t.Error(err)
	}
	if _, err = v.Allocate(context.Background(), -1); !errors.Is(err, strongroom.ErrInvalidArgument) {
		t.Error(err)
	}
	if _, err = v.Reserve("none"); !errors.Is(err, strongroom.ErrNotFound) || strings.Contains(err.Error(), "_") {
		t.Error(err)
	}
	if _, err = strongroom.New(strongroom.Options{Budget: 64 << 10, Ceiling: 4096}); !errors.Is(err, strongroom.ErrBudget) {
		t.Error(err)
	}
	for _, options := range []strongroom.Options{
		{Budget: -1}, {Policy: 9}, {Backing: 9}, {KeyShare: 9}, {Reserves: map[string]int{"a": -1}},
	} {
		if _, err = strongroom.New(options); !errors.Is(err, strongroom.ErrInvalidArgument) {
			t.Error(options, err)
		}
	}
	for _, opened := range all {
		if err := opened.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := v.Destroy(); err != nil {
		t.Error(err)
	}
	if _, err = v.TryOpen(sealed, ""); !errors.Is(err, strongroom.ErrDestroyed) {
		t.Error(err)
	}
	v.Close()
	v.Close()
	if _, err = v.Seal(nil, ""); !errors.Is(err, strongroom.ErrClosed) {
		t.Error(err)
	}
}

// Why a call failed is kept for each thread, and goroutines are moved between threads.
func TestAnErrorIsThatOfItsCall(t *testing.T) {
	v := vault(t, 16<<10)
	var group sync.WaitGroup
	for own := range 64 {
		group.Add(1)
		go func() {
			defer group.Done()
			for round := range 300 {
				size := 1<<20 + own*1000 + round
				_, err := v.TryAllocate(size)
				var e *strongroom.Error
				if !errors.As(err, &e) || e.Numbers.Requested != size || !strings.Contains(err.Error(), fmt.Sprint(size)) {
					t.Errorf("%d: %v", size, err)
					return
				}
			}
		}()
	}
	group.Wait()
}

func threads(t testing.TB) int {
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Skip("threads are counted on Linux")
	}
	return len(entries)
}

// 20,000 wait, a seventh of them gives up, all others are served, and no thread is added for any.
func TestGoroutinesThatWaitAddNoThreads(t *testing.T) {
	all := 20000
	if testing.Short() {
		all = 2000
	}
	v := vault(t, 16<<10)
	sealed := must(v.Seal(make([]byte, 1000), ""))
	held := fill(t, v, sealed)
	before := threads(t)
	var served, gaveUp atomic.Int64
	var group sync.WaitGroup
	for i := range all {
		group.Add(1)
		go func() {
			defer group.Done()
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
			defer cancel()
			if i%7 == 0 {
				soon, stop := context.WithTimeout(ctx, time.Duration(i%90)*time.Millisecond)
				defer stop()
				ctx = soon
			}
			err := v.Use(ctx, sealed, "", func(b []byte) {
				if len(b) != 1000 {
					t.Error("another secret")
				}
			})
			switch {
			case err == nil:
				served.Add(1)
			case errors.Is(err, context.DeadlineExceeded) && i%7 == 0:
				gaveUp.Add(1)
			default:
				t.Error(err)
			}
		}()
	}
	for until := time.Now().Add(time.Minute); must(v.Metrics()).Waiters < uint64(all)*6/7; {
		if time.Now().After(until) {
			t.Fatal("only so many wait:", must(v.Metrics()).Waiters)
		}
		time.Sleep(10 * time.Millisecond)
	}
	// None waits: they are for those that are in a call at one moment, which are bounded.
	if now := threads(t); now > before+40 {
		t.Errorf("%d threads, %d more than before", now, now-before)
	}
	t.Logf("%d wait: %d threads, %d before", must(v.Metrics()).Waiters, threads(t), before)
	for _, opened := range held {
		if err := opened.Close(); err != nil {
			t.Error(err)
		}
	}
	group.Wait()
	if served.Load()+gaveUp.Load() != int64(all) || served.Load() < int64(all)*6/7 {
		t.Errorf("%d were served, %d gave up", served.Load(), gaveUp.Load())
	}
	if m := must(v.Metrics()); m.Live != 0 || m.Waiters != 0 {
		t.Errorf("left: %+v", m)
	}
}

// Each needs two at once, in a vault that holds few: opened one by one they would wait for each other.
func TestSeveralAreOpenedTogether(t *testing.T) {
	v := vault(t, 16<<10)
	user, password := must(v.Seal(make([]byte, 1500), "user")), must(v.Seal(make([]byte, 1500), "password"))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var group sync.WaitGroup
	for range 500 {
		group.Add(1)
		go func() {
			defer group.Done()
			both, err := v.OpenAll(ctx, strongroom.Request{Sealed: user, Purpose: "user"},
				strongroom.Request{Sealed: password, Purpose: "password"})
			if err != nil || len(both) != 2 {
				t.Error(err)
				return
			}
			runtime.Gosched()
			for _, one := range both {
				if err := one.Close(); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	group.Wait()
	if none, err := v.OpenAll(ctx); len(none) != 0 || err != nil {
		t.Error(none, err)
	}
	var many []strongroom.Request
	for i := range 300 {
		purpose := fmt.Sprint(i)
		many = append(many, strongroom.Request{Sealed: must(v.Seal([]byte(purpose), purpose)), Purpose: purpose})
	}
	for i, opened := range must(v.OpenAll(ctx, many...)) {
		if !must(opened.Equal([]byte(fmt.Sprint(i)))) || opened.Close() != nil {
			t.Error(i)
		}
	}
	for len(many) < 10_000 {
		many = append(many, many...)
	}
	if _, err := v.OpenAll(ctx, many...); !errors.Is(err, strongroom.ErrNeverTogether) {
		t.Error(err)
	}
	many[17].Purpose = "another"
	if _, err := v.OpenAll(ctx, many[:100]...); !errors.Is(err, strongroom.ErrTampered) {
		t.Error(err)
	}
	big := must(v.Seal(make([]byte, 9000), ""))
	if _, err := v.OpenAll(ctx, strongroom.Request{Sealed: big}, strongroom.Request{Sealed: big}); !errors.Is(err, strongroom.ErrNeverTogether) {
		t.Error(err)
	}
}

// What is forgotten is closed when the collector finds it, and what is reachable is not.
func TestTheCollectorIsANet(t *testing.T) {
	v := vault(t, 64<<10)
	sealed := must(v.Seal([]byte("kept"), ""))
	kept := must(v.TryOpen(sealed, ""))
	for range 100 {
		must(v.TryOpen(sealed, ""))
		_, _ = must(v.TryOpen(sealed, "")).Expose()
	}
	for until := time.Now().Add(20 * time.Second); must(v.Metrics()).Live != 1; {
		if time.Now().After(until) {
			t.Fatalf("%d are open", must(v.Metrics()).Live)
		}
		runtime.GC()
		time.Sleep(time.Millisecond)
	}
	_ = kept.Use(func(b []byte) {
		if string(b) != "kept" {
			t.Errorf("%q", b)
		}
	})
	if err := kept.Close(); err != nil {
		t.Error(err)
	}
	// A vault that is forgotten with what is open in it: the secret keeps its memory.
	last := must(must(strongroom.New(strongroom.Options{Budget: 16 << 10})).Allocate(context.Background(), 8))
	runtime.GC()
	runtime.GC()
	if err := last.Change(func(b []byte) { copy(b, "12345678") }); err != nil || !must(last.Equal([]byte("12345678"))) {
		t.Error(err)
	}
	_ = last.Close()
}

// Goroutines that are moved between threads open, use, wait, give up and close while the collector runs.
func TestManyGoroutines(t *testing.T) {
	v := vault(t, 16<<10)
	seconds := 1
	_, _ = fmt.Sscan(os.Getenv("STRONGROOM_STRESS_SECONDS"), &seconds)
	end := time.Now().Add(time.Duration(seconds) * time.Second)
	var group sync.WaitGroup
	for own := range 64 {
		group.Add(1)
		go func() {
			defer group.Done()
			secret := bytes.Repeat([]byte{byte(own)}, 100+own*20)
			sealed := must(v.Seal(secret, fmt.Sprint(own)))
			for round := 0; time.Now().Before(end); round++ {
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(round%20)*time.Millisecond)
				err := v.Use(ctx, sealed, fmt.Sprint(own), func(b []byte) {
					if !bytes.Equal(b, secret) {
						t.Error("another secret")
					}
				})
				cancel()
				if err != nil && !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
				if round%64 == own {
					runtime.GC()
				}
			}
		}()
	}
	group.Wait()
	if m := must(v.Metrics()); m.Live != 0 || m.Waiters != 0 || m.Faults != 0 {
		t.Errorf("left: %+v", m)
	}
	if err := v.Verify(); err != nil {
		t.Error(err)
	}
}

func TestDamageIsFound(t *testing.T) {
	v := vault(t, 16<<10)
	opened := must(v.Allocate(context.Background(), 16))
	_ = opened.Change(func(b []byte) { past(b) })
	if err := opened.Close(); !errors.Is(err, strongroom.ErrDamaged) {
		t.Error(err)
	}
}

func TestReservesReportsAndTheRest(t *testing.T) {
	v := must(strongroom.New(strongroom.Options{Budget: 16 << 10, Ceiling: 32 << 10,
		Reserves: map[string]int{"admin": 8 << 10}, Linger: time.Millisecond}))
	defer v.Close()
	reserve := must(v.Reserve("admin"))
	defer reserve.Close()
	all := fill(t, v, must(v.Seal(make([]byte, 2000), "")))
	if _, err := reserve.TryAllocate(2000); err != nil {
		t.Error(err)
	}
	m := must(v.Metrics())
	if m.Budget != 40<<10 || m.Locked == 0 || int(m.Live) < len(all) || m.Refusals == 0 || m.Grown == 0 {
		t.Errorf("%+v", m)
	}
	if p := must(v.Protections()); !p.Locked || !p.DumpExcluded || !p.Guarded || p.ForkView == "" {
		t.Errorf("%+v", p)
	}
	if text := must(strongroom.Doctor(10, 64)); !bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		t.Errorf("%s", text)
	}
	if _, err := strongroom.Remedy(1 << 40); err != nil {
		t.Error(err)
	}
	one, other := make([]byte, 32), make([]byte, 32)
	for _, err := range []error{v.Random(one), v.Random(other), v.Trim(), v.Refresh(), v.Renew(), v.Verify()} {
		if err != nil {
			t.Error(err)
		}
	}
	if bytes.Equal(one, other) {
		t.Error("no random bytes")
	}
	strongroom.Wipe(one)
	if !bytes.Equal(one, make([]byte, 32)) || strongroom.Version() == "" {
		t.Error("not wiped")
	}
	for _, opened := range all {
		_ = opened.Close()
	}
}

func TestClonesAreRenewed(t *testing.T) {
	v := vault(t, 16<<10)
	before := must(v.Seal([]byte("hunter2"), ""))
	strongroom.RenewAll()
	after := must(v.Seal([]byte("hunter2"), ""))
	// Numbers of eight bytes are counted from 0, and by a renewed vault from a random one.
	none := make([]byte, 4)
	if !bytes.Equal(before[4:8], none) || bytes.Equal(after[4:8], none) {
		t.Error("not renewed")
	}
	opened := must(v.TryOpen(before, ""))
	if err := opened.Close(); err != nil {
		t.Error(err)
	}
	_, err := strongroom.RenewWhenCloned()
	if isUnseen := errors.Is(err, strongroom.ErrClonesUnseen); err != nil && !isUnseen || isUnseen && runtime.GOOS == "linux" {
		t.Error(err)
	}
}

func TestAStore(t *testing.T) {
	v := vault(t, 64<<10)
	s := must(v.NewStore(strongroom.StoreOptions{Most: 3}))
	defer s.Close()
	if version := must(s.Insert("a", []byte("one"), 0)); version != 1 {
		t.Error(version)
	}
	if _, err := s.Insert("a", nil, 0); !errors.Is(err, strongroom.ErrExists) {
		t.Error(err)
	}
	if _, err := s.Replace("b", nil, 0); !errors.Is(err, strongroom.ErrNotFound) {
		t.Error(err)
	}
	if version := must(s.ReplaceVersion("a", 1, []byte("two"))); version != 2 {
		t.Error(version)
	}
	if _, err := s.ReplaceVersion("a", 1, nil); !errors.Is(err, strongroom.ErrOtherVersion) {
		t.Error(err)
	}
	must(s.Put("b", []byte("gone"), time.Millisecond))
	must(s.Put("c", []byte("c"), 0))
	if _, err := s.Put("d", nil, 0); !errors.Is(err, strongroom.ErrStoreFull) {
		t.Error(err)
	}
	time.Sleep(5 * time.Millisecond)
	if must(s.RemoveExpired()) != 1 || must(s.Contains("b")) || must(s.Len()) != 2 || len(must(s.Names())) != 2 {
		t.Error("b is there")
	}
	ctx := context.Background()
	one, other := must(s.Open(ctx, "a")), must(s.TryOpen("a"))
	if must(s.Metrics()).Open != 1 || must(s.Metrics()).Decryptions != 1 || must(one.Version()) != 2 {
		t.Errorf("%+v", must(s.Metrics()))
	}
	if err := one.Change(func([]byte) {}); !errors.Is(err, strongroom.ErrShared) || strings.Contains(err.Error(), "_") {
		t.Error(err)
	}
	alone := must(s.TryOpenAlone("a"))
	if err := alone.Change(func(b []byte) { b[0] = 'x' }); err != nil {
		t.Error(err)
	}
	if err := s.Use(ctx, "a", func(b []byte) {
		if string(b) != "two" {
			t.Errorf("%s", b)
		}
	}); err != nil {
		t.Error(err)
	}
	for _, opened := range []*strongroom.Opened{one, other, alone} {
		if err := opened.Close(); err != nil {
			t.Error(err)
		}
	}
	if must(s.Version("a")) != 2 || s.Remove("a") != nil || !errors.Is(s.Remove("a"), strongroom.ErrNotFound) {
		t.Error("removed wrongly")
	}
	if _, err := v.NewStore(strongroom.StoreOptions{Most: -1}); !errors.Is(err, strongroom.ErrInvalidArgument) {
		t.Error(err)
	}
	// Those who wait for a name wait in the vault's line.
	held := fill(t, v, must(v.Seal(make([]byte, 1000), "")))
	small := fill(t, v, must(v.Seal(make([]byte, 1), "")))
	soon, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	if _, err := s.Open(soon, "c"); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	time.AfterFunc(20*time.Millisecond, func() { _ = held[0].Close() })
	later, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	if err := s.Use(later, "c", func(b []byte) {}); err != nil {
		t.Error(err)
	}
	for _, opened := range append(held, small...) {
		_ = opened.Close()
	}
}

func TestStreams(t *testing.T) {
	v := vault(t, 64<<10)
	ctx := context.Background()
	for _, size := range []int{0, 1, 4095, 4096, 100000} {
		plain := make([]byte, size)
		_ = v.Random(plain)
		var sealed bytes.Buffer
		w := must(v.NewSealWriter(ctx, &sealed, "backup", 4096))
		for rest := plain; len(rest) > 0; {
			n := must(w.Write(rest[:min(len(rest), 30000)]))
			rest = rest[n:]
		}
		if err := errors.Join(w.Flush(), w.Close(), w.Close()); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte("x")); !errors.Is(err, strongroom.ErrClosed) {
			t.Error(err)
		}
		r := must(v.NewOpenReader(ctx, bytes.NewReader(sealed.Bytes()), "backup", 4096))
		if got := must(io.ReadAll(r)); !bytes.Equal(got, plain) {
			t.Errorf("%d bytes opened as %d", size, len(got))
		}
		if _, err := r.Read(make([]byte, 1)); err != io.EOF {
			t.Error(err)
		}
		_ = r.Close()

		// In place, from a reader that gives single bytes.
		r = must(v.NewOpenReader(ctx, slowly{bytes.NewReader(sealed.Bytes())}, "backup", 4096))
		var got []byte
		var err error
		for err == nil {
			err = r.Next(func(b []byte) {
				got = append(got, b...)
				if err := r.Close(); !errors.Is(err, strongroom.ErrExposed) {
					t.Error(err)
				}
			})
		}
		if err != io.EOF || !bytes.Equal(got, plain) {
			t.Errorf("%d bytes opened as %d: %v", size, len(got), err)
		}
		_ = r.Close()

		short := sealed.Bytes()[:sealed.Len()-1]
		r = must(v.NewOpenReader(ctx, bytes.NewReader(short), "backup", 4096))
		if _, err := io.ReadAll(r); !errors.Is(err, strongroom.ErrTruncated) && !errors.Is(err, strongroom.ErrTampered) {
			t.Errorf("%d: %v", size, err)
		}
		_ = r.Close()
	}
	// Room for a chunk is waited for.
	held := fill(t, v, must(v.Seal(make([]byte, 8000), "")))
	soon, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	if _, err := v.NewSealWriter(soon, io.Discard, "", 8000); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	time.AfterFunc(20*time.Millisecond, func() { _ = held[0].Close() })
	later, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	w, err := v.NewSealWriter(later, io.Discard, "", 8000)
	if err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
}

type slowly struct{ from io.Reader }

func (s slowly) Read(p []byte) (int, error) { return s.from.Read(p[:1]) }
