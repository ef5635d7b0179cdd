package memguard_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"strongroom"
	"strongroom/memguard"
	"strongroom/memguard/core"
)

func zeros(n int) []byte { return make([]byte, n) }

// What is said of a buffer that was destroyed, or never had a byte.
func isDead(t *testing.T, b *memguard.LockedBuffer) {
	t.Helper()
	if b == nil {
		t.Fatal("nil")
	}
	if b.IsAlive() || b.IsMutable() || b.Size() != 0 || b.Bytes() != nil || b.Data() != nil || b.Inner() != nil ||
		b.String() != "" || b.EqualTo([]byte{0}) || b.Reader().Len() != 0 {
		t.Error("it looks alive")
	}
	if b.Uint16() != nil || b.Uint32() != nil || b.Uint64() != nil || b.Int8() != nil || b.Int16() != nil ||
		b.Int32() != nil || b.Int64() != nil || b.ByteArray8() != nil || b.ByteArray16() != nil ||
		b.ByteArray32() != nil || b.ByteArray64() != nil {
		t.Error("it is seen")
	}
	src := []byte("source")
	b.Copy(src)
	b.CopyAt(3, src)
	b.Move(src)
	b.MoveAt(3, src)
	b.Scramble()
	b.Wipe()
	b.Freeze()
	b.Melt()
	b.Destroy()
	if string(src) != "source" || b.IsMutable() || b.IsAlive() {
		t.Error("it came alive")
	}
	if b.Seal() != nil {
		t.Error("it was sealed")
	}
}

func TestBuffersOfNothing(t *testing.T) {
	for _, b := range []*memguard.LockedBuffer{
		memguard.NewBuffer(0), memguard.NewBuffer(-1), memguard.NewBufferRandom(0), memguard.NewBufferRandom(-5),
		memguard.NewBufferFromBytes(nil), memguard.NewBufferFromBytes([]byte{}),
	} {
		isDead(t, b)
	}
	if memguard.NewEnclave(nil) != nil || memguard.NewEnclave([]byte{}) != nil || memguard.NewEnclaveRandom(0) != nil ||
		memguard.NewEnclaveRandom(-1) != nil {
		t.Error("an enclave of nothing")
	}
	if _, err := core.NewBuffer(0); err != core.ErrNullBuffer {
		t.Error(err)
	}
	if _, err := core.NewEnclave(nil); err != core.ErrNullEnclave {
		t.Error(err)
	}
}

func TestABufferIsWrittenFrozenAndDestroyed(t *testing.T) {
	b := memguard.NewBuffer(32)
	if !b.IsAlive() || !b.IsMutable() || b.Size() != 32 || !b.EqualTo(zeros(32)) || !bytes.Equal(b.Inner(), b.Bytes()) {
		t.Error("not new")
	}
	b.Copy([]byte("yellow submarine"))
	src := []byte("red submarine")
	b.MoveAt(16, src)
	want := append([]byte("yellow submarinered submarine"), 0, 0, 0)
	if !b.EqualTo(want) || b.EqualTo(want[:31]) || !bytes.Equal(src, zeros(13)) || b.String() != string(want) {
		t.Errorf("%q, of %q", b.Bytes(), src)
	}
	// As much as fits.
	b.CopyAt(30, []byte("abcdef"))
	b.CopyAt(32, []byte("nothing"))
	copy(want[30:], "ab")
	if !b.EqualTo(want) {
		t.Errorf("%q", b.Bytes())
	}
	all, err := io.ReadAll(b.Reader())
	if err != nil || !bytes.Equal(all, want) {
		t.Errorf("%q", all)
	}

	b.Freeze()
	b.Freeze()
	src = []byte("not moved")
	b.Copy(src)
	b.CopyAt(1, src)
	b.Move(src)
	b.MoveAt(1, src)
	b.Scramble()
	b.Wipe()
	if b.IsMutable() || !b.IsAlive() || !b.EqualTo(want) || string(src) != "not moved" {
		t.Errorf("frozen, and %q; %q", b.Bytes(), src)
	}
	b.Melt()
	b.Scramble()
	if b.EqualTo(want) || b.EqualTo(zeros(32)) || !b.IsMutable() {
		t.Errorf("%q", b.Bytes())
	}
	b.Wipe()
	if !b.EqualTo(zeros(32)) {
		t.Errorf("%q", b.Bytes())
	}
	b.Destroy()
	isDead(t, b)
	b.Destroy()
}

