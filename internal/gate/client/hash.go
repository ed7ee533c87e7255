package client

import (
	"encoding/binary"
	"math/bits"
)

// key is a key of SipHash. Each purpose has one of its own, so that values hashed for one say nothing about another.
type key struct{ k0, k1 uint64 }

// derive returns the key of one purpose under the secret. The same secret and purpose give the same key, today and
// after a restart.
func derive(secret *[32]byte, purpose string) key {
	a := key{binary.LittleEndian.Uint64(secret[0:]), binary.LittleEndian.Uint64(secret[8:])}
	b := key{binary.LittleEndian.Uint64(secret[16:]), binary.LittleEndian.Uint64(secret[24:])}
	return key{a.sum(purpose), b.sum(purpose)}
}

// sum is SipHash-1-3 of s: a keyed hash whose collisions cannot be made without the key, at about half the cost of
// SipHash-2-4 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012; 1-3 is the variant that Rust and
// Ruby use for tables). It allocates nothing.
func (k key) sum(s string) uint64 {
	v := k.start()
	n := uint64(len(s))
	for len(s) >= 8 {
		v.block(uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
			uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56)
		s = s[8:]
	}
	last := n << 56
	for i := range len(s) {
		last |= uint64(s[i]) << (8 * i)
	}
	v.block(last)
	return v.finish()
}

// sum16 is sum of the 16 bytes of a and b, each little endian.
func (k key) sum16(a, b uint64) uint64 {
	v := k.start()
	v.block(a)
	v.block(b)
	v.block(16 << 56)
	return v.finish()
}

// sip is the state of SipHash.
type sip struct{ v0, v1, v2, v3 uint64 }

func (k key) start() sip {
	return sip{
		v0: k.k0 ^ 0x736f6d6570736575,
		v1: k.k1 ^ 0x646f72616e646f6d,
		v2: k.k0 ^ 0x6c7967656e657261,
		v3: k.k1 ^ 0x7465646279746573,
	}
}

func (s *sip) block(m uint64) {
	s.v3 ^= m
	s.round()
	s.v0 ^= m
}

func (s *sip) finish() uint64 {
	s.v2 ^= 0xff
	s.round()
	s.round()
	s.round()
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3
}

func (s *sip) round() {
	s.v0 += s.v1
	s.v1 = bits.RotateLeft64(s.v1, 13) ^ s.v0
	s.v0 = bits.RotateLeft64(s.v0, 32)
	s.v2 += s.v3
	s.v3 = bits.RotateLeft64(s.v3, 16) ^ s.v2
	s.v0 += s.v3
	s.v3 = bits.RotateLeft64(s.v3, 21) ^ s.v0
	s.v2 += s.v1
	s.v1 = bits.RotateLeft64(s.v1, 17) ^ s.v2
	s.v2 = bits.RotateLeft64(s.v2, 32)
}
