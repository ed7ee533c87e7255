package limit

import (
	"encoding/binary"
	"net/netip"

	"stormdoor/flow"
	"stormdoor/state"
)

// textDomain begins the hash of all that is no address. As an address it would be ffff:ffff:ffff:ffff::, which nobody has.
const textDomain = ^uint64(0)

// network as the last byte of a hash marks autonomous systems; other values are the lengths of prefixes.
const network = 200

// key is what the limit counts the request by; ok is false when the request does not have it.
func (l *limit) key(f *flow.Facts) (k state.Key, ok bool) {
	switch l.by {
	case byClient:
		if f.KeyHash != 0 {
			return l.own(f.KeyHash), true
		}
		hi, lo, v4, ok := client(f)
		if v4 {
			return state.Key(l.sip.words(hi, lo, 128)), ok
		}
		return state.Key(l.sip.words(hi, 0, 64)), ok
	case byCredential:
		return l.own(f.Credential), f.Credential != 0
	case byHost:
		return l.text(textDomain, f.Host)
	case byPath:
		return l.text(l.sip.text(textDomain, f.Host), f.Path.Clean)
	case byJA4:
		return l.text(textDomain, f.JA4)
	}
	return l.text(textDomain, f.Header.Get(l.header))
}

// own makes the limit's own key of what is a keyed hash already, so that the same client has unrelated keys in different
// limits: a permutation (the finaliser of SplitMix64) of the hash and a secret of the limit.
func (l *limit) own(hash uint64) state.Key {
	x := hash ^ l.salt
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return state.Key(x ^ x>>31)
}

func (l *limit) text(first uint64, s string) (state.Key, bool) {
	if s == "" {
		return 0, false
	}
	return state.Key(l.sip.text(first, s)), true
}

// wider is the key to count by where one of breadth b had no room; ok is false when there is none.
func (l *limit) wider(f *flow.Facts, b state.Breadth) (k state.Key, wider state.Breadth, ok bool) {
	hi, lo, v4, ok := client(f)
	if !ok || b >= state.Broadest {
		return 0, b, false
	}
	b++
	if v4 && b == 2 {
		b++ // between /24 and the network there is nothing
	}
	if b == state.Broadest && f.Network != 0 {
		return state.Key(l.sip.words(textDomain, uint64(f.Network), network)), b, true
	}
	bits := [...]byte{1: 56, 2: 48, state.Broadest: 32}[b]
	if v4 {
		bits = [...]byte{1: 96 + 24, 2: 96, state.Broadest: 96 + 16}[b]
		return state.Key(l.sip.words(hi, lo&^(1<<(128-bits)-1), bits)), b, true
	}
	return state.Key(l.sip.words(hi&^(1<<(64-bits)-1), 0, bits)), b, true
}

// client is the address by which the visitor is counted, as the two halves of its 16-byte form.
func client(f *flow.Facts) (hi, lo uint64, v4, ok bool) {
	addr := f.Key.Addr()
	if !addr.IsValid() {
		if addr = f.Client; !addr.IsValid() {
			return 0, 0, false, false
		}
	}
	hi, lo = halves(addr)
	return hi, lo, hi == 0 && lo>>32 == 0xffff, true
}

func halves(a netip.Addr) (hi, lo uint64) {
	b := a.As16()
	return binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
}