func TestBuffersOfBytes(t *testing.T) {
	src := []byte("yellow submarine")
	b := memguard.NewBufferFromBytes(src)
	if !b.EqualTo([]byte("yellow submarine")) || !bytes.Equal(src, zeros(16)) || b.IsMutable() {
		t.Errorf("%q of %q", b.Bytes(), src)
	}
	b.Destroy()
	one, other := memguard.NewBufferRandom(32), memguard.NewBufferRandom(32)
	if one.EqualTo(other.Bytes()) || one.EqualTo(zeros(32)) || one.IsMutable() {
		t.Error("not random")
	}
	one.Destroy()
	other.Destroy()
}

func TestViews(t *testing.T) {
	b := memguard.NewBufferRandom(71)
	defer b.Destroy()
	data := b.Bytes()
	if len(b.Int8()) != 71 || len(b.Uint16()) != 35 || len(b.Int16()) != 35 || len(b.Uint32()) != 17 ||
		len(b.Int32()) != 17 || len(b.Uint64()) != 8 || len(b.Int64()) != 8 || cap(b.Uint64()) != 8 {
		t.Error("lengths")
	}
	b.Melt()
	b.Uint16()[1] = 0x0101
	b.Int64()[8-1] = -1
	if data[2] != 1 || data[3] != 1 || data[63] != 255 || data[64] == 255 && data[65] == 255 && data[66] == 255 {
		t.Error("they are not views")
	}
	if b.ByteArray8()[2] != 1 || &b.ByteArray16()[0] != &data[0] || &b.ByteArray32()[31] != &data[31] ||
		&b.ByteArray64()[63] != &data[63] {
		t.Error("arrays")
	}
	short := memguard.NewBuffer(7)
	defer short.Destroy()
	if short.ByteArray8() != nil || short.Uint64() != nil || len(short.Uint32()) != 1 {
		t.Error("short")
	}
	// Numbers lie where the processor wants them.
	for _, size := range []int{8, 16, 24, 64, 200, 4096} {
		b := memguard.NewBuffer(size)
		if address(b.Bytes())%8 != 0 {
			t.Errorf("%d bytes lie at %x", size, address(b.Bytes()))
		}
		b.Destroy()
	}
}

