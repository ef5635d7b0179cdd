package strongroom_test

import (
	"context"
	"testing"
)

// What one call through the border costs, and what sealing and opening do. ../c's tests measure the same in Rust
// beside the C library (the_border_costs_little).
func BenchmarkBorder(b *testing.B) {
	v := vault(b, 64<<10)
	opened := must(v.Allocate(context.Background(), 32))
	for b.Loop() {
		if _, err := opened.Len(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSeal32(b *testing.B) {
	v := vault(b, 64<<10)
	secret := make([]byte, 32)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Seal(secret, "x"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpenUseClose32(b *testing.B) {
	v := vault(b, 64<<10)
	sealed := must(v.Seal(make([]byte, 32), "x"))
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if err := v.Use(ctx, sealed, "x", func([]byte) {}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUse32(b *testing.B) {
	v := vault(b, 64<<10)
	opened := must(v.Allocate(context.Background(), 32))
	for b.Loop() {
		if err := opened.Use(func([]byte) {}); err != nil {
			b.Fatal(err)
		}
	}
}
