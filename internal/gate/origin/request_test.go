package origin

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"stormdoor/flow"
	"stormdoor/internal/wire"
)

// composed returns what an origin would be sent.
func composed(t testing.TB, r wire.Request, f flow.Facts) wire.Request {
	p := script(t, nil, plays(answers(200, "")))
	c := newCall(p)
	c.compose(&r, &f)
	return c.out
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func TestFieldsFromAVisitor(t *testing.T) {
	r := visitor("GET", "/", "Host: shop.example", "User-Agent: curl", "X-Forwarded-For: 1.1.1.1", "Accept: */*", "x-real-ip: 1.1.1.1", "Cookie: a=1",
		"Via: 1.1 proxy", "X-Request-ID: mine", "Forwarded: for=1.1.1.1", "X-A: 1", "X-A: 2", "Content-Length: 0", "Expect: 100-continue").req
	got := lines(composed(t, r, flow.Facts{Client: addr("192.0.2.7"), Peer: addr("192.0.2.7"), ID: flow.RequestID{1, 2, 3}}).Header)
	want := []string{"User-Agent: curl", "Accept: */*", "Cookie: a=1", "Via: 1.1 proxy", "X-A: 1", "X-A: 2",
		"X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: https", "X-Forwarded-Host: shop.example", "X-Real-IP: 192.0.2.7",
		"Forwarded: for=192.0.2.7;host=shop.example;proto=https", "CDN-Loop: stormdoor-" + testToken, "X-Request-ID: " + flow.RequestID{1, 2, 3}.String()}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestFieldsFromADeclaredProxy(t *testing.T) {
	r := visitor("GET", "/", "X-Forwarded-For: 6.6.6.6, 2001:db8::7", "X-Forwarded-For: 198.51.100.9", "X-Forwarded-Proto: http", "X-Forwarded-Port: 80",
		"CF-Connecting-IP: 2001:db8::7", "CF_Connecting_IP: 6.6.6.6", "X-Request-ID: theirs", "Forwarded: for=6.6.6.6").req
	r.Authority = "shop.example:8443"
	got := lines(composed(t, r, flow.Facts{Client: addr("2001:db8::7"), Peer: addr("198.51.100.1"), Proxied: true, ID: flow.RequestID{1}}).Header)
	want := []string{"X-Forwarded-Proto: http", "X-Forwarded-Port: 80", "CF-Connecting-IP: 2001:db8::7", "X-Request-ID: theirs",
		"X-Forwarded-For: 2001:db8::7, 198.51.100.9, 198.51.100.1", "X-Forwarded-Host: shop.example:8443", "X-Real-IP: 2001:db8::7",
		`Forwarded: for="[2001:db8::7]";host="shop.example:8443";proto=http, for=198.51.100.1`, "CDN-Loop: stormdoor-" + testToken}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestSpoofMatrix sends every field that says who a visitor is, in several spellings, from everybody.
func TestSpoofMatrix(t *testing.T) {
	names := []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Server", "Forwarded", "X-Real-IP",
		"True-Client-IP", "CF-Connecting-IP", "X-Client-IP", "X-Cluster-Client-IP", "Fastly-Client-IP", "X-Original-URL", "X-Rewrite-URL", "Proxy",
		"X-Forwarded-Client-Cert", "X-Original-Forwarded-For"}
	spellings := []func(string) string{
		func(s string) string { return s }, strings.ToLower, strings.ToUpper,
		func(s string) string { return strings.ReplaceAll(s, "-", "_") },
		func(s string) string { return strings.Replace(strings.ToLower(s), "-", "_", 1) },
	}
	peers := map[string]flow.Facts{
		"visitor":                      {Client: addr("192.0.2.7"), Peer: addr("192.0.2.7")},
		"visitor behind PROXY headers": {Client: addr("192.0.2.7"), Peer: addr("192.0.2.7"), Proxied: true},
	}
	for who, f := range peers {
		for _, name := range names {
			for _, spell := range spellings {
				for _, prefix := range []string{"", "Connection: " + name} {
					fields := []string{spell(name) + ": spoofed"}
					if prefix != "" {
						fields = append(fields, prefix)
					}
					out := composed(t, visitor("GET", "/", fields...).req, f)
					for field := range out.Header.All() {
						if strings.Contains(field.Value, "spoofed") {
							t.Errorf("%s: %s came through as %s: %s", who, spell(name), field.Name, field.Value)
						}
					}
					for _, set := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-IP", "Forwarded", loopField} {
						if !out.Header.Has(set) {
							t.Errorf("%s: %s is missing beside %q", who, set, fields)
						}
					}
				}
			}
		}
	}
	for _, alias := range []string{"Content_Length", "TRANSFER_ENCODING", "transfer_encoding"} {
		if out := composed(t, visitor("GET", "/", alias+": 9").req, peers["visitor"]); out.Header.Has(alias) {
			t.Errorf("%s came through: origins that map fields to variables take it for the real one", alias)
		}
	}
}

func TestHopByHop(t *testing.T) {
	for _, tt := range []struct {
		name   string
		fields []string
		want   []string // what is left of the visitor's fields
	}{
		{"named and known", []string{"Connection: keep-alive, X-Hop", "X-Hop: 1", "Keep-Alive: 5", "Proxy-Connection: x", "Proxy-Authorization: y", "HTTP2-Settings: z", "Upgrade: h2c", "X: 1"}, []string{"X: 1"}},
		{"names are not case-sensitive", []string{"connection: x-hop", "X-HOP: 1"}, nil},
		{"two Connection fields", []string{"Connection: X-One", "Connection: close ,\tX-Two", "X-One: 1", "X-Two: 2", "X-Three: 3"}, []string{"X-Three: 3"}},
		{"must not strip what others rely on", []string{"Connection: close, Host, Cookie, Authorization, Content-Type, Cache-Control, Content-Length", "Cookie: c", "Authorization: a", "Content-Type: t", "Cache-Control: no-cache"},
			[]string{"Cookie: c", "Authorization: a", "Content-Type: t", "Cache-Control: no-cache"}},
		{"TE but trailers", []string{"TE: gzip", "Connection: TE"}, nil},
		{"Trailer without chunked", []string{"Trailer: X"}, nil},
		{"empty elements", []string{"Connection: ,, ,", "X: 1"}, []string{"X: 1"}},
	} {
		got := lines(composed(t, visitor("GET", "/", tt.fields...).req, facts().Facts).Header)
		got = got[:slices.Index(got, "X-Forwarded-For: 192.0.2.7")]
		if !slices.Equal(got, tt.want) && len(got)+len(tt.want) > 0 {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	r := visitor("POST", "/", "TE: trailers, gzip", "Trailer: X-Sum").req
	r.Trailers, r.Length = true, -1
	out := composed(t, r, facts().Facts)
	if out.Header.Get("TE") != "trailers" || out.Header.Get("Trailer") != "X-Sum" || !out.Trailers {
		t.Errorf("trailers: %q", lines(out.Header))
	}
}

func TestCookieCrumbs(t *testing.T) {
	r := visitor("GET", "/", "cookie: a=1", "x: y", "cookie: b=2").req
	r.Proto = flow.HTTP2
	out := composed(t, r, facts().Facts)
	if got := lines(out.Header)[:2]; !slices.Equal(got, []string{"cookie: a=1; b=2", "x: y"}) {
		t.Errorf("crumbs became %q", got)
	}
	if got := out.Header.Get(loopField); unmarked(got) != "stormdoor-"+testToken || out.Header.Has("Via") {
		t.Errorf("%s %q", loopField, got)
	}
}

func TestChain(t *testing.T) {
	for _, tt := range []struct{ values, client, want string }{
		{"9.9.9.9", "9.9.9.9", "9.9.9.9"},
		{"1.1.1.1, 9.9.9.9, 8.8.8.8", "9.9.9.9", "9.9.9.9, 8.8.8.8"},
		{"9.9.9.9, 1.1.1.1, 9.9.9.9", "9.9.9.9", "9.9.9.9"},
		{"1.1.1.1,[2001:db8::1]:443", "2001:db8::1", "[2001:db8::1]:443"},
		{"1.1.1.1, 9.9.9.9:1234", "9.9.9.9", "9.9.9.9:1234"},
		{"::ffff:9.9.9.9", "9.9.9.9", "::ffff:9.9.9.9"},
		{"garbage, , ,", "9.9.9.9", "9.9.9.9"},
		{"", "9.9.9.9", "9.9.9.9"},
	} {
		if got := string(appendChain([]byte("x"), fieldsOf("X-Forwarded-For: "+tt.values), addr(tt.client))); got != "x"+tt.want {
			t.Errorf("chain %q of client %s: %q, want %q", tt.values, tt.client, got, "x"+tt.want)
		}
	}
}

func FuzzCompose(f *testing.F) {
	f.Add("Connection", "X-Forwarded-For, Host", "X_Real-IP", "spoofed", true)
	f.Add("X-Forwarded-For", "spoofed, 192.0.2.7", "Forwarded", "for=spoofed", false)
	f.Fuzz(func(t *testing.T, n1, v1, n2, v2 string, proxied bool) {
		r := visitor("GET", "/").req
		r.Header.Add(n1, v1)
		r.Header.Add(n2, v2)
		fs := flow.Facts{Client: addr("192.0.2.7"), Peer: addr("192.0.2.7"), Proxied: proxied}
		out := composed(t, r, fs)
		for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-IP", "Forwarded"} {
			if n := len(slices.Collect(out.Header.Values(name))); n != 1 {
				t.Fatalf("%d fields %s", n, name)
			}
		}
		if got := out.Header.Get("X-Forwarded-For"); got != "192.0.2.7" {
			t.Fatalf("X-Forwarded-For: %q", got)
		}
		for _, name := range []string{"Connection", "Transfer-Encoding", "Content-Length", "Host", "Upgrade", "Keep-Alive"} {
			if out.Header.Has(name) {
				t.Fatalf("%s came through", name)
			}
		}
	})
}
