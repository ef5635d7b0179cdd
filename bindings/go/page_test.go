package strongroom_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The programs of docs/GO.md, in a module of their own that is made by the page's commands.
func TestThePage(t *testing.T) {
	text, err := os.ReadFile("../../docs/GO.md")
	if os.IsNotExist(err) {
		t.Skip("the page is not here")
	}
	if err != nil {
		t.Fatal(err)
	}
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	run := func(words ...string) string {
		command := exec.Command(words[0], words[1:]...)
		command.Dir = folder
		command.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOTOOLCHAIN=local")
		out, err := command.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", words, err, out)
		}
		return string(out)
	}
	run("go", "mod", "init", "page")
	run("go", "mod", "edit", "-require=github.com/awnumar/memguard@v0.23.0")
	commands := 0
	for _, line := range strings.Split(string(text), "\n") {
		if line = strings.ReplaceAll(line, "/path/to/strongroom/bindings/go", here); strings.HasPrefix(line, "go mod ") {
			run(strings.Fields(line)...)
			commands++
		}
	}
	var said []string
	for _, block := range strings.Split(string(text), "```go\n")[1:] {
		program, _, _ := strings.Cut(block, "```")
		if err := os.WriteFile(filepath.Join(folder, "main.go"), []byte(program), 0o600); err != nil {
			t.Fatal(err)
		}
		said = append(said, run("go", "run", "."))
	}
	if want := "7 bytes, in locked memory until this returns\n|7 true\n"; strings.Join(said, "|") != want || commands != 3 {
		t.Errorf("%q, and %d commands", said, commands)
	}
}
