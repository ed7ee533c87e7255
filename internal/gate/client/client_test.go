package client

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"stormdoor/flow"
	"stormdoor/internal/wire"
	"stormdoor/policy"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func reader(t testing.TB, trust policy.Trust, o Options) *Reader {
	t.Helper()
	r, err := New(trust, policy.Geo{}, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func conn(peer string) *wire.Conn {
	return &wire.Conn{Peer: netip.AddrPortFrom(netip.MustParseAddr(peer), 4711), TLS: true, JA4: "t13d1516h2_8daaf6152771_02713d6af862"}
}

func fill(t testing.TB, r *Reader, peer string, h flow.Header) flow.Facts {
	t.Helper()
	f := flow.Facts{Arrived: noon}
	r.Fill(&f, conn(peer), &wire.Request{Proto: flow.HTTP2, Method: "GET", Target: "/", Authority: "shop.example", Header: h})
	return f
}

func TestFill(t *testing.T) {
	r := reader(t, policy.Trust{}, Options{})
	h := header("Host", "Shop.Example:443", "Accept", "*/*")
	f := flow.Facts{Arrived: noon, Site: "kept", Query: "stale", Country: "XX", Network: 1, Proxied: true}
	r.Fill(&f, conn("::ffff:192.0.2.1"), &wire.Request{
		Proto: flow.HTTP11, Method: "POST", Target: "/a//b?x=1?y", Authority: "Shop.Example:443", Header: h, Length: 7,
	})
	peer := netip.MustParseAddr("192.0.2.1")
	if f.Proto != flow.HTTP11 || !f.TLS || f.Method != "POST" || f.Host != "shop.example" || f.Query != "x=1?y" || f.Length != 7 ||
		f.Path.Raw != "/a//b" || f.Path.Clean != "/a/b" || f.Header.Len() != 2 || f.Site != "kept" || f.Arrived != noon {
		t.Errorf("the request: %+v", f)
	}
	if f.Peer != peer || f.Client != peer || f.Key != netip.MustParsePrefix("192.0.2.1/32") || f.Proxied || f.JA4 == "" ||
		f.Country != "" || f.Network != 0 || f.Credential != 0 || f.Bucket == 0 || f.Bucket != uint32(f.KeyHash>>32) {
		t.Errorf("the client: %+v", f)
	}
}

func TestFillOfOddConnections(t *testing.T) {
	trust := trusting("", "127.0.0.1", "10.0.0.0/8")
	via := netip.MustParseAddrPort("10.0.0.5:1")
	xff := header("X-Forwarded-For", "198.51.100.1")
	for _, c := range []struct {
		name    string
		conn    wire.Conn
		header  flow.Header
		client  string
		key     string
		proxied bool
		ja4     string
	}{
		{"unix socket", wire.Conn{}, flow.Header{}, "127.0.0.1", "127.0.0.1/32", false, ""},
		{"declared unix socket", wire.Conn{}, xff, "198.51.100.1", "198.51.100.1/32", true, ""},
		{"zone", wire.Conn{Peer: netip.MustParseAddrPort("[fe80::1:2:3:4%eth0]:1")}, xff, "fe80::1:2:3:4", "fe80::/64", false, ""},
		{"PROXY header", wire.Conn{Peer: netip.MustParseAddrPort("192.0.2.7:1"), Via: via, JA4: "j"}, xff, "192.0.2.7", "192.0.2.7/32", true, "j"},
		{"PROXY header of a declared proxy", wire.Conn{Peer: netip.MustParseAddrPort("10.0.0.7:1"), Via: via, JA4: "j"}, xff, "198.51.100.1", "198.51.100.1/32", true, ""},
		{"declared proxy's own", wire.Conn{Peer: netip.MustParseAddrPort("10.0.0.7:1"), JA4: "j"}, flow.Header{}, "10.0.0.7", "10.0.0.7/32", false, ""},
		{"IPv6", wire.Conn{Peer: netip.MustParseAddrPort("[2001:db8:1:2:3:4:5:6]:1")}, flow.Header{}, "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64", false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := flow.Facts{Arrived: noon}
			reader(t, trust, Options{}).Fill(&f, &c.conn, &wire.Request{Target: "*", Header: c.header})
			if f.Client != netip.MustParseAddr(c.client) || f.Key != netip.MustParsePrefix(c.key) || f.Proxied != c.proxied || f.JA4 != c.ja4 {
				t.Errorf("Client %s, Key %s, Proxied %v, JA4 %q", f.Client, f.Key, f.Proxied, f.JA4)
			}
		})
	}
}

func TestBucket(t *testing.T) {
	a, b := reader(t, policy.Trust{}, Options{Secret: [32]byte{1}}), reader(t, policy.Trust{}, Options{Secret: [32]byte{2}})
	one := fill(t, a, "2001:db8::1", flow.Header{}).Bucket
	if again := fill(t, reader(t, policy.Trust{}, Options{Secret: [32]byte{1}}), "2001:db8::ffff", flow.Header{}).Bucket; again != one {
		t.Error("one secret and one /64 give two buckets")
	}
	if fill(t, b, "2001:db8::1", flow.Header{}).Bucket == one || fill(t, a, "2001:db8:0:1::1", flow.Header{}).Bucket == one {
		t.Error("another secret or another /64 gives the same bucket")
	}
	// Evenly spread: 4096 neighbours into 16 parts, 256 each.
	var parts [16]int
	for i := range 4096 {
		addr := netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)})
		parts[fill(t, a, addr.String(), flow.Header{}).Bucket>>28]++
	}
	for i, n := range parts {
		if n < 180 || n > 340 {
			t.Errorf("part %d of 16 has %d of 4096 clients", i, n)
		}
	}
}

