package lists

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"stormdoor/flow"
	"stormdoor/policy"
)

var _ flow.Stage = (*Stage)(nil)

func prefixes(texts ...string) (ps []policy.Prefix) {
	for _, t := range texts {
		p, err := netip.ParsePrefix(t)
		if err != nil {
			a := netip.MustParseAddr(t)
			p = netip.PrefixFrom(a, a.BitLen())
		}
		ps = append(ps, policy.Prefix{Prefix: p})
	}
	return ps
}

func list(name string, action policy.ListAction, addresses ...string) policy.List {
	return policy.List{Name: name, Action: action, Addresses: prefixes(addresses...)}
}

func stage(t testing.TB, ls ...policy.List) *Stage {
	t.Helper()
	s, err := New(ls, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func decide(t testing.TB, s *Stage, f flow.Facts) flow.Verdict {
	t.Helper()
	v, err := s.Decide(context.Background(), &f)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func from(addr string) flow.Facts { return flow.Facts{Client: netip.MustParseAddr(addr)} }

func TestVerdicts(t *testing.T) {
	s := stage(t,
		list("bad", policy.ListRefuses, "203.0.113.0/24", "2001:db8:bad::/48", "198.51.100.7"),
		list("worse", policy.ListRefuses, "203.0.113.128/25", "198.51.100.7"),
		policy.List{Name: "far", Action: policy.ListRefuses, Countries: []string{"AQ", "bv"}},
		policy.List{Name: "cloud", Action: policy.ListRefuses, Networks: []uint32{64500}},
		list("mapped", policy.ListRefuses, "::ffff:192.0.2.0/120"),
		policy.List{Name: "perhaps", Action: policy.ListRefuses, DryRun: true, Addresses: prefixes("203.0.112.0/23", "100.0.0.0/8")},
		list("friends", policy.ListAllows, "203.0.113.5", "2001:db8:bad:1::/64"),
		policy.List{Name: "partners", Action: policy.ListAllows, Networks: []uint32{64501}},
		policy.List{Name: "maybe", Action: policy.ListAllows, DryRun: true, Addresses: prefixes("100.1.0.0/16", "203.0.113.9")})
	refuse := func(rule string) flow.Verdict {
		return flow.Verdict{Action: flow.Refuse, Reason: flow.ListRefuse, Rule: rule}
	}
	allow := func(rule string) flow.Verdict {
		return flow.Verdict{Action: flow.Admit, Reason: flow.ListAllow, Rule: rule}
	}
	dry := func(v flow.Verdict) flow.Verdict { v.Dry = true; return v }
	for _, c := range []struct {
		client  string
		country string
		network uint32
		want    flow.Verdict
	}{
		{"203.0.113.1", "", 0, refuse("bad")},
		{"::ffff:203.0.113.1", "", 0, refuse("bad")},
		{"203.0.113.200", "", 0, refuse("worse")},
		{"198.51.100.7", "", 0, refuse("bad")},
		{"198.51.100.8", "", 0, flow.Verdict{}},
		{"2001:db8:bad::1", "", 0, refuse("bad")},
		{"192.0.2.77", "", 0, refuse("mapped")},
		{"198.51.100.8", "AQ", 0, refuse("far")},
		{"198.51.100.8", "BV", 0, refuse("far")},
		{"198.51.100.8", "NL", 0, flow.Verdict{}},
		{"198.51.100.8", "", 64500, refuse("cloud")},
		{"203.0.113.5", "AQ", 64500, allow("friends")},
		{"2001:db8:bad:1::9", "", 0, allow("friends")},
		{"203.0.113.1", "AQ", 64501, allow("partners")},
		{"203.0.112.1", "", 0, dry(refuse("perhaps"))},
		{"203.0.113.9", "", 0, refuse("bad")},
		{"100.1.2.3", "", 0, dry(allow("maybe"))},
		{"100.2.2.3", "", 0, dry(refuse("perhaps"))},
	} {
		f := from(c.client)
		f.Country, f.Network = c.country, c.network
		if v := decide(t, s, f); v != c.want {
			t.Errorf("%s %s %d: %+v, want %+v", c.client, c.country, c.network, v, c.want)
		}
	}
}

func TestAllows(t *testing.T) {
	s := stage(t, list("a", policy.ListAllows, "192.0.2.0/24"), list("r", policy.ListRefuses, "192.0.2.1", "198.51.100.1"),
		policy.List{Name: "d", Action: policy.ListAllows, DryRun: true, Addresses: prefixes("198.51.100.0/24")})
	for addr, want := range map[string]bool{"192.0.2.1": true, "::ffff:192.0.2.1": true, "198.51.100.1": false, "198.51.100.2": false, "2001:db8::1": false} {
		if s.Allows(netip.MustParseAddr(addr)) != want {
			t.Errorf("%s: allowed %v", addr, !want)
		}
	}
	if none := stage(t); none.Allows(netip.MustParseAddr("192.0.2.1")) || none.Allows(netip.Addr{}) {
		t.Error("no list allows somebody")
	}
}

func TestNobodyKnown(t *testing.T) {
	s := stage(t, list("r", policy.ListRefuses, "0.0.0.0/0"), policy.List{Name: "n", Action: policy.ListRefuses, Networks: []uint32{1}, Countries: []string{"NL"}})
	if v := decide(t, s, flow.Facts{}); v != (flow.Verdict{}) {
		t.Errorf("a client without an address is named: %+v", v)
	}
}

// TestAllowWinsInAllOrders is number 19 of the museum: a ban was checked before the allow list.
func TestAllowWinsInAllOrders(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var ls []policy.List
		for i := range rapid.IntRange(1, 8).Draw(t, "lists") {
			l := policy.List{Name: fmt.Sprint(i), Action: policy.ListRefuses}
			if rapid.Bool().Draw(t, "allow") {
				l.Action = policy.ListAllows
			}
			l.DryRun = rapid.IntRange(0, 3).Draw(t, "dry") == 0
			for range rapid.IntRange(1, 3).Draw(t, "addresses") {
				a := netip.AddrFrom4([4]byte{192, 0, byte(rapid.IntRange(0, 3).Draw(t, "c")), byte(rapid.IntRange(0, 7).Draw(t, "d"))})
				l.Addresses = append(l.Addresses, policy.Prefix{Prefix: netip.PrefixFrom(a, rapid.IntRange(8, 32).Draw(t, "bits"))})
			}
			if rapid.Bool().Draw(t, "by country") {
				l.Countries = []string{rapid.SampledFrom([]string{"NL", "DE"}).Draw(t, "country")}
			}
			if rapid.Bool().Draw(t, "by network") {
				l.Networks = []uint32{uint32(rapid.IntRange(1, 2).Draw(t, "network"))}
			}
			ls = append(ls, l)
		}
		ls = rapid.Permutation(ls).Draw(t, "order")
		s, err := New(ls, Options{})
		if err != nil {
			t.Fatal(err)
		}
		f := flow.Facts{
			Client:  netip.AddrFrom4([4]byte{192, 0, byte(rapid.IntRange(0, 3).Draw(t, "client c")), byte(rapid.IntRange(0, 7).Draw(t, "client d"))}),
			Country: rapid.SampledFrom([]string{"", "NL", "DE"}).Draw(t, "its country"), Network: uint32(rapid.IntRange(0, 2).Draw(t, "its network")),
		}
		var want flow.Verdict
		for _, k := range []struct {
			action policy.ListAction
			dry    bool
			then   flow.Action
		}{{policy.ListAllows, false, flow.Admit}, {policy.ListRefuses, false, flow.Refuse}, {policy.ListAllows, true, flow.Admit}, {policy.ListRefuses, true, flow.Refuse}} {
			if want.Action == flow.Continue && slices.ContainsFunc(ls, func(l policy.List) bool { return l.Action == k.action && l.DryRun == k.dry && names(l, f) }) {
				want = flow.Verdict{Action: k.then, Dry: k.dry}
			}
		}
		got, _ := s.Decide(context.Background(), &f)
		if got.Action != want.Action || got.Dry != want.Dry {
			t.Fatalf("%+v, want %v (dry %v)", got, want.Action, want.Dry)
		}
		if got.Action != flow.Continue {
			if i := slices.IndexFunc(ls, func(l policy.List) bool { return l.Name == got.Rule }); !names(ls[i], f) {
				t.Fatalf("list %s does not name %v", got.Rule, f.Client)
			}
		}
	})
}

// names is the slow, obvious twin of a look-up.
func names(l policy.List, f flow.Facts) bool {
	return slices.ContainsFunc(l.Addresses, func(p policy.Prefix) bool { return p.Contains(f.Client) }) ||
		slices.Contains(l.Countries, f.Country) || slices.Contains(l.Networks, f.Network)
}

func TestErrorsAllAtOnce(t *testing.T) {
	_, err := New([]policy.List{
		{Action: policy.ListAllows, Countries: []string{"NL"}},
		{Name: "a", Action: "ban", Addresses: prefixes("192.0.2.1")},
		{Name: "b", Action: policy.ListRefuses},
		{Name: "c", Action: policy.ListRefuses, Countries: []string{"N1", "NLD"}, Networks: []uint32{0}, Addresses: []policy.Prefix{{}}},
		{Name: "d", Action: policy.ListRefuses, Addresses: prefixes("128.0.0.0/1", "2000::/3", "203.0.113.0/24", "198.51.100.9", "10.0.0.0/8")},
		{Name: "e", Action: policy.ListRefuses, Addresses: prefixes("::ffff:0.0.0.0/64")},
		{Name: "f", Action: policy.ListRefuses, File: "/nonexistent/list"},
	}, Options{Trusted: prefixes("203.0.113.8"), Own: prefixes("198.51.100.0/24")})
	for _, want := range []string{
		"list number 1 has no name", `list "a": its action is "ban": write allow or refuse`, `list "b": it names nobody`,
		`"N1" is no code`, `"NLD" is no code`, "0 is no autonomous system", `list "c": addresses: invalid Prefix: this is no address`,
		`list "d": addresses: 128.0.0.0/1: it is wider than an IPv4 /8`, "2000::/3: it is wider than an IPv6 /19",
		"203.0.113.0/24: it touches 203.0.113.8/32, a declared proxy", "198.51.100.9/32: it touches 198.51.100.0/24, an own address",
		"it mixes IPv4 and IPv6", `list "f": its file cannot be read: open /nonexistent/list`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "10.0.0.0/8") {
		t.Error("a private range in the policy itself must be taken")
	}
}

// TestNobodyButTheAllowed: /0 in the policy itself is the operator's word, also behind a proxy.
func TestNobodyButTheAllowed(t *testing.T) {
	s, err := New([]policy.List{list("all", policy.ListRefuses, "0.0.0.0/0", "::/0"), list("us", policy.ListAllows, "192.0.2.0/24")}, Options{Trusted: prefixes("10.0.0.1")})
	if err != nil {
		t.Fatal(err)
	}
	if decide(t, s, from("192.0.2.9")).Action != flow.Admit || decide(t, s, from("2001:db8::1")).Action != flow.Refuse {
		t.Error("all but the allow list should be refused")
	}
}

func TestDecideAllocatesNothing(t *testing.T) {
	var st flow.Stage = stage(t, list("r", policy.ListRefuses, "192.0.2.0/24"), policy.List{Name: "n", Action: policy.ListAllows, Countries: []string{"NL"}, Networks: []uint32{7}})
	f := from("192.0.2.1")
	f.Country, f.Network = "DE", 8
	if n := testing.AllocsPerRun(500, func() { _, _ = st.Decide(context.Background(), &f) }); n != 0 {
		t.Errorf("%v allocations a decision", n)
	}
}
