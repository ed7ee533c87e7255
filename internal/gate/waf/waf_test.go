package waf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"stormdoor/flow"
	"stormdoor/policy"
)

var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// stage compiles a policy in which site "shop" has the firewall in the mode.
func stage(t testing.TB, mode policy.WAFMode, change func(*policy.Policy)) *Stage {
	t.Helper()
	p := &policy.Policy{Sites: []policy.Site{{Name: "shop", Hosts: []string{"shop.example"}, Origins: []policy.Origin{{URL: "http://127.0.0.1:1"}}, WAF: mode}}}
	if change != nil {
		change(p)
	}
	s, err := New(p.WithDefaults(), Options{Held: new(atomic.Int64)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// one is the Core Rule Set as it is by default, compiled once.
var one = sync.OnceValue(func() *Stage {
	p := &policy.Policy{Sites: []policy.Site{
		{Name: "shop", Hosts: []string{"shop.example"}, Origins: []policy.Origin{{URL: "http://127.0.0.1:1"}}, WAF: policy.WAFBlocks,
			Routes: []policy.Route{{Name: "count", Path: "/count", WAF: policy.WAFCounts}, {Name: "off", Path: "/off", WAF: policy.WAFOff}}},
	}}
	s, err := New(p.WithDefaults(), Options{Held: new(atomic.Int64)})
	if err != nil {
		panic(err)
	}
	return s
})

// facts are those of a browser's request.
func facts(method, path, query string, fields ...string) *flow.Facts {
	f := &flow.Facts{
		Arrived: noon, Site: "shop", Method: method, Host: "shop.example", Proto: flow.HTTP11, Path: flow.Path{Raw: path, Clean: path, Script: path}, Query: query,
		Client: netip.MustParseAddr("192.0.2.7"),
	}
	h := flow.NewHeader(8)
	h.Add("Host", "shop.example")
	h.Add("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
	h.Add("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	for i := 0; i+1 < len(fields); i += 2 {
		h.Add(fields[i], fields[i+1])
	}
	f.Header = h
	return f
}

// post is a request with a form.
func post(body string) *flow.Facts {
	f := facts("POST", "/comment", "", "Content-Type", "application/x-www-form-urlencoded", "Content-Length", "1")
	f.Length = int64(len(body))
	return f
}

func decide(t testing.TB, s *Stage, f *flow.Facts) flow.Verdict {
	t.Helper()
	v, err := s.Decide(context.Background(), f)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

const injection = "id=1%27%20UNION%20SELECT%20password%20FROM%20users--"

func TestAnAttackIsRefusedAndABrowserIsNot(t *testing.T) {
	if v := decide(t, one(), facts("GET", "/product/7", "page=2&sort=price")); v.Work == 0 || v != (flow.Verdict{Work: v.Work}) {
		t.Errorf("a browser: %+v, %+v", v, v.Found)
	}
	v := decide(t, one(), facts("GET", "/product/7", injection))
	if v.Action != flow.Refuse || v.Reason != flow.WAFScore || v.Status != 403 || v.Rule != "942100" || v.Dry {
		t.Errorf("an injection: %+v", v)
	}
	if v.Found == nil || v.Found.Score < v.Found.Threshold || v.Found.Threshold != 5 {
		t.Fatalf("found: %+v", v.Found)
	}
	found := false
	for _, m := range v.Found.Matches {
		found = found || m.Rule == 942100 && m.Field == "ARGS:id" && strings.Contains(m.Value, "UNION") && m.Message != ""
	}
	if !found {
		t.Errorf("no finding names the field and the value: %+v", v.Found.Matches)
	}
}

func TestModesMeanWhatTheySay(t *testing.T) {
	f := facts("GET", "/count", injection)
	f.Route = "count"
	if v := decide(t, one(), f); !v.Dry || v.Action != flow.Refuse || v.Reason != flow.WAFScore || v.Found == nil {
		t.Errorf("count: %+v", v)
	}
	f.Route = "off"
	if v := decide(t, one(), f); v != (flow.Verdict{}) {
		t.Errorf("off: %+v", v)
	}
	s := stage(t, policy.WAFOff, nil)
	if v := decide(t, s, facts("GET", "/", injection)); v != (flow.Verdict{}) || !s.Off() {
		t.Errorf("off everywhere: %+v", v)
	}
}

func TestBodiesAreInspectedAndGivenWhole(t *testing.T) {
	for _, c := range []struct {
		name, body string
		refused    bool
	}{
		{"harmless", "text=" + strings.Repeat("a+door+", 100), false},
		{"injection", injection, true},
	} {
		f := post(c.body)
		if v := decide(t, one(), f); v != (flow.Verdict{}) {
			t.Errorf("%s: judged before its body came: %+v", c.name, v)
		}
		v, held := one().Inspect(f, iotest.OneByteReader(strings.NewReader(c.body)))
		if (v.Action == flow.Refuse) != c.refused {
			t.Errorf("%s: %+v", c.name, v)
		}
		if got, err := io.ReadAll(held.Reader()); err != nil || string(got) != c.body {
			t.Errorf("%s: the body came back as %d bytes, %v", c.name, len(got), err)
		}
		held.Release()
		held.Release() // twice is once
	}
	if n := one().held.Load(); n != 0 {
		t.Errorf("%d bytes are held for ever", n)
	}
}

func TestLongBodies(t *testing.T) {
	long := "text=" + strings.Repeat("door+", 1000)
	small := func(over policy.OverBody) func(*policy.Policy) {
		return func(p *policy.Policy) { p.WAF.InspectBody, p.WAF.OverBody = 1024, over }
	}
	f := post(long)
	f.Length = -1 // chunked: nobody has said how long it will be
	v, held := stage(t, policy.WAFBlocks, small(policy.OverPrefix)).Inspect(f, strings.NewReader(long))
	if v.Action != flow.Continue || held.Len() != 1025 {
		t.Errorf("prefix: %+v after %d bytes", v, held.Len())
	}
	if got, err := io.ReadAll(held.Reader()); err != nil || string(got) != long {
		t.Errorf("prefix: the body came back as %d of %d bytes, %v", len(got), len(long), err)
	}
	v, _ = stage(t, policy.WAFBlocks, small(policy.OverRefused)).Inspect(f, strings.NewReader(long))
	if v.Action != flow.Refuse || v.Reason != flow.WAFBody {
		t.Errorf("refuse: %+v", v)
	}
}

// A client that breaks off is no finding, and whoever reads the body on sees the same error.
func TestBrokenBodyPassesItsError(t *testing.T) {
	gone := errors.New("gone")
	f := post(strings.Repeat("a", 100))
	v, held := one().Inspect(f, io.MultiReader(strings.NewReader("text=a"), iotest.ErrReader(gone)))
	if v.Action != flow.Continue {
		t.Errorf("verdict %+v", v)
	}
	got, err := io.ReadAll(held.Reader())
	if string(got) != "text=a" || !errors.Is(err, gone) {
		t.Errorf("read on: %q, %v", got, err)
	}
	held.Release()
}

// Bodies are held within a bound, and a body over it is refused for a moment, not let pass.
func TestHeldBodiesAreBounded(t *testing.T) {
	s := stage(t, policy.WAFBlocks, nil)
	s.held.Store(maxHeld - 1024)
	body := "text=" + strings.Repeat("a", 8<<10)
	v, held := s.Inspect(post(body), strings.NewReader(body))
	if v.Action != flow.Refuse || v.Reason != flow.WAFFull || v.RetryIn == 0 {
		t.Errorf("over the bound: %+v", v)
	}
	held.Release()
	if n := s.held.Load(); n != maxHeld-1024 {
		t.Errorf("%d bytes are held, want what was held before", n)
	}
}

// Whoever fills the memory with large bodies keeps no form out.
func TestLargeBodiesLeaveRoomForForms(t *testing.T) {
	s := stage(t, policy.WAFBlocks, nil)
	s.held.Store(mayHold(100<<10) - 100<<10)
	large := "text=" + strings.Repeat("a", 110<<10)
	v, held := s.Inspect(post(large), strings.NewReader(large))
	if v.Reason != flow.WAFFull {
		t.Errorf("a large one more: %+v", v)
	}
	held.Release()
	for _, size := range []int{100, 10 << 10} {
		form := "text=" + strings.Repeat("a", size)
		v, held := s.Inspect(post(form), strings.NewReader(form))
		if v.Action != flow.Continue {
			t.Errorf("a form of %d bytes beside many large ones: %+v", size, v)
		}
		held.Release()
	}
}

func TestStreamsAreNotHeldBack(t *testing.T) {
	for _, c := range []struct {
		name   string
		method string
		length int64
		fields []string
		wants  bool
	}{
		{"form", "POST", -1, []string{"Content-Type", "application/x-www-form-urlencoded"}, true},
		{"JSON", "POST", -1, []string{"Content-Type", "application/json; charset=utf-8"}, true},
		{"no type", "POST", -1, nil, true},
		{"body of a GET", "GET", 5, nil, true},
		{"upload", "POST", -1, []string{"Content-Type", "application/octet-stream"}, false},
		{"picture", "POST", -1, []string{"Content-Type", "image/png"}, false},
		{"picture in XML", "POST", -1, []string{"Content-Type", "image/svg+xml"}, true},
		{"JSON of a type that is streamed", "POST", -1, []string{"Content-Type", "application/vnd.docker.x+json; a=b"}, true},
		{"gRPC over HTTP/1.1, which there is none", "POST", -1, []string{"Content-Type", "application/grpc+json"}, true},
		{"WebSocket over HTTP/1.1", "GET", 0, []string{"Connection", "Upgrade", "Upgrade", "websocket"}, false},
		{"WebSocket over HTTP/2", "CONNECT", -1, nil, false},
		{"body beside a wish for another protocol", "POST", -1, []string{"Connection", "Upgrade", "Upgrade", "websocket"}, true},
	} {
		f := facts(c.method, "/", "", c.fields...)
		f.Length = c.length
		if got := one().WantsBody(f); got != c.wants {
			t.Errorf("%s: wants the body %v", c.name, got)
		}
	}
	f := facts("POST", "/", "", "Content-Type", "application/grpc+proto")
	f.Length, f.Proto = -1, flow.HTTP2
	if one().WantsBody(f) {
		t.Error("gRPC is held back")
	}
}

func TestOwnRulesAndTheirMistakes(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	own := write("own.conf", "SecRule ARGS:door \"@streq closed\" \"id:100,phase:2,deny,status:451,msg:'closed'\"\n")
	s := stage(t, policy.WAFBlocks, func(p *policy.Policy) { p.WAF.Files = []string{own} })
	if v := decide(t, s, facts("GET", "/", "door=closed")); v.Action != flow.Refuse || v.Reason != flow.WAFRule || v.Rule != "100" || v.Status != 451 {
		t.Errorf("own rule: %+v", v)
	}
	bad := write("bad.conf", "SecRule ARGS \"@nonsense\" \"id:1,deny\"\nSecFrobnicate On\n")
	p := &policy.Policy{Sites: []policy.Site{{Name: "shop", WAF: policy.WAFBlocks}}, WAF: policy.WAF{Files: []string{bad}}}
	_, err := New(p.WithDefaults(), Options{Held: new(atomic.Int64)})
	for _, want := range []string{"bad.conf:1", "nonsense", "bad.conf:2", "SecFrobnicate"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("mistakes: %v, want %q", err, want)
		}
	}
}

// What is made to cost as much as it can is refused before it has, and an ordinary text of the same size is not.
func TestInspectionIsBounded(t *testing.T) {
	pieces := []string{"union select ", "<script ", "$(", "' or '1'='1", "../", "; cat /etc/", "javascript:", "${jndi:", "<?php ", "onerror=", "exec(", "0x414243 ", "{{7*7}}", "`id`"}
	var soup strings.Builder
	for i, n := 0, uint32(1); soup.Len() < 64<<10; i++ {
		n = n*1664525 + 1013904223
		soup.WriteString(pieces[int(n>>16)%len(pieces)])
		soup.WriteString(strings.Repeat(string(rune('a'+n>>24%26)), int(n>>8%4)))
	}
	s := stage(t, policy.WAFBlocks, func(p *policy.Policy) { p.WAF.Threshold = 10_000 }) // nothing but the budget can refuse
	for _, c := range []struct {
		name, body string
		reason     flow.Reason
	}{{"soup", "text=" + url.QueryEscape(soup.String()), flow.WAFCost}, {"text", "text=" + strings.Repeat("Sturdy+doors+for+every+weather.+", 2000), ""}} {
		v, held := s.Inspect(post(c.body), strings.NewReader(c.body))
		held.Release()
		if v.Reason != c.reason {
			t.Errorf("%s: %+v", c.name, v)
		}
	}
}

func BenchmarkTinyGET(b *testing.B) {
	f := facts("GET", "/product/7", "")
	one()
	b.ReportAllocs()
	for b.Loop() {
		decide(b, one(), f)
	}
}

// Who does not name itself, or asks an address for a page, has done nothing; nor has who fetches a script for download.
func TestWhoDoesNothingIsNotRefused(t *testing.T) {
	probe := facts("GET", "/healthz", "")
	probe.Host, probe.Header = "203.0.113.9:8080", flow.NewHeader(1)
	probe.Header.Add("Host", "203.0.113.9:8080")
	for _, f := range []*flow.Facts{probe, facts("GET", "/downloads/install.sh", ""), facts("GET", "/schema/order.xsd", ""), facts("GET", "/teams/group.htw", "")} {
		if v := decide(t, one(), f); v.Action != flow.Continue {
			t.Errorf("%s: %s", f.Path.Raw, described(v))
		}
	}
	if v := decide(t, one(), facts("GET", "/site/web.config", "")); v.Action != flow.Refuse {
		t.Error("a configuration may be fetched")
	}
}

// A body whose type is not told is one whose sender knows what to do with it; what it holds is judged as that of text is.
func TestABodyWithoutATypeIsJudgedByWhatItHolds(t *testing.T) {
	send := func(body string, chunked bool) flow.Verdict {
		f := facts("POST", "/hook", "", "Content-Length", fmt.Sprint(len(body)))
		f.Length = int64(len(body))
		if chunked {
			f = facts("POST", "/hook", "", "Transfer-Encoding", "chunked")
			f.Length = -1
		}
		if !one().WantsBody(f) {
			t.Errorf("%q: the body is not looked at", body)
		}
		v, h := one().Inspect(f, strings.NewReader(body))
		h.Release()
		return v
	}
	for _, body := range []string{"ok", "first line\nsecond line\n", `{"event":"paid","order":7}`, "name=Ann&city=Bern", "<a>1</a>"} {
		for _, chunked := range []bool{false, true} {
			if v := send(body, chunked); v.Action != flow.Continue {
				t.Errorf("%q, chunked %v: %s", body, chunked, described(v))
			}
		}
	}
	for _, body := range []string{injection, "1' UNION SELECT password FROM users--", `{"id":"1' UNION SELECT password FROM users--"}`, "x=;cat /etc/passwd", "<script>alert(document.cookie)</script>"} {
		for _, chunked := range []bool{false, true} {
			if v := send(body, chunked); v.Action != flow.Refuse {
				t.Errorf("%q, chunked %v: is not refused", body, chunked)
			}
		}
	}
	const injected = `{"id":"1' UNION SELECT password FROM users--"}`
	wide := func(s string) string { return "\xff\xfe" + strings.Join(strings.Split(s, ""), "\x00") + "\x00" }
	for body, want := range map[string]flow.Action{
		strings.Repeat("\x00", 1000):                       flow.Continue,
		wide(`{"event":"paid"}`):                           flow.Continue,
		wide(injected):                                     flow.Refuse,
		"a=\x00&" + injection:                              flow.Refuse,
		"id=1' UNI\x00ON SEL\x00ECT password FROM users--": flow.Refuse,
	} {
		if v := send(body, false); v.Action != want {
			t.Errorf("%.40q: %s", body, described(v))
		}
	}
	if f, text := body("text/plain", "a=\x00"); whole(one(), f, text).Action != flow.Refuse {
		t.Error("a text of NUL bytes is not refused")
	}
	if v := decide(t, one(), facts("GET", "/hook", "a%0d%0aSet-Cookie:x=1")); v.Action != flow.Refuse {
		t.Error("without a body, a name of two lines is not refused")
	}
}
