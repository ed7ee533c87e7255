package drill

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

// person is one good visitor: an address, a memory for cookies and connections, and a habit.
type person struct {
	of    *Visitors
	kind  string
	visit func(context.Context, *person)
	every time.Duration // between two visits of one that stays
	busy  atomic.Bool
	lot   *rand.Rand // used by one visit at a time

	mu       sync.Mutex
	roams    int // the next address of one that roams, 0 for who does not
	from     netip.Addr
	client   *http.Client
	signedIn bool
}

func newPerson(v *Visitors, kind string, from netip.Addr, seed uint64, visit func(context.Context, *person)) *person {
	p := &person{of: v, kind: kind, from: from, visit: visit, lot: rand.New(rand.NewPCG(seed, 3))}
	jar, _ := cookiejar.New(nil) // it fails for no argument
	p.client = &http.Client{Jar: jar, Timeout: givesUp, Transport: p.transport(), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return p
}

// transport keeps connections as a browser does. The drill's certificate is its own, and the door's address is loopback.
func (p *person) transport() *http.Transport {
	return &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			p.mu.Lock()
			from := p.from
			p.mu.Unlock()
			return dialer(from, givesUp).DialContext(ctx, network, addr)
		},
		TLSClientConfig:     &tls.Config{InsecureSkipVerify: true, ServerName: shopHost},
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: 6, MaxConnsPerHost: 6, IdleConnTimeout: 30 * time.Second, DisableCompression: true,
	}
}

// come makes one visit, unless this person is on one already.
func (p *person) come(ctx context.Context) {
	if !p.busy.CompareAndSwap(false, true) {
		return
	}
	defer p.busy.Store(false)
	p.move()
	p.visit(ctx, p)
}

// stay makes one visit after the other until ctx ends.
func (p *person) stay(ctx context.Context) {
	for wait(ctx, time.Duration(p.lot.Int64N(int64(p.every+50*time.Millisecond)))) {
		p.visit(ctx, p)
		if !wait(ctx, p.every/2) {
			return
		}
	}
}

// move gives a roaming visitor its next address, and with it new connections.
func (p *person) move() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.roams == 0 {
		return
	}
	p.from = roamingAddr(p.roams)
	p.roams++
	p.client.CloseIdleConnections()
}

// get asks for a page over TLS as a browser does, and reports whether it was served.
func (p *person) get(ctx context.Context, path string, fields ...string) bool {
	return p.ask(ctx, "GET", "https://"+p.of.spec.Secure+path, "", fields...)
}

// call asks in clear text as programs behind a terminating proxy do.
func (p *person) call(ctx context.Context, path string, fields ...string) bool {
	return p.ask(ctx, "GET", "http://"+p.of.spec.Clear+path, "", fields...)
}

func (p *person) ask(ctx context.Context, method, target, body string, fields ...string) bool {
	r, err := http.NewRequestWithContext(ctx, method, target, strings.NewReader(body))
	if err != nil {
		return false
	}
	r.Host = shopHost
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r.Header.Set("User-Agent", userAgents[p.kind])
	for i := 0; i+1 < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	s := Sample{Kind: p.kind, At: time.Now().UnixNano()}
	s.Failed = p.exchange(r)
	if ctx.Err() != nil {
		return false // the drill is over: nobody is to blame
	}
	s.Took = time.Duration(time.Now().UnixNano() - s.At)
	if s.Failed == "" && s.Took > promptly {
		s.Failed = "late"
	}
	p.of.note(s)
	return s.Failed == ""
}

// exchange says in a word why a request was not served.
func (p *person) exchange(r *http.Request) (failed string) {
	resp, err := p.client.Do(r)
	if err != nil {
		return failure(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode < 400 {
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return failure(err)
		}
		return ""
	}
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 8<<10))
	return reasonOf(resp, b)
}

// reasonOf reads the reason of a refusal, which programs find in the problem document (RFC 9457).
func reasonOf(resp *http.Response, body []byte) string {
	var problem struct {
		Reason string `json:"reason"`
	}
	if json.Unmarshal(body, &problem) == nil && problem.Reason != "" {
		return problem.Reason
	}
	return fmt.Sprintf("status %d", resp.StatusCode)
}

func failure(err error) string {
	var t interface{ Timeout() bool }
	if errors.As(err, &t) && t.Timeout() {
		return "timeout"
	}
	return "reset"
}

// shopHost is the name under which the drill's site is asked for.
const shopHost = "shop.example"

const firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"

var userAgents = map[string]string{
	"browser": firefox, "customer": firefox, "office": firefox, "roaming": firefox, "newcomer": firefox,
	"app": "ShopApp/4.2 (Android 15)", "feed reader": "FreshRSS/1.26 (Linux)", "monitor": "Uptime-Monitor/2.0",
	"crawler": "Mozilla/5.0 (compatible; Searchbot/2.1)", "package manager": "apt/2.6 (http)",
	"chat": firefox, "events": firefox,
}

// Everybody reads refusals as programs do, so that the drill learns the reason.
var asProgram = []string{"Accept", "application/problem+json, */*;q=0.8"}