func TestCredential(t *testing.T) {
	r := reader(t, policy.Trust{}, Options{Secret: [32]byte{9}})
	of := func(fields ...string) uint64 { return fill(t, r, "192.0.2.1", header(fields...)).Credential }
	auth, key, cookie := of("Authorization", "Bearer a"), of("X-API-KEY", "Bearer a"), of("Cookie", "PHPSESSID=Bearer a")
	if auth == 0 || key == 0 || cookie == 0 || auth == key || key == cookie || auth == cookie {
		t.Errorf("kinds are not told apart: %x %x %x", auth, key, cookie)
	}
	for _, c := range []struct {
		name   string
		fields []string
		want   uint64
	}{
		{"none", []string{"Accept", "*/*"}, 0},
		{"empty", []string{"Authorization", "", "X-Api-Key", "", "Cookie", "PHPSESSID="}, 0},
		{"authorization first", []string{"Cookie", "PHPSESSID=Bearer a", "x-api-key", "Bearer a", "authorization", "Bearer a"}, auth},
		{"then the key", []string{"Cookie", "PHPSESSID=Bearer a", "X-Api-Key", "Bearer a"}, key},
		{"among cookies", []string{"Cookie", "_ga=1; theme=dark;  PHPSESSID=Bearer a; sid=2"}, cookie},
		{"in the second field", []string{"Cookie", "_ga=1", "Cookie", "PHPSESSID=Bearer a"}, cookie},
		{"a prefix", []string{"Cookie", "wordpress_logged_in_5a=Bearer a"}, cookie},
		{"other cookies", []string{"Cookie", "_ga=1; PHPSESSIDX=2; phpsessid=3; PHPSESSID"}, 0},
	} {
		if got := of(c.fields...); got != c.want {
			t.Errorf("%s: %x, want %x", c.name, got, c.want)
		}
	}
	own := reader(t, policy.Trust{}, Options{Secret: [32]byte{9}, SessionCookies: []string{"mine", "my_*"}})
	for field, want := range map[string]bool{"mine=1": true, "my_x=1": true, "PHPSESSID=1": false, "min=1": false} {
		if got := fill(t, own, "192.0.2.1", header("Cookie", field)).Credential != 0; got != want {
			t.Errorf("with own names, %s is a credential: %v", field, got)
		}
	}
	none := reader(t, policy.Trust{}, Options{SessionCookies: []string{}})
	if fill(t, none, "192.0.2.1", header("Cookie", "PHPSESSID=1")).Credential != 0 {
		t.Error("an empty list of names still finds a credential")
	}
}

