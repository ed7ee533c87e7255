package limit

import (
	"encoding/binary"
	"strings"
	"testing"
)

// TestVectors checks against the vectors of SipHash-2-4's reference implementation: key 00…0f, message 00…(n-1).
func TestVectors(t *testing.T) {
	k := sipKey{0x0706050403020100, 0x0f0e0d0c0b0a0908}
	const first = 0x0706050403020100
	msg := "\x08\x09\x0a\x0b\x0c\x0d\x0e"
	want := []uint64{
		0x93f5f5799a932462, 0x9e0082df0ba9e4b0, 0x7a5dbbc594ddb9f3, 0xf4b32f46226bada7,
		0x751e8fbc860ee5fb, 0x14ea5627c0843d90, 0xf723ca908e7af2ee, 0xa129ca6149be45e5,
	}
	for n, w := range want {
		if got := k.text(first, msg[:n]); got != w {
			t.Errorf("%d bytes: %016x, want %016x", 8+n, got, w)
		}
	}
	// words is text with 9 bytes
	b := binary.LittleEndian.AppendUint64(nil, 0x1122334455667788)
	if got, want := k.words(first, 0x1122334455667788, 9), k.text(first, string(append(b, 9))); got != want {
		t.Errorf("words %016x, text %016x", got, want)
	}
}

// TestLongTexts: every byte counts, also where the length modulo 256 is 0.
func TestLongTexts(t *testing.T) {
	k, seen := deriveKey([32]byte{1}, "l"), map[uint64]int{}
	text := strings.Repeat("a", 600)
	for n := range text {
		for _, s := range []string{text[:n], text[:n] + "b"} {
			h := k.text(0, s)
			if m, ok := seen[h]; ok {
				t.Fatalf("lengths %d and %d have the same hash", m, len(s))
			}
			seen[h] = len(s)
		}
	}
}

func TestKeysOfLimitsAreUnrelated(t *testing.T) {
	if deriveKey([32]byte{}, "a") == deriveKey([32]byte{}, "b") || deriveKey([32]byte{1}, "a") == deriveKey([32]byte{}, "a") {
		t.Error("two limits or two secrets share a key")
	}
}