func TestReaders(t *testing.T) {
	broken := errors.New("broken")
	for _, size := range []int{1, 16, 255, 256, 257, 4096, 10000} {
		text := bytes.Repeat([]byte{'a'}, size)
		b, err := memguard.NewBufferFromReader(bytes.NewReader(append(text, "more"...)), size)
		if err != nil || !b.EqualTo(text) || b.IsMutable() {
			t.Errorf("%d: %v", size, err)
		}
		b.Destroy()
		b, err = memguard.NewBufferFromReader(bytes.NewReader(text), size+1)
		if err != io.ErrUnexpectedEOF || !b.EqualTo(text) || b.IsMutable() {
			t.Errorf("%d: %v", size, err)
		}
		b.Destroy()

		rest := bytes.NewReader(append(text, "xmore"...))
		b, err = memguard.NewBufferFromReaderUntil(rest, 'x')
		if err != nil || !b.EqualTo(text) || b.IsMutable() || rest.Len() != 4 {
			t.Errorf("%d: %v, %d left", size, err, rest.Len())
		}
		b.Destroy()
		b, err = memguard.NewBufferFromReaderUntil(bytes.NewReader(text), 'x')
		if err != io.EOF || !b.EqualTo(text) || b.IsMutable() {
			t.Errorf("%d: %v", size, err)
		}
		b.Destroy()

		for _, r := range []io.Reader{
			bytes.NewReader(text), iotest.OneByteReader(bytes.NewReader(text)), iotest.DataErrReader(bytes.NewReader(text)),
		} {
			b, err = memguard.NewBufferFromEntireReader(r)
			if err != nil || !b.EqualTo(text) || b.IsMutable() {
				t.Errorf("%d: %v", size, err)
			}
			b.Destroy()
		}
		b, err = memguard.NewBufferFromEntireReader(io.MultiReader(bytes.NewReader(text), iotest.ErrReader(broken)))
		if err != broken || !b.EqualTo(text) {
			t.Errorf("%d: %v", size, err)
		}
		b.Destroy()
	}
	none := strings.NewReader("")
	b, err := memguard.NewBufferFromReader(none, 5)
	if isDead(t, b); err != io.EOF {
		t.Error(err)
	}
	b, err = memguard.NewBufferFromReader(none, 0)
	if isDead(t, b); err != nil {
		t.Error(err)
	}
	b, err = memguard.NewBufferFromReaderUntil(none, 'x')
	if isDead(t, b); err != io.EOF {
		t.Error(err)
	}
	b, err = memguard.NewBufferFromReaderUntil(strings.NewReader("x"), 'x')
	if isDead(t, b); err != nil {
		t.Error(err)
	}
	b, err = memguard.NewBufferFromEntireReader(none)
	if isDead(t, b); err != nil {
		t.Error(err)
	}
	b, err = memguard.NewBufferFromEntireReader(iotest.ErrReader(broken))
	if isDead(t, b); err != broken {
		t.Error(err)
	}
}

func TestEnclaves(t *testing.T) {
	src := []byte("yellow submarine")
	e := memguard.NewEnclave(src)
	if !bytes.Equal(src, zeros(16)) || e.Size() != 16 {
		t.Error("not sealed")
	}
	for range 2 {
		b, err := e.Open()
		if err != nil || !b.EqualTo([]byte("yellow submarine")) || b.IsMutable() {
			t.Fatal(err)
		}
		sealed := b.Seal()
		isDead(t, b)
		if e = sealed; e.Size() != 16 {
			t.Error("another size")
		}
	}
	random := memguard.NewEnclaveRandom(32)
	b, err := random.Open()
	if err != nil || b.EqualTo(zeros(32)) || b.Size() != 32 || random.Size() != 32 {
		t.Error(err)
	}
	memguard.Purge()
	isDead(t, b)
	for _, e := range []*memguard.Enclave{e, random, {}, {Enclave: new(core.Enclave)}} {
		if b, err := e.Open(); err != core.ErrDecryptionFailed || b != nil {
			t.Error(err)
		}
	}
	if _, err := core.Seal(b.Buffer); err != core.ErrBufferExpired {
		t.Error(err)
	}
	again := memguard.NewBufferRandom(8)
	if !again.IsAlive() {
		t.Error("nothing is made after a purge")
	}
	again.Destroy()
	if b, _ := memguard.NewEnclave([]byte{1}).Open(); !b.EqualTo([]byte{1}) {
		t.Error("nothing is opened after a purge")
	}
}

