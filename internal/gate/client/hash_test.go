package client

import (
	"encoding/binary"
	"testing"
)

// The vectors are those of the reference implementation with the key 00 01 … 0f and the message 00 01 02 …, for
// SipHash-1-3 as Rust's core library tests them.
func TestSipHash(t *testing.T) {
	k := key{0x0706050403020100, 0x0f0e0d0c0b0a0908}
	want := []uint64{0xabac0158050fc4dc, 0xc9f49bf37d57ca93, 0x82cb9b024dc7d44d, 0x8bf80ab8e7ddf7fb}
	var msg []byte
	for i, w := range want {
		if got := k.sum(string(msg)); got != w {
			t.Errorf("of %d bytes: %#x, want %#x", i, got, w)
		}
		msg = append(msg, byte(i))
	}
}

func TestSum16IsSum(t *testing.T) {
	k := derive(&[32]byte{1, 2, 3}, "x")
	var b [16]byte
	for i := range b {
		b[i] = byte(200 + 7*i)
	}
	if k.sum16(binary.LittleEndian.Uint64(b[:8]), binary.LittleEndian.Uint64(b[8:])) != k.sum(string(b[:])) {
		t.Error("sum16 is not sum of the same 16 bytes")
	}
}

func TestDerive(t *testing.T) {
	a, b := [32]byte{31: 1}, [32]byte{}
	if derive(&a, "x") != derive(&a, "x") {
		t.Error("the same secret and purpose give two keys")
	}
	if derive(&a, "x") == derive(&a, "y") || derive(&a, "x") == derive(&b, "x") {
		t.Error("another secret or purpose gives the same key")
	}
}

func BenchmarkSum(b *testing.B) {
	k := derive(&[32]byte{1}, "x")
	msg := string(make([]byte, 1024))
	for _, n := range []int{16, 64, 1024} {
		b.Run("", func(b *testing.B) {
			b.SetBytes(int64(n))
			for b.Loop() {
				k.sum(msg[:n])
			}
		})
	}
}
