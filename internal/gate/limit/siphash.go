package limit

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
)

// sipKey is a key of SipHash-2-4 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012). Nobody without it
// can find two clients that share a counter.
type sipKey struct{ k0, k1 uint64 }

// deriveKey returns the key of a limit, so that the same client has unrelated keys in different limits.
func deriveKey(secret [32]byte, limit string) sipKey {
	h := hmac.New(sha256.New, secret[:])
	h.Write([]byte("limit\x00" + limit))
	sum := h.Sum(nil)
	return sipKey{binary.LittleEndian.Uint64(sum), binary.LittleEndian.Uint64(sum[8:])}
}

// words hashes the 17 bytes a, b (little-endian) and c.
func (k sipKey) words(a, b uint64, c byte) uint64 {
	v0, v1, v2, v3 := k.begin()
	for _, m := range [...]uint64{a, b, 17<<56 | uint64(c)} {
		v3 ^= m
		for range 2 {
			v0, v1, v2, v3 = half(v0, v1, v2, v3, 13, 16)
			v2, v1, v0, v3 = half(v2, v1, v0, v3, 17, 21)
		}
		v0 ^= m
	}
	return end(v0, v1, v2, v3)
}

// text hashes the 8 bytes of a (little-endian) followed by t.
func (k sipKey) text(a uint64, t string) uint64 {
	last, ended := uint64(len(t)+8)<<56, false
	v0, v1, v2, v3 := k.begin()
	for m, more := a, true; more; {
		v3 ^= m
		for range 2 {
			v0, v1, v2, v3 = half(v0, v1, v2, v3, 13, 16)
			v2, v1, v0, v3 = half(v2, v1, v0, v3, 17, 21)
		}
		v0 ^= m
		switch {
		case len(t) >= 8:
			m = uint64(t[0]) | uint64(t[1])<<8 | uint64(t[2])<<16 | uint64(t[3])<<24 |
				uint64(t[4])<<32 | uint64(t[5])<<40 | uint64(t[6])<<48 | uint64(t[7])<<56
			t = t[8:]
		case !ended:
			m, ended = last, true
			for i := range len(t) {
				m |= uint64(t[i]) << (8 * i)
			}
		default:
			more = false
		}
	}
	return end(v0, v1, v2, v3)
}

func (k sipKey) begin() (v0, v1, v2, v3 uint64) {
	return k.k0 ^ 0x736f6d6570736575, k.k1 ^ 0x646f72616e646f6d, k.k0 ^ 0x6c7967656e657261, k.k1 ^ 0x7465646279746573
}

func end(v0, v1, v2, v3 uint64) uint64 {
	v2 ^= 0xff
	for range 4 {
		v0, v1, v2, v3 = half(v0, v1, v2, v3, 13, 16)
		v2, v1, v0, v3 = half(v2, v1, v0, v3, 17, 21)
	}
	return v0 ^ v1 ^ v2 ^ v3
}

// half is half a SipRound; it is small enough to be inlined, which a whole one is not.
func half(a, b, c, d uint64, r, s int) (uint64, uint64, uint64, uint64) {
	a += b
	c += d
	b = bits.RotateLeft64(b, r) ^ a
	d = bits.RotateLeft64(d, s) ^ c
	return bits.RotateLeft64(a, 32), b, c, d
}
