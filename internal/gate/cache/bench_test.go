package cache

import (
	"io"
	"testing"

	"stormdoor/flow"
)

// sink is a visitor who keeps nothing.
type sink struct{ visitor }

func (s *sink) Respond(int, flow.Header, int64) error { return nil }
func (s *sink) Write(p []byte) (int, error)           { return len(p), nil }
func (s *sink) End(flow.Header) error                 { return nil }
func (s *sink) Body() io.Reader                       { return nil }

func BenchmarkHit(b *testing.B) {
	s := &site{cache: New(Options{Memory: 8 << 20, MaxObject: 1 << 20}), rules: &Rules{}}
	s.says(200, "body", "Cache-Control: public, max-age=3600", "Content-Type: text/html", `ETag: "x"`, "Last-Modified: Mon, 02 Jan 2006 15:04:05 GMT", "Server: nginx", "Accept-Ranges: bytes")
	v := get("/a/page?q=1", "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Accept: text/html", "Accept-Encoding: gzip, br", "Accept-Language: en", "Cookie: session=1234567890")
	o := &flow.Outcome{}
	o.Facts.Site, o.Facts.Arrived = "shop", s.cache.now()
	s.cache.Serve(v, o, s.rules, attempt{s, o})
	k := &sink{visitor: visitor{req: v.req, ctx: v.ctx}}
	b.ReportAllocs()
	for b.Loop() {
		s.cache.Serve(k, o, s.rules, nil)
	}
	if o.Cache != flow.CacheHit {
		b.Fatalf("answered by %q", o.Cache)
	}
}