func TestNewRefuses(t *testing.T) {
	for want, try := range map[string]func() (*Reader, error){
		`trust.header: "x forwarded" is no name of a header field: give x-forwarded-for, forwarded, or the name of a header that holds one address`: func() (*Reader, error) {
			return New(policy.Trust{Header: "x forwarded"}, policy.Geo{}, Options{})
		},
		"trust.proxies: entry 1 is no address or prefix: write it like 192.0.2.1 or 2001:db8::/32": func() (*Reader, error) {
			return New(policy.Trust{Proxies: make([]policy.Prefix, 1)}, policy.Geo{}, Options{})
		},
		"trust.proxies: ::ffff:0.0.0.0/90 holds more than the mapped IPv4 addresses: write IPv4 as 192.0.2.0/24": func() (*Reader, error) {
			return New(trusting("", "::ffff:0.0.0.0/90"), policy.Geo{}, Options{})
		},
		`session cookie "a=b" is no name of a cookie: give the name alone, or its beginning with "*" at the end`: func() (*Reader, error) {
			return New(policy.Trust{}, policy.Geo{}, Options{SessionCookies: []string{"a=b"}})
		},
	} {
		if _, err := try(); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

// browser is what a browser sends.
func browser(more ...string) flow.Header {
	return header(append([]string{
		"Host", "shop.example", "User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/126.0.0.0 Safari/537.36",
		"Accept", "text/html,application/xhtml+xml", "Accept-Language", "en-GB,en;q=0.9", "Accept-Encoding", "gzip, deflate, br",
		"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Upgrade-Insecure-Requests", "1",
		"Cookie", "_ga=GA1.2.1234567.1700000000; theme=dark; PHPSESSID=r2t5uvjq435r4q7ib3vtdjq120", "Connection", "keep-alive",
	}, more...)...)
}

func fillers(t testing.TB) map[string]func() {
	ordinary := reader(t, policy.Trust{}, Options{})
	proxied := reader(t, trusting("", "10.0.0.0/8", "192.0.2.0/24"), Options{})
	forwarded := reader(t, trusting("forwarded", "10.0.0.0/8"), Options{})
	watching := reader(t, policy.Trust{}, Options{Notice: func(Undeclared) {}})
	make := func(r *Reader, peer string, h flow.Header) func() {
		c, req := conn(peer), &wire.Request{Proto: flow.HTTP11, Method: "GET", Target: "/products/shoes/blue-runner?size=42", Authority: "shop.example", Header: h}
		f := &flow.Facts{Arrived: noon}
		return func() { r.Fill(f, c, req) }
	}
	return map[string]func(){
		"ordinary":         make(ordinary, "198.51.100.1", browser()),
		"ipv6":             make(ordinary, "2001:db8::1", browser()),
		"forwarded-for-3":  make(proxied, "10.0.0.1", browser("X-Forwarded-For", "198.51.100.1, 192.0.2.7, 10.0.0.2")),
		"forwarded":        make(forwarded, "10.0.0.1", browser("Forwarded", `for="[2001:db8::7]:4711";proto=https, for=10.0.0.2`)),
		"undeclared-proxy": make(watching, "203.0.113.1", browser("X-Forwarded-For", "198.51.100.1")),
		"bearer-1k":        make(ordinary, "198.51.100.1", browser("Authorization", "Bearer "+strings.Repeat("x", 1024))),
	}
}

func TestFillAllocatesNothing(t *testing.T) {
	for name, fill := range fillers(t) {
		if n := testing.AllocsPerRun(100, fill); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkFill(b *testing.B) {
	for name, fill := range fillers(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				fill()
			}
		})
	}
}