func navigation() []string {
	return append([]string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Accept-Language", "en"}, asProgram...)
}

// browse looks at the front page with what belongs to it, reads, and goes on to a few products. One in six searches.
func browse(ctx context.Context, p *person) {
	if !p.get(ctx, "/", navigation()...) {
		return
	}
	var assets sync.WaitGroup
	for _, a := range []string{"/assets/shop.css", "/assets/shop.js", "/assets/hero.png"} {
		assets.Go(func() { p.get(ctx, a, append([]string{"Sec-Fetch-Mode", "no-cors"}, asProgram...)...) })
	}
	assets.Wait()
	pages := []string{fmt.Sprintf("/category/%d?page=%d", p.lot.IntN(8), 1+p.lot.IntN(3)), fmt.Sprintf("/product/%d", p.lot.IntN(50))}
	if p.lot.IntN(6) == 0 {
		pages = append(pages, "/search?q="+url.QueryEscape([]string{"oak door", "steel door", "storm"}[p.lot.IntN(3)]))
	}
	for _, path := range pages {
		if !wait(ctx, 200*time.Millisecond+time.Duration(p.lot.Int64N(int64(600*time.Millisecond)))) || !p.get(ctx, path, navigation()...) {
			return
		}
	}
}

// shopping is what a customer does: sign in once, then look at the account and at products.
func shopping(ctx context.Context, p *person) {
	if !p.signedIn {
		form := url.Values{"user": {p.from.String()}, "password": {password}}.Encode()
		if p.signedIn = p.ask(ctx, "POST", "https://"+p.of.spec.Secure+"/login", form, navigation()...); !p.signedIn {
			return
		}
	}
	for _, path := range []string{"/account", fmt.Sprintf("/product/%d", p.lot.IntN(50)), "/account"} {
		if !p.get(ctx, path, navigation()...) || !wait(ctx, 100*time.Millisecond+time.Duration(p.lot.Int64N(int64(400*time.Millisecond)))) {
			return
		}
	}
}

func useApp(ctx context.Context, p *person) {
	p.call(ctx, fmt.Sprintf("/api/stock/%d", p.lot.IntN(50)), "Accept", "application/json", "Authorization", "Bearer app-"+p.from.String())
}

func readFeed(ctx context.Context, p *person) {
	p.call(ctx, "/feed.xml", "Accept", "application/rss+xml")
}
func checkUp(ctx context.Context, p *person) { p.call(ctx, "/healthz", asProgram...) }

func crawl(ctx context.Context, p *person) {
	p.call(ctx, fmt.Sprintf("/product/%d", p.lot.IntN(50)), asProgram...)
}

func fetchPackage(ctx context.Context, p *person) {
	p.call(ctx, fmt.Sprintf("/packages/door_%d.deb", p.lot.IntN(9)), asProgram...)
}

// chat keeps a WebSocket and sends a message twice a second. Each echo counts as a request.
func chat(ctx context.Context, p *person) {
	c, _, err := websocket.Dial(ctx, "wss://"+p.of.spec.Secure+"/ws", &websocket.DialOptions{HTTPClient: &http.Client{Transport: p.http1()}, Host: shopHost})
	if err != nil {
		p.note(ctx, time.Now(), failure(err))
		return
	}
	defer c.CloseNow()
	for wait(ctx, 500*time.Millisecond) {
		begin := time.Now()
		answered, cancel := context.WithTimeout(ctx, givesUp)
		err := c.Write(answered, websocket.MessageText, []byte("hello"))
		if err == nil {
			_, _, err = c.Read(answered)
		}
		cancel()
		if err != nil {
			p.note(ctx, begin, failure(err))
			return
		}
		p.note(ctx, begin, "")
	}
}

// http1 is a transport for a switch of protocols, which HTTP/2 does in another way.
func (p *person) http1() *http.Transport {
	t := p.transport()
	t.ForceAttemptHTTP2 = false
	t.TLSClientConfig.NextProtos = []string{"http/1.1"}
	return t
}

// follow reads server-sent events. Each one counts as a request that took as long as it was late.
func follow(ctx context.Context, p *person) {
	r, err := http.NewRequestWithContext(ctx, "GET", "https://"+p.of.spec.Secure+"/events", nil)
	if err != nil {
		return
	}
	r.Host = shopHost
	begin := time.Now()
	resp, err := (&http.Client{Transport: p.client.Transport}).Do(r)
	if err != nil || resp.StatusCode != http.StatusOK {
		p.note(ctx, begin, "no stream")
		if err == nil {
			resp.Body.Close()
		}
		wait(ctx, time.Second)
		return
	}
	defer resp.Body.Close()
	b := make([]byte, 64)
	for last := time.Now(); ; last = time.Now() {
		if _, err := resp.Body.Read(b); err != nil {
			p.note(ctx, last, failure(err))
			return
		}
		p.note(ctx, last.Add(min(250*time.Millisecond, time.Since(last))), "")
	}
}

// note writes down what was not a request of HTTP.
func (p *person) note(ctx context.Context, begin time.Time, failed string) {
	if ctx.Err() != nil {
		return
	}
	s := Sample{Kind: p.kind, At: begin.UnixNano(), Took: time.Since(begin), Failed: failed}
	if failed == "" && s.Took > promptly {
		s.Failed = "late"
	}
	p.of.note(s)
}
