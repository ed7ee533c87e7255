package client

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"stormdoor/flow"
	"stormdoor/policy"
)

// trusting returns what a policy says that trusts a header of some proxies.
func trusting(header string, proxies ...string) policy.Trust {
	t := policy.Trust{Header: header}
	for _, p := range proxies {
		q, err := netip.ParsePrefix(p)
		if err != nil {
			a := netip.MustParseAddr(p)
			q = netip.PrefixFrom(a, a.BitLen())
		}
		t.Proxies = append(t.Proxies, policy.Prefix{Prefix: q})
	}
	return t
}

func header(fields ...string) (h flow.Header) {
	for i := 0; i < len(fields); i += 2 {
		h.Add(fields[i], fields[i+1])
	}
	return h
}

func TestClientBehindDeclaredProxies(t *testing.T) {
	xff := trusting("", "10.0.0.0/8", "2001:db8:1::/48")
	fwd := trusting("Forwarded", "10.0.0.0/8", "2001:db8:1::/48")
	one := trusting("CF-Connecting-IP", "10.0.0.0/8")
	for _, c := range []struct {
		name   string
		trust  policy.Trust
		peer   string
		header flow.Header
		want   string
	}{
		{"no header", xff, "10.0.0.1", header(), "10.0.0.1"},
		{"undeclared peer", xff, "192.0.2.1", header("X-Forwarded-For", "198.51.100.1"), "192.0.2.1"},
		{"one entry", xff, "10.0.0.1", header("X-Forwarded-For", "198.51.100.1"), "198.51.100.1"},
		{"any case", xff, "10.0.0.1", header("x-forwarded-FOR", "198.51.100.1"), "198.51.100.1"},
		{"forged first", xff, "10.0.0.1", header("X-Forwarded-For", "1.1.1.1, 198.51.100.1"), "198.51.100.1"},
		{"chain of proxies", xff, "10.0.0.1", header("X-Forwarded-For", "1.1.1.1, 198.51.100.1, 10.0.0.3 ,10.0.0.2"), "198.51.100.1"},
		{"two fields", xff, "10.0.0.1", header("X-Forwarded-For", "1.1.1.1,198.51.100.1", "A", "b", "X-Forwarded-For", "10.0.0.3"), "198.51.100.1"},
		{"a proxy's own", xff, "10.0.0.1", header("X-Forwarded-For", "10.0.0.3, 10.0.0.2"), "10.0.0.3"},
		{"malformed stops", xff, "10.0.0.1", header("X-Forwarded-For", "198.51.100.1, unknown, 10.0.0.2"), "10.0.0.2"},
		{"malformed nearest", xff, "10.0.0.1", header("X-Forwarded-For", "198.51.100.1, nonsense"), "10.0.0.1"},
		{"empty entry stops", xff, "10.0.0.1", header("X-Forwarded-For", "198.51.100.1, , 10.0.0.2"), "10.0.0.2"},
		{"empty field stops", xff, "10.0.0.1", header("X-Forwarded-For", "198.51.100.1", "X-Forwarded-For", ""), "10.0.0.1"},
		{"port", xff, "10.0.0.1", header("X-Forwarded-For", "198.51.100.1:4711"), "198.51.100.1"},
		{"IPv6", xff, "10.0.0.1", header("X-Forwarded-For", "2001:db8::7"), "2001:db8::7"},
		{"IPv6 in brackets", xff, "10.0.0.1", header("X-Forwarded-For", "[2001:db8::7]"), "2001:db8::7"},
		{"IPv6 with port", xff, "10.0.0.1", header("X-Forwarded-For", "[2001:db8::7]:443"), "2001:db8::7"},
		{"IPv6 with zone", xff, "10.0.0.1", header("X-Forwarded-For", "fe80::1%eth0"), "fe80::1"},
		{"IPv6 peer", xff, "2001:db8:1::1", header("X-Forwarded-For", "2001:db8::7, 2001:db8:1::2"), "2001:db8::7"},
		{"mapped", xff, "::ffff:10.0.0.1", header("X-Forwarded-For", "::ffff:198.51.100.1, ::ffff:10.0.0.2"), "198.51.100.1"},
		{"unspecified", xff, "10.0.0.1", header("X-Forwarded-For", "0.0.0.0"), "10.0.0.1"},
		{"leading zero", xff, "10.0.0.1", header("X-Forwarded-For", "198.051.100.1"), "10.0.0.1"},
		{"bad port", xff, "10.0.0.1", header("X-Forwarded-For", "198.51.100.1:99999"), "10.0.0.1"},
		{"other headers", xff, "10.0.0.1", header("Forwarded", "for=198.51.100.1", "CF-Connecting-IP", "198.51.100.1"), "10.0.0.1"},
		{"32 hops and no more", xff, "10.0.0.1", header("X-Forwarded-For", "198.51.100.1"+strings.Repeat(",10.0.0.9", 32)), "10.0.0.9"},
		{"31 hops", xff, "10.0.0.1", header("X-Forwarded-For", "198.51.100.1"+strings.Repeat(",10.0.0.9", 31)), "198.51.100.1"},

		{"Forwarded", fwd, "10.0.0.1", header("Forwarded", "for=1.1.1.1, for=198.51.100.1;proto=https;by=10.0.0.2"), "198.51.100.1"},
		{"Forwarded, any case and order", fwd, "10.0.0.1", header("forwarded", "proto=https; FOR=198.51.100.1"), "198.51.100.1"},
		{"Forwarded, quoted", fwd, "10.0.0.1", header("Forwarded", `For="[2001:db8:cafe::17]:4711"`), "2001:db8:cafe::17"},
		{"Forwarded, quoted comma", fwd, "10.0.0.1", header("Forwarded", `for=198.51.100.1;host="a,for=1.1.1.1;\",b", for=10.0.0.2`), "198.51.100.1"},
		{"Forwarded, open quote before", fwd, "10.0.0.1", header("Forwarded", `for=", for=198.51.100.1`), "198.51.100.1"},
		{"Forwarded, open quote before a quoted one", fwd, "10.0.0.1", header("Forwarded", `for="1.1.1.1, for="198.51.100.1:80"`), "198.51.100.1"},
		{"Forwarded, obfuscated stops", fwd, "10.0.0.1", header("Forwarded", "for=1.1.1.1, for=_hidden, for=10.0.0.2"), "10.0.0.2"},
		{"Forwarded, unknown stops", fwd, "10.0.0.1", header("Forwarded", "for=1.1.1.1, for=unknown"), "10.0.0.1"},
		{"Forwarded, no for", fwd, "10.0.0.1", header("Forwarded", "for=1.1.1.1, by=10.0.0.2"), "10.0.0.1"},
		{"Forwarded, for twice", fwd, "10.0.0.1", header("Forwarded", "for=1.1.1.1;for=198.51.100.1"), "10.0.0.1"},
		{"Forwarded, two fields", fwd, "10.0.0.1", header("Forwarded", `for="`, "Forwarded", "for=198.51.100.1"), "198.51.100.1"},
		{"Forwarded, garbage", fwd, "10.0.0.1", header("Forwarded", `for="198.51.100.1"x`), "10.0.0.1"},
		{"Forwarded, open quote", fwd, "10.0.0.1", header("Forwarded", `for="198.51.100.1`), "10.0.0.1"},

		{"single", one, "10.0.0.1", header("cf-connecting-ip", "198.51.100.1", "X-Forwarded-For", "1.1.1.1"), "198.51.100.1"},
		{"single, declared itself", one, "10.0.0.1", header("CF-Connecting-IP", "10.0.0.9", "CF-Connecting-IP", "10.0.0.7"), "10.0.0.7"},
		{"single, a list", one, "10.0.0.1", header("CF-Connecting-IP", "1.1.1.1, 198.51.100.1"), "10.0.0.1"},
		{"single, undeclared peer", one, "192.0.2.1", header("CF-Connecting-IP", "1.1.1.1"), "192.0.2.1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := fill(t, reader(t, c.trust, Options{}), c.peer, c.header)
			want, peer := netip.MustParseAddr(c.want), netip.MustParseAddr(c.peer).Unmap()
			if f.Client != want || f.Proxied != (want != peer) || f.Peer != peer {
				t.Errorf("Client %s, Peer %s, Proxied %v; want client %s", f.Client, f.Peer, f.Proxied, want)
			}
		})
	}
}

