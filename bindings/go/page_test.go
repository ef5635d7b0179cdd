package strongroom_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// page is docs/GO.md.
func page(t *testing.T) string {
	text, err := os.ReadFile("../../docs/GO.md")
	if os.IsNotExist(err) {
		t.Skip("the page is not here")
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// commands are those of the page that begin so, for where this is.
func commands(t *testing.T, begin string) (lines [][]string) {
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(page(t), "\n") {
		if strings.HasPrefix(line, begin) {
			lines = append(lines, strings.Fields(strings.ReplaceAll(line, "/path/to/strongroom/bindings/go", here)))
		}
	}
	return lines
}

// in runs a command in a folder, without the network, and with the flags of Go that a user has: none.
func in(t *testing.T, folder string, words ...string) string {
	t.Helper()
	command := exec.Command(words[0], words[1:]...)
	command.Dir = folder
	command.Env = append(os.Environ(), "GOFLAGS=", "GOPROXY=off", "GOTOOLCHAIN=local")
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", words, err, out)
	}
	return string(out)
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// The programs of docs/GO.md, in a module of their own that is made by the page's commands.
func TestThePage(t *testing.T) {
	folder := t.TempDir()
	in(t, folder, "go", "mod", "init", "page")
	in(t, folder, "go", "mod", "edit", "-require=github.com/awnumar/memguard@v0.23.0")
	edits := commands(t, "go mod edit ")
	for _, edit := range edits {
		in(t, folder, edit...)
	}
	var said []string
	for _, block := range strings.Split(page(t), "```go\n")[1:] {
		program, _, _ := strings.Cut(block, "```")
		write(t, filepath.Join(folder, "main.go"), program)
		said = append(said, in(t, folder, "go", "run", "."))
	}
	if want := "7 bytes, in locked memory until this returns\n|7 true\n"; strings.Join(said, "|") != want || len(edits) != 3 {
		t.Errorf("%q, and %d commands", said, len(edits))
	}
}

// A program that was written for memguard, its core and a library that has memguard's types in its interface, builds
// with the page's two lines, before `go mod tidy` and after it.
func TestAProgramThatWasWrittenForMemguard(t *testing.T) {
	folder := t.TempDir()
	write(t, filepath.Join(folder, "keyring", "go.mod"), `module example.com/keyring

go 1.24

require github.com/awnumar/memguard v0.23.0
`)
	write(t, filepath.Join(folder, "keyring", "keyring.go"), `package keyring

import "github.com/awnumar/memguard"

type Keyring struct{ keys map[string]*memguard.Enclave }

func (k *Keyring) Put(name string, key []byte) {
	if k.keys == nil {
		k.keys = make(map[string]*memguard.Enclave)
	}
	k.keys[name] = memguard.NewEnclave(key)
}

func (k *Keyring) Open(name string) (*memguard.LockedBuffer, error) { return k.keys[name].Open() }
`)
	write(t, filepath.Join(folder, "go.mod"), `module program

go 1.24

require (
	example.com/keyring v0.0.0
	github.com/awnumar/memguard v0.23.0
)

replace example.com/keyring => ./keyring
`)
	write(t, filepath.Join(folder, "main.go"), `package main

import (
	"fmt"
	"io"

	"example.com/keyring"
	"github.com/awnumar/memguard"
	"github.com/awnumar/memguard/core"
)

type secret interface {
	Data() []byte
	Destroy()
}

func main() {
	defer memguard.Purge()
	var keys keyring.Keyring
	keys.Put("db", []byte("hunter2"))
	key, err := keys.Open("db")
	if err != nil {
		memguard.SafePanic(err)
	}
	var held secret = key.Buffer
	fmt.Println(len(held.Data()), key.EqualTo([]byte("hunter2")))
	held.Destroy()

	sealed, err := core.NewEnclave([]byte("abc"))
	if err != nil {
		core.Panic(err)
	}
	opened, err := (&memguard.Enclave{Enclave: sealed}).Open()
	fmt.Println(core.EnclaveSize(sealed), opened.Size(), err)
	stream := memguard.NewStream()
	_, err = io.Copy(stream, opened.Reader())
	fmt.Println(stream.Size(), stream.List.Len(), err)
	memguard.Purge()
	_, err = keys.Open("db")
	fmt.Println(err == core.ErrDecryptionFailed)
}
`)
	edits := commands(t, "go mod edit ")[1:]
	for _, edit := range edits {
		in(t, folder, edit...)
	}
	for _, first := range [][]string{{"go", "vet", "./..."}, {"go", "mod", "tidy"}} {
		in(t, folder, first...)
		if said, want := in(t, folder, "go", "run", "."), "7 true\n3 3 <nil>\n3 1 <nil>\ntrue\n"; said != want {
			t.Errorf("after %s: %q", first, said)
		}
	}
}
