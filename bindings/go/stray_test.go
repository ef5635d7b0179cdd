package strongroom_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"

	"strongroom"
)

const mask = 0xa5

// masked is what a secret is looked for by: it is nowhere itself.
func masked(secret []byte) []byte {
	m := make([]byte, len(secret))
	for i := range secret {
		m[i] = secret[i] ^ mask
	}
	return m
}

// strays counts the places in this process's writable memory where any 16 bytes of a secret are.
func strays(t *testing.T, needle []byte) int {
	runtime.GC()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Skip("memory is searched on Linux")
	}
	memory, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Skip(err)
	}
	defer memory.Close()
	found := 0
	buffer := make([]byte, 1<<20)
	// What is found is in it too.
	defer strongroom.Wipe(buffer)
	lines := bufio.NewScanner(bytes.NewReader(maps))
	for lines.Scan() {
		var from, to uint64
		var rights string
		if _, err := fmt.Sscanf(lines.Text(), "%x-%x %s", &from, &to, &rights); err != nil || !strings.HasPrefix(rights, "rw") {
			continue
		}
		for at := from; at < to; at += uint64(len(buffer)) - 16 {
			n, err := memory.ReadAt(buffer[:min(uint64(len(buffer)), to-at)], int64(at))
			if err != nil && err != io.EOF {
				break
			}
			found += places(buffer[:n], needle)
		}
	}
	return found
}

func places(memory, needle []byte) int {
	found := 0
	for part := 0; part+16 <= len(needle); part += 16 {
		want := needle[part : part+16]
		first := want[0] ^ mask
		for at := 0; ; at++ {
			next := bytes.IndexByte(memory[at:], first)
			if next < 0 || at+next+16 > len(memory) {
				break
			}
			at += next
			same := true
			for i := range want {
				same = same && memory[at+i]^mask == want[i]
			}
			if same {
				found++
			}
		}
	}
	return found
}

// A secret that is made, sealed, opened, used, compared and streamed is nowhere in the process afterwards.
func TestNoPlaintextIsLeft(t *testing.T) {
	v := vault(t, 64<<10)
	ctx := context.Background()
	opened := must(v.Allocate(ctx, 64))
	if err := opened.Random(); err != nil {
		t.Fatal(err)
	}
	var needle []byte
	_ = opened.Use(func(b []byte) { needle = masked(b) })
	sealed := must(opened.Seal("x"))
	store := must(v.NewStore(strongroom.StoreOptions{}))
	var stream bytes.Buffer
	w := must(v.NewSealWriter(ctx, &stream, "x", 1024))
	_ = opened.Use(func(b []byte) {
		if _, err := store.Insert("a", b, 0); err != nil {
			t.Error(err)
		}
		if _, err := w.Write(b); err != nil {
			t.Error(err)
		}
		must(v.Seal(b, "again"))
		_ = strongroom.Equal(b, b)
	})
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	for range 100 {
		_ = v.Use(ctx, sealed, "x", func(b []byte) { _ = masked(b) })
		_ = store.Use(ctx, "a", func(b []byte) { _ = must(opened.Equal(b)) })
	}
	r := must(v.NewOpenReader(ctx, &stream, "x", 1024))
	if err := r.Next(func(b []byte) { _ = masked(b) }); err != nil {
		t.Error(err)
	}
	_ = r.Close()
	if err := opened.Close(); err != nil {
		t.Error(err)
	}
	if n := strays(t, needle); n != 0 {
		t.Errorf("%d places", n)
	}
	// What is planted is found. (Not before: what searches has what it finds in registers, which the runtime saves on
	// stacks.)
	planted := masked(needle)
	if n := strays(t, needle); n == 0 {
		t.Error("a copy is not found")
	}
	runtime.KeepAlive(planted)
	strongroom.Wipe(planted)
}