func TestStreams(t *testing.T) {
	s := memguard.NewStream()
	if n, err := s.Read(make([]byte, 8)); n != 0 || err != io.EOF {
		t.Error(n, err)
	}
	b, err := s.Next()
	if isDead(t, b); err != io.EOF {
		t.Error(err)
	}
	b, err = s.Flush()
	if isDead(t, b); err != nil {
		t.Error(err)
	}
	if n, err := s.Write(nil); n != 0 || err != nil || s.Size() != 0 {
		t.Error(n, err)
	}
	size := 2*memguard.StreamChunkSize + 1024
	data := make([]byte, size)
	memguard.ScrambleBytes(data)
	want := bytes.Clone(data)
	if n, err := s.Write(data); n != size || err != nil || s.Size() != size || !bytes.Equal(data, zeros(size)) {
		t.Error(n, err, s.Size())
	}
	for _, chunk := range []int{memguard.StreamChunkSize, memguard.StreamChunkSize, 1024} {
		b, err := s.Next()
		if err != nil || b.Size() != chunk || b.IsMutable() || !b.EqualTo(want[:chunk]) {
			t.Error(err, b.Size())
		}
		want = want[chunk:]
		b.Destroy()
	}
	if s.Size() != 0 {
		t.Error(s.Size())
	}
	// In small pieces, and what is left of a chunk is the next.
	_, _ = s.Write([]byte("yellow submarine"))
	_, _ = s.Write([]byte("red"))
	piece := make([]byte, 6)
	for _, part := range []string{"yellow", " subma", "rine", "red"} {
		n, err := s.Read(piece)
		if err != nil || string(piece[:n]) != part {
			t.Errorf("%q: %v", piece[:n], err)
		}
	}
	_, _ = io.Copy(s, strings.NewReader(strings.Repeat("abc", 20000)))
	if b, err = s.Flush(); err != nil || b.Size() != 60000 || b.IsMutable() || b.String() != strings.Repeat("abc", 20000) {
		t.Error(err, b.Size())
	}
	b.Destroy()
	_, _ = s.Write([]byte("a"))
	memguard.Purge()
	if b, err = s.Flush(); err != core.ErrDecryptionFailed {
		t.Error(err)
	}
	isDead(t, b)
}

func TestBytesOfTheProgram(t *testing.T) {
	b := make([]byte, 32)
	memguard.ScrambleBytes(b)
	if bytes.Equal(b, zeros(32)) {
		t.Error("not scrambled")
	}
	memguard.WipeBytes(b)
	if !bytes.Equal(b, zeros(32)) {
		t.Error("not wiped")
	}
	core.Copy(b, []byte("abc"))
	if src := []byte("xy"); true {
		core.Move(b[1:], src)
		if string(b[:4]) != "axy\x00" || !bytes.Equal(src, zeros(2)) {
			t.Errorf("%q", b[:4])
		}
	}
	if !core.Equal([]byte("a"), []byte("a")) || core.Equal([]byte("a"), nil) || core.Scramble(nil) != nil {
		t.Error("core")
	}
}

func TestAPanicWipes(t *testing.T) {
	b := memguard.NewBufferRandom(16)
	func() {
		defer func() {
			if v := recover(); v != "why" {
				t.Error(v)
			}
		}()
		memguard.SafePanic("why")
	}()
	isDead(t, b)
	// Even while somebody holds the buffer's lock.
	b = memguard.NewBufferRandom(16)
	b.Lock()
	data := b.Bytes()
	memguard.Purge()
	if !bytes.Equal(data, zeros(16)) {
		t.Error("not wiped")
	}
	b.Unlock()
	for b.IsAlive() {
		runtime.Gosched()
	}
}

