package lists

import (
	"errors"
	"fmt"
	"net/netip"
)

// The widest prefixes that a refuse list may name: nobody holds more than an IPv4 /8 or an IPv6 /19.
const (
	widest4 = 8
	widest6 = 19
)

// special are ranges in which no visitor from the Internet is (RFC 6890), but the operator's own machines are. Reputation
// lists hold them by mistake, and lists of bogons on purpose.
var special = [...]struct {
	prefix netip.Prefix
	what   string
}{
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback addresses"},
	{netip.MustParsePrefix("::1/128"), "the loopback address"},
	{netip.MustParsePrefix("10.0.0.0/8"), "private addresses"},
	{netip.MustParsePrefix("172.16.0.0/12"), "private addresses"},
	{netip.MustParsePrefix("192.168.0.0/16"), "private addresses"},
	{netip.MustParsePrefix("fc00::/7"), "private addresses"},
	{netip.MustParsePrefix("100.64.0.0/10"), "shared addresses of carriers and overlay networks"},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local addresses"},
	{netip.MustParsePrefix("fe80::/10"), "link-local addresses"},
}

// floor is the never-block floor: whom no refuse list may name.
//
// In files, whose rows others have written, these are put aside: what is wider than an IPv4 /8 or an IPv6 /19, loopback,
// private and link-local ranges, and what touches a declared proxy or an own address. Addresses in the policy itself are
// the operator's own words: private ranges may stand there, and /0 too, for "nobody but the allow lists" (the policy
// checks that there is one); other wide prefixes and those that touch a proxy are mistakes.
type floor struct {
	guarded []guarded
}

type guarded struct {
	prefix netip.Prefix
	what   string
}

func newFloor(o Options) *floor {
	f := &floor{}
	for _, p := range o.Trusted {
		if prefix, err := unmap(p.Prefix); err == nil {
			f.guarded = append(f.guarded, guarded{prefix, "a declared proxy: everybody behind it would be shut out"})
		}
	}
	for _, p := range o.Own {
		if prefix, err := unmap(p.Prefix); err == nil {
			f.guarded = append(f.guarded, guarded{prefix, "an own address"})
		}
	}
	return f
}

// written judges a prefix that stands in the policy itself.
func (f *floor) written(p netip.Prefix) error {
	if p.Bits() == 0 {
		return nil
	}
	if err := tooWide(p); err != nil {
		return err
	}
	return f.guards(p)
}

// row judges a row of a file.
func (f *floor) row(p netip.Prefix) error {
	if err := tooWide(p); err != nil {
		return err
	}
	for i := range special {
		if special[i].prefix.Overlaps(p) {
			return fmt.Errorf("it names %s (%s): if that is meant, write it under addresses", special[i].what, special[i].prefix)
		}
	}
	return f.guards(p)
}

func (f *floor) guards(p netip.Prefix) error {
	for i := range f.guarded {
		if g := &f.guarded[i]; g.prefix.Overlaps(p) {
			return fmt.Errorf("it touches %s, %s", g.prefix, g.what)
		}
	}
	return nil
}

func tooWide(p netip.Prefix) error {
	switch {
	case p.Addr().Is4() && p.Bits() < widest4:
		return errors.New("it is wider than an IPv4 /8, more than anybody holds: write narrower prefixes")
	case p.Addr().Is6() && p.Bits() < widest6:
		return errors.New("it is wider than an IPv6 /19, more than anybody holds: write narrower prefixes")
	}
	return nil
}
