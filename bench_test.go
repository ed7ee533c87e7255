package stormdoor

import (
	"context"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"stormdoor/flow"
	"stormdoor/internal/wire"
)

// busyPolicy has something for every stage to look at, and nothing that catches ordinary.
const busyPolicy = `
sites: [{hosts: [shop.example], origins: ['http://127.0.0.1:1'], routes: [{path: /api/*, max_body: 1MB}]}]
lists: [{name: bad, action: refuse, addresses: [203.0.113.0/24, '2001:db8::/32']}]
limits: [{name: per-client, rate: 1000000/s, burst: 1000000}]
rules:
  - {name: scripts, when: script.endsWith('.php') && method == 'POST', then: refuse}
  - {name: agents, when: user_agent.contains('sqlmap'), then: refuse}
  - {name: admin, when: path.startsWith('/admin') && !client_in('10.0.0.0/8'), then: refuse}
`

// ordinary is a request as a browser sends it.
func ordinary() (*wire.Conn, *wire.Request) {
	conn := &wire.Conn{Peer: netip.MustParseAddrPort("192.0.2.7:4711"), TLS: true, JA4: "t13d1516h2_8daaf6152771_02713d6af862"}
	req := &wire.Request{Proto: flow.HTTP2, Method: "GET", Target: "/products/blue-shoes?size=42", Scheme: "https", Authority: "shop.example"}
	for _, f := range [][2]string{{"Host", "shop.example"}, {"User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0"},
		{"Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}, {"Accept-Language", "en-US,en;q=0.5"}, {"Accept-Encoding", "gzip, deflate, br"},
		{"Referer", "https://shop.example/"}, {"Cookie", "session=0123456789abcdef; theme=dark"}, {"Sec-Fetch-Mode", "navigate"}} {
		req.Header.Add(f[0], f[1])
	}
	return conn, req
}

// BenchmarkJudgement is the whole judgement of an ordinary request that nothing matches: facts, site, lists, limits and
// three CEL rules. It may cost 1.5 us and 1 allocation.
func BenchmarkJudgement(b *testing.B) {
	d, err := New(parse(b, busyPolicy), Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	conn, req := ordinary()
	now, ctx := d.now(), context.Background()
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(10 * time.Microsecond) // within the limit's rate
		v := d.facts(conn, req, now)
		if !d.judge(ctx, v) {
			b.Fatal("refused")
		}
		visits.Put(v)
	}
}

// BenchmarkJudgementOfNewClients is the same judgement, each time of a client that has not been seen for a million others:
// what it takes more than BenchmarkJudgement is what a new client costs.
func BenchmarkJudgementOfNewClients(b *testing.B) {
	d, err := New(parse(b, busyPolicy), Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	conn, req := ordinary()
	now, ctx := d.now(), context.Background()
	b.ReportAllocs()
	one := func(i uint32) *visit {
		n := i * 0x9e3779b1
		conn.Peer = netip.AddrPortFrom(netip.AddrFrom4([4]byte{20, byte(n >> 28), byte(n >> 20), byte(n >> 12)}), 4711)
		now = now.Add(10 * time.Microsecond)
		return d.facts(conn, req, now)
	}
	for i := range uint32(1 << 20) { // the system gives the table its memory when it is used first
		v := one(i)
		d.judge(ctx, v)
		visits.Put(v)
	}
	now = now.Add(time.Hour)
	for i := uint32(0); b.Loop(); i++ {
		v := one(i)
		if !d.judge(ctx, v) {
			b.Fatal("refused")
		}
		visits.Put(v)
	}
}

// All stages share the facts by pointer, so none may write to them.
func TestStagesOnlyRead(t *testing.T) {
	d, err := New(parse(t, busyPolicy), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, peer := range []string{"192.0.2.7:4711", "203.0.113.5:4711"} {
		conn, req := ordinary()
		conn.Peer = netip.MustParseAddrPort(peer)
		v := d.facts(conn, req, d.now())
		want := v.outcome.Facts
		want.Header = want.Header.Clone()
		d.judge(context.Background(), v)
		v.edition.chain.Settle(&v.outcome, v.asked)
		if !reflect.DeepEqual(v.outcome.Facts, want) {
			t.Errorf("%s: the facts were\n%+v\nand after the judgement they are\n%+v", peer, want, v.outcome.Facts)
		}
	}
}