// Where memguard ends the program this waits, and says why it was in vain.
func TestTheLimit(t *testing.T) {
	memguard.Purge()
	defer memguard.Configure(memguard.Settings{})
	defer memguard.Purge()
	settings := memguard.Settings{Options: strongroom.Options{Budget: 16 << 10}, Wait: 50 * time.Millisecond}
	memguard.Configure(settings)
	var held []*memguard.LockedBuffer
	failed := func(f func()) (v any) {
		defer func() { v = recover() }()
		f()
		return nil
	}
	var why any
	for why == nil {
		why = failed(func() { held = append(held, memguard.NewBuffer(1000)) })
	}
	err, _ := why.(error)
	var e *strongroom.Error
	if !errors.As(err, &e) || !errors.Is(err, strongroom.ErrTimedOut) || e.Numbers.Held != len(held) ||
		!strings.Contains(err.Error(), "larger budget") {
		t.Error(why)
	}
	for _, b := range held {
		if !b.IsAlive() {
			t.Fatal("the others were purged")
		}
	}
	enclave := memguard.NewEnclave(zeros(1000))
	if b, err := enclave.Open(); !errors.Is(err, strongroom.ErrTimedOut) || b != nil {
		t.Error(err)
	}
	if b, err := memguard.NewBufferFromReader(bytes.NewReader(zeros(1000)), 1000); !errors.Is(err, strongroom.ErrTimedOut) {
		t.Error(err)
	} else {
		isDead(t, b)
	}
	// Not waiting is another error.
	memguard.Configure(memguard.Settings{Options: settings.Options, Wait: -1})
	if b, err := enclave.Open(); !errors.Is(err, strongroom.ErrFull) || b != nil {
		t.Error(err)
	}
	if err, _ := failed(func() { memguard.NewBuffer(1000) }).(error); !errors.Is(err, strongroom.ErrFull) {
		t.Error(err)
	}
	var told []error
	settings.OnFailure = func(err error) { told = append(told, err) }
	memguard.Configure(settings)
	isDead(t, memguard.NewBuffer(1000))
	held[0].Freeze()
	held[0].Wipe()
	if len(told) != 2 || !errors.Is(told[0], strongroom.ErrTimedOut) || told[1] != core.ErrFrozen {
		t.Error(told)
	}
	// It waits, and is served.
	settings.Wait = time.Minute
	memguard.Configure(settings)
	time.AfterFunc(20*time.Millisecond, held[0].Destroy)
	b, err := enclave.Open()
	if err != nil {
		t.Fatal(err)
	}
	b.Destroy()
}

// Those who wait when all is purged are served by the vault that comes after.
func TestAPurgeWhileSomebodyWaits(t *testing.T) {
	memguard.Purge()
	defer memguard.Configure(memguard.Settings{})
	defer memguard.Purge()
	memguard.Configure(memguard.Settings{Options: strongroom.Options{Budget: 16 << 10}, Wait: time.Minute})
	held := memguard.NewBuffer(12000)
	sealed := memguard.NewEnclave(zeros(5000))
	began := time.Now()
	made, opened := make(chan *memguard.LockedBuffer), make(chan error)
	go func() { made <- memguard.NewBuffer(5000) }()
	go func() {
		_, err := sealed.Open()
		opened <- err
	}()
	time.Sleep(50 * time.Millisecond)
	memguard.Purge()
	isDead(t, held)
	if b := <-made; b.Size() != 5000 {
		t.Error(b.Size())
	}
	if err := <-opened; err != core.ErrDecryptionFailed {
		t.Error(err)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Error(took)
	}
}

// Bytes stay what they are when their buffer is out of reach, and in locked memory; a purge wipes them.
func TestBytesOutliveTheirBuffer(t *testing.T) {
	data := memguard.NewBufferFromBytes([]byte("yellow submarine")).Bytes()
	for range 3 {
		runtime.GC()
		memguard.NewBufferRandom(16).Destroy()
	}
	if string(data) != "yellow submarine" {
		t.Errorf("%q", data)
	}
	memguard.Purge()
}