// The slow twin: every entry of every field in a list, then the rule by the letter.
func slowClient(trust policy.Trust, peer netip.Addr, values []string) netip.Addr {
	trusted := func(a netip.Addr) bool {
		for _, p := range trust.Proxies {
			if p.Contains(a) {
				return true
			}
		}
		return false
	}
	at := peer
	entries := strings.Split(strings.Join(values, ","), ",")
	for hops := 0; hops < maxHops && len(values) > 0 && len(entries) > 0 && trusted(at); hops++ {
		e := strings.TrimSpace(entries[len(entries)-1])
		entries = entries[:len(entries)-1]
		a, err := netip.ParseAddr(e)
		if err != nil {
			ap, err := netip.ParseAddrPort(e)
			if err != nil {
				return at
			}
			a = ap.Addr()
		}
		at = a.Unmap()
	}
	return at
}

func TestClientAgainstSlowTwin(t *testing.T) {
	trust := trusting("", "10.0.0.0/8", "2001:db8:1::/48")
	r := reader(t, trust, Options{})
	words := []string{"10.0.0.1", "10.9.9.9", "10.0.0.3:80", "2001:db8:1::5", "[2001:db8:1::5]:9", "198.51.100.7", "203.0.113.9:443",
		"2001:db8:2::9", "[2001:db8:2::9]:1", "::ffff:10.0.0.8", "::ffff:192.0.2.9", "unknown", "", "_x", "10.0.0.256", "junk:80"}
	peers := []string{"10.0.0.1", "2001:db8:1::1", "192.0.2.1", "2001:db8:2::1"}
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 20_000 {
		var values []string
		for range rnd.IntN(4) {
			var entries []string
			for range 1 + rnd.IntN(6) {
				n := len(words)
				if rnd.IntN(3) > 0 {
					n = 5 // mostly declared ones, for long walks
				}
				entries = append(entries, words[rnd.IntN(n)])
			}
			values = append(values, strings.Join(entries, []string{",", ", ", " ,\t"}[rnd.IntN(3)]))
		}
		var h flow.Header
		for _, v := range values {
			h.Add("X-Forwarded-For", v)
			h.Add("Accept", "*/*")
		}
		peer := peers[rnd.IntN(len(peers))]
		f := fill(t, r, peer, h)
		if want := slowClient(trust, netip.MustParseAddr(peer), values); f.Client != want {
			t.Fatalf("peer %s, %q: Client %s, want %s", peer, values, f.Client, want)
		}
	}
}

