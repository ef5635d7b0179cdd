package memguard_test

import (
	"bytes"
	"testing"

	"strongroom"
	"strongroom/memguard"
	"strongroom/memguard/core"
)

func TestCoffers(t *testing.T) {
	c := core.NewCoffer()
	see := func() []byte {
		t.Helper()
		b, err := c.View()
		if err != nil || len(b.Data()) != 32 {
			t.Fatal(err)
		}
		defer b.Destroy()
		return bytes.Clone(b.Data())
	}
	first := see()
	if bytes.Equal(first, zeros(32)) {
		t.Error("nothing was drawn")
	}
	if err := c.Rekey(); err != nil || !bytes.Equal(see(), first) {
		t.Error("another value", err)
	}
	if err := c.Init(); err != nil || bytes.Equal(see(), first) {
		t.Error("the same value", err)
	}
	c.Lock()
	if c.Destroyed() {
		t.Error("destroyed")
	}
	c.Unlock()
	other := core.NewCoffer()
	if err := other.Destroy(); err != nil {
		t.Error(err)
	}
	_ = other.Destroy()
	memguard.Purge()
	for _, c := range []*core.Coffer{c, other, new(core.Coffer)} {
		if b, err := c.View(); b != nil || err != core.ErrCofferExpired {
			t.Error(err)
		}
		if c.Init() != core.ErrCofferExpired || c.Rekey() != core.ErrCofferExpired || !c.Destroyed() {
			t.Error("alive")
		}
	}
	if !(*core.Coffer)(nil).Destroyed() {
		t.Error("there is none")
	}
	e, _ := core.NewEnclave([]byte("abc"))
	if core.EnclaveSize(e) != 3 || core.Overhead != strongroom.Overhead {
		t.Error("sizes")
	}
}