func TestManyGoroutinesAndPurges(t *testing.T) {
	var group sync.WaitGroup
	seconds := 1
	_, _ = fmt.Sscan(os.Getenv("STRONGROOM_STRESS_SECONDS"), &seconds)
	end := time.Now().Add(time.Duration(seconds) * time.Second)
	for i := range 16 {
		group.Add(1)
		go func() {
			defer group.Done()
			secret := bytes.Repeat([]byte{byte(i + 1)}, 100)
			for round := 0; time.Now().Before(end); round++ {
				e := memguard.NewEnclave(bytes.Clone(secret))
				b, err := e.Open()
				if err == core.ErrDecryptionFailed {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				b.RLock()
				if b.IsAlive() && !bytes.Equal(b.Bytes(), secret) {
					t.Error("another secret")
				}
				b.RUnlock()
				if round%2 == 0 {
					b.Destroy()
				} else if again := b.Seal(); again != nil && again.Size() != 100 {
					t.Error("another size")
				}
				if round%10 == 0 {
					readsAndStreams(t, secret)
				}
				if i == 0 && round%200 == 0 {
					memguard.Purge()
				}
			}
		}()
	}
	group.Wait()
}

// What is read and streamed while others purge is whole, or gone.
func readsAndStreams(t *testing.T, secret []byte) {
	long := bytes.Repeat(secret, 10)
	// It grows twice, and is cut to its size.
	read, err := memguard.NewBufferFromEntireReader(bytes.NewReader(long))
	if err != nil && err != core.ErrBufferExpired {
		t.Error(err)
	}
	same := false
	if expired := read.Use(func(data []byte) { same = bytes.Equal(data, long) }); err == nil && expired == nil && !same {
		t.Error("something else was read")
	}
	read.Destroy()
	s := memguard.NewStream()
	if n, err := s.Write(bytes.Clone(long)); n != len(long) || err != nil {
		t.Error(n, err)
	}
	buf := make([]byte, 10)
	if n, err := s.Read(buf); err == nil && !bytes.Equal(buf[:n], long[:n]) {
		t.Error("something else was in the stream")
	}
	rest, err := s.Flush()
	if err != nil && err != core.ErrDecryptionFailed && err != core.ErrBufferExpired {
		t.Error(err)
	}
	rest.Destroy()
	if s.Size() != 0 {
		t.Error(s.Size())
	}
	c := core.NewCoffer()
	if b, err := c.View(); err == nil {
		b.Destroy()
	} else if err != core.ErrCofferExpired {
		t.Error(err)
	}
	_ = c.Destroy()
}

// A program of its own for what ends it.
func TestMain(m *testing.M) {
	switch os.Getenv("MEMGUARD_TEST_ENDS_BY") {
	case "exit":
		memguard.NewBufferRandom(16)
		memguard.SafeExit(3)
	case "told overflow":
		memguard.Configure(memguard.Settings{OnFailure: func(err error) { _, _ = os.Stderr.WriteString(err.Error()) }})
		fallthrough
	case "overflow":
		overflow(memguard.NewBufferRandom(16))
		memguard.SafeExit(3)
	case "interrupt":
		memguard.CatchSignal(func(os.Signal) { panic("not the last") }, os.Interrupt)
		memguard.CatchInterrupt()
		_ = syscall.Kill(os.Getpid(), syscall.SIGINT)
		time.Sleep(time.Minute)
	case "signal":
		memguard.CatchSignal(func(s os.Signal) { _, _ = os.Stdout.WriteString(s.String()) })
		_ = syscall.Kill(os.Getpid(), syscall.SIGCHLD)
		_ = syscall.Kill(os.Getpid(), syscall.SIGURG)
		time.Sleep(10 * time.Millisecond)
		_ = syscall.Kill(os.Getpid(), syscall.SIGTERM)
		time.Sleep(time.Minute)
	}
	os.Exit(m.Run())
}

func TestWhatEndsTheProcess(t *testing.T) {
	for by, want := range map[string]struct {
		code int
		text string
	}{"exit": {3, ""}, "interrupt": {1, ""}, "signal": {1, "terminated"}} {
		command := exec.Command(os.Args[0])
		command.Env = append(os.Environ(), "MEMGUARD_TEST_ENDS_BY="+by)
		out, err := command.Output()
		if code := command.ProcessState.ExitCode(); code != want.code || string(out) != want.text {
			t.Errorf("%s: %d, %q, %v", by, code, out, err)
		}
	}
}