// What a client sends must not move what the door takes for the client, whatever it is: neither on a connection of its
// own, nor in front of what honest proxies append.
func checkSpoof(t *testing.T, name, forged string) {
	t.Helper()
	visitor := netip.MustParseAddr("198.51.100.7")
	for _, c := range []struct{ trust, appended string }{
		{"X-Forwarded-For", "198.51.100.7"},
		{"X-Forwarded-For", "198.51.100.7, 10.0.0.2"},
		{"Forwarded", "for=198.51.100.7"},
		{"Forwarded", `for="198.51.100.7:99";host="a\"b,c", for=10.0.0.2;by=_x`},
	} {
		r := reader(t, trusting(c.trust, "10.0.0.0/8"), Options{})
		if f := fill(t, r, "198.51.100.7", header(name, forged, c.trust, forged)); f.Client != visitor || f.Proxied {
			t.Fatalf("%s: %q made the client %s", name, forged, f.Client)
		}
		for _, h := range []flow.Header{
			header(name, forged, c.trust, forged+", "+c.appended),
			header(c.trust, forged, name, forged, c.trust, c.appended),
		} {
			if flow.EqualFold(name, c.trust) && h.Len() == 3 { // the proxy appends behind the client's own fields
				h = header(name, forged, c.trust, c.appended)
			}
			if f := fill(t, r, "10.0.0.1", h); f.Client != visitor || !f.Proxied {
				t.Fatalf("%s: %q before %q made the client %s", name, forged, c.appended, f.Client)
			}
		}
	}
}

func TestSpoof(t *testing.T) {
	parts := []string{"10.0.0.1", "127.0.0.1", "for=", "for=10.0.0.1", `"`, `\`, `\"`, ",", ";", " ", "[", "]", "::1", "unknown", "=", "host=\"", "\t", "by=x"}
	names := []string{"X-Forwarded-For", "Forwarded", "CF-Connecting-IP", "Via", "X-Real-IP", "PROXY", "x-forwarded-for"}
	rnd := rand.New(rand.NewPCG(5, 6))
	for range 3000 {
		var b strings.Builder
		for range rnd.IntN(10) {
			b.WriteString(parts[rnd.IntN(len(parts))])
		}
		checkSpoof(t, names[rnd.IntN(len(names))], b.String())
	}
}

func FuzzSpoof(f *testing.F) {
	f.Add("X-Forwarded-For", "10.0.0.1, 127.0.0.1")
	f.Add("Forwarded", `for="10.0.0.1`)
	f.Add("Forwarded", `for=10.0.0.1;host="\`)
	f.Fuzz(checkSpoof)
}

func FuzzParseAddr(f *testing.F) {
	for _, s := range []string{"1.2.3.4:80", "[::1]:80", "fe80::1%eth0", "[fe80::1%x]:1", "::ffff:1.2.3.4", "unknown", "[1.2.3.4]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, ok := parseAddr(s)
		if ok != a.IsValid() && a.IsValid() && !a.IsUnspecified() {
			t.Fatalf("parseAddr(%q) = %s, %v", s, a, ok)
		}
		if !ok {
			return
		}
		if a.Is4In6() || a.Zone() != "" || a.IsUnspecified() {
			t.Fatalf("parseAddr(%q) = %s", s, a)
		}
		if b, ok := parseAddr(fmt.Sprint(a)); !ok || b != a {
			t.Fatalf("parseAddr(%q) = %s, and of that %s", s, a, b)
		}
	})
}

// A walk along declared proxies is bounded, however long the header is.
func TestWalkIsBounded(t *testing.T) {
	r := reader(t, trusting("", "10.0.0.0/8"), Options{})
	h := header("X-Forwarded-For", strings.Repeat("10.0.0.9,", 5000)+"10.0.0.2")
	c := chain{header: &h, name: r.header, form: r.form, field: h.Len()}
	r.client(&c, netip.MustParseAddr("10.0.0.1"))
	if left := strings.Count(c.rest, ","); left != 5000-maxHops {
		t.Errorf("%d entries are left unread, want %d", left, 5000-maxHops)
	}
}
