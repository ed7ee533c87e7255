package client

import (
	"strings"
	"testing"
)

func TestHost(t *testing.T) {
	for authority, want := range map[string]string{
		"":                      "",
		"shop.example":          "shop.example",
		"Shop.EXAMPLE":          "shop.example",
		"shop.example:8080":     "shop.example",
		"shop.example:":         "shop.example",
		"shop.example.":         "shop.example",
		"shop.example.:443":     "shop.example",
		"a_b-c.example":         "a_b-c.example",
		"192.0.2.1:80":          "192.0.2.1",
		"[2001:DB8:0::1]":       "2001:db8::1",
		"[2001:db8::1]:443":     "2001:db8::1",
		"[::ffff:192.0.2.1]:80": "::ffff:192.0.2.1",

		".":                                "",
		"..":                               "",
		".shop.example":                    "",
		"shop..example":                    "",
		"shop.example..":                   "",
		"shop.example:x":                   "",
		"shop.example:65536":               "",
		"shop.example:0080800":             "",
		"shop.example:80:80":               "",
		"2001:db8::1":                      "",
		"[2001:db8::1":                     "",
		"[2001:db8::1]x":                   "",
		"[2001:db8::1]:x":                  "",
		"[fe80::1%eth0]":                   "",
		"[192.0.2.1]":                      "",
		"[]":                               "",
		"user@shop.example":                "",
		"shop.example/x":                   "",
		"shop example":                     "",
		"shop.ex%61mple":                   "",
		"shöp.example":                     "",
		"shop.example\x00":                 "",
		"a." + strings.Repeat("b", 252):    "",
		strings.Repeat("b", 253):           strings.Repeat("b", 253),
		strings.Repeat("B", 253) + ".:443": strings.Repeat("b", 253),
	} {
		if got := host(authority); got != want {
			t.Errorf("host(%q) = %q, want %q", authority, got, want)
		}
	}
}

func FuzzHost(f *testing.F) {
	for _, s := range []string{"shop.example:80", "[::1]:80", "A.b.", "[", ":"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, authority string) {
		h := host(authority)
		if h != strings.ToLower(h) || strings.HasSuffix(h, ".") || strings.ContainsAny(h, "[]/@ %") {
			t.Fatalf("host(%q) = %q", authority, h)
		}
		if h == "" || strings.IndexByte(h, ':') >= 0 {
			return
		}
		if again := host(h); again != h {
			t.Fatalf("host(%q) = %q, and of that %q", authority, h, again)
		}
	})
}
