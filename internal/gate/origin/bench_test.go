package origin

import (
	"context"
	"io"
	"net/netip"
	"testing"
	"time"

	"stormdoor/flow"
	"stormdoor/internal/wire"
)

// stillExchange is a visitor that costs nothing.
type stillExchange struct{ *fakeExchange }

func (ex stillExchange) Respond(int, flow.Header, int64) error { return nil }
func (ex stillExchange) Write(p []byte) (int, error)           { return len(p), nil }
func (ex stillExchange) Flush() error                          { return nil }
func (ex stillExchange) End(flow.Header) error                 { return nil }

// stillOrigin answers with a body of 1 KiB and costs nothing but that.
type stillOrigin struct {
	resp wire.Response
	left int
	kept flow.Header
}

func (u *stillOrigin) RoundTrip(_ context.Context, _ *wire.Request, _ io.Reader, _ func() flow.Header, hooks wire.Hooks) (*wire.Response, error) {
	hooks.Wrote()
	u.left = 1024
	u.resp.Header.Reset()
	for f := range u.kept.All() {
		u.resp.Header.Add(f.Name, f.Value)
	}
	return &u.resp, nil
}
func (u *stillOrigin) Close() {}

func (u *stillOrigin) Read(p []byte) (int, error) {
	if u.left == 0 {
		return 0, io.EOF
	}
	n := min(u.left, len(p))
	u.left -= n
	return n, nil
}

type stillBody struct{ *stillOrigin }

func (stillBody) Close() error { return nil }

// BenchmarkForward is the cost of Forward itself: a browser's GET, an answer of 1 KiB, both ends for free.
func BenchmarkForward(b *testing.B) {
	u := &stillOrigin{kept: fieldsOf("Server: app", "Date: Tue, 24 Nov 2026 00:00:00 GMT", "Content-Type: text/html; charset=utf-8", "Content-Length: 1024",
		"Connection: keep-alive", "Keep-Alive: timeout=5", "ETag: \"abc\"", "Set-Cookie: s=1; Path=/; HttpOnly", "Cache-Control: private", "Vary: Accept-Encoding")}
	u.resp = wire.Response{Status: 200, Length: 1024, Body: stillBody{u}, Header: flow.NewHeader(16)}
	p := script(b, func(c *Config) { c.NewUpstream = func(wire.UpstreamConfig) wire.Upstream { return u } }, plays())
	ex := stillExchange{visitor("GET", "/a?b=c", "Host: shop.example", "Connection: keep-alive", "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
		"Accept: text/html,application/xhtml+xml", "Accept-Language: de,en;q=0.7", "Accept-Encoding: gzip, deflate, br", "Cookie: s=1", "Upgrade-Insecure-Requests: 1",
		"Sec-Fetch-Dest: document", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Site: none", "Priority: u=0, i")}
	o := *facts()
	b.ReportAllocs()
	for b.Loop() {
		o.BytesOut = 0
		if r := p.Forward(ex, &o); r != "" {
			b.Fatal(r, o.Err)
		}
	}
}

func BenchmarkCompose(b *testing.B) {
	p := script(b, nil, plays(answers(200, "")))
	c := newCall(p)
	ex, o := visitor("GET", "/", "Host: shop.example", "Connection: keep-alive", "User-Agent: Mozilla/5.0", "Accept: */*", "Accept-Language: de", "Cookie: s=1"), facts()
	b.ReportAllocs()
	for b.Loop() {
		c.out.Header.Reset()
		c.compose(&ex.req, &o.Facts)
	}
}

// BenchmarkServed is what admission costs where the cache answers.
func BenchmarkServed(b *testing.B) {
	p := script(b, nil, plays())
	o := facts()
	o.Facts.Key = netip.PrefixFrom(o.Facts.Client, 32)
	o.Facts.Arrived, o.Facts.Method, o.Facts.Path.Clean = time.Now(), "GET", "/a/page/of/many"
	o.Facts.Header = fieldsOf("Host: shop.example", "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
		"Accept: text/html", "Accept-Language: de,en;q=0.9", "Accept-Encoding: gzip, br", "Sec-CH-UA-Platform: \"Linux\"", "Sec-Fetch-Mode: navigate")
	o.Status, o.Cache = 200, flow.CacheHit
	b.ReportAllocs()
	for b.Loop() {
		p.Served(o)
	}
}
