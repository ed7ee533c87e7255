package cache

import (
	"testing"

	"stormdoor/flow"
	"stormdoor/internal/wire"
)

// gullible is an origin that believes everything: its page shows every input that a request has, and says that it may be
// stored. It is what attacks on caches look for.
func gullible(ex wire.Exchange) flow.Reason {
	r := ex.Request()
	body := r.Method + " " + r.Scheme + " " + r.Authority + " " + r.Target
	for f := range r.Header.All() {
		if steers(f.Name) || overrides(f.Name) || flow.EqualFold(f.Name, "Cookie") || flow.EqualFold(f.Name, "Authorization") {
			body += " " + f.Name + "=" + f.Value
		}
	}
	ex.Respond(200, headerOf("Cache-Control: max-age=60", "Content-Type: text/html"), int64(len(body)))
	ex.Write([]byte(body))
	ex.End(flow.Header{})
	return ""
}

// TestNobodyPoisonsAnotherVisitorsPage lets an attacker ask in each way first, and then a visitor in the plain one.
func TestNobodyPoisonsAnotherVisitorsPage(t *testing.T) {
	attacks := []*visitor{
		get("/page?a=1", "X-Forwarded-Host: evil.example"),
		get("/page?a=1", "X-Forwarded-Scheme: http"),
		get("/page?a=1", "X-Forwarded-Proto: nothttps"),
		get("/page?a=1", "X-Forwarded-Port: 1"),
		get("/page?a=1", "X-Forwarded-Prefix: /evil"),
		get("/page?a=1", "X-Forwarded-Anything: evil"),
		get("/page?a=1", "x_forwarded_host: evil.example"),
		get("/page?a=1", "X-Original-URL: /admin"),
		get("/page?a=1", "X-Rewrite-URL: /admin"),
		get("/page?a=1", "X-Host: evil.example"),
		get("/page?a=1", "X-HTTP-Host-Override: evil.example"),
		get("/page?a=1", "Forwarded-Host: evil.example"),
		get("/page?a=1", "X-HTTP-Method-Override: POST"),
		get("/page?a=1", "X-HTTP-Method: PUT"),
		get("/page?a=1", "X_Method_Override: DELETE"),
		get("/page?a=1", "Cookie: me=attacker"),
		get("/page?a=1", "Authorization: Basic eA=="),
		get("/page?a=1", "Host: shop.example:1337"),
		get("/page?a=1", "Host: SHOP.example"),
		get("/page?a=1", "Host: shop.example."),
		get("/page?a=1&a=1"),
		get("/page?a=2&a=1"),
		get("/page?A=1"),
		get("/page?a=1&"),
		get("/page?a=1;b=2"),
		get("/page?a=1%26b=2"),
		get("/page?"),
		get("/page/?a=1"),
		get("/%70age?a=1"),
		get("/./page?a=1"),
		get("//page?a=1"),
		get("/x/..%2fpage?a=1"),
		get("/page;x?a=1"),
		ask("POST", "/page?a=1"),
	}
	fat := get("/page?a=1")
	fat.req.Length = 5
	secure := get("/page?a=1")
	secure.req.Scheme = "https"
	for _, attack := range append(attacks, fat, secure) {
		s := newSite(t, "")
		s.answer = gullible
		s.serve(attack)
		v := get("/page?a=1")
		s.serve(v)
		if want := "GET http shop.example /page?a=1"; v.text() != want {
			t.Errorf("after %s %s %v: the visitor reads %q", attack.req.Method, attack.req.Target, attack.req.Header, v.text())
		}
	}
}

func TestNobodyPutsAnothersPrivatePageIntoTheCache(t *testing.T) {
	for _, c := range []struct {
		target, kind string
		stored       bool
	}{
		{"/account/x.css", "text/html", false},
		{"/account.php/x.js", "text/html; charset=utf-8", false},
		{"/account;x.png", "text/html", false},
		{"/account%2fx.jpg", "application/json", false},
		{"/api/me.ico", "application/problem+json", false},
		{"/account/x.CSS?y", "text/html", false},
		{"/account/x.css", "", false},
		{"/style.css", "text/css", true},
		{"/page.html", "text/html", true},
		{"/v1.2/page", "text/html", true},
	} {
		s := newSite(t, "secret", "Cache-Control: public, max-age=60", "Content-Type: "+c.kind)
		s.serve(get(c.target, "Cookie: me=victim"))
		if o := s.serve(get(c.target)); (o.Cache == flow.CacheHit) != c.stored {
			t.Errorf("%s as %q: the attacker's answer came by %q", c.target, c.kind, o.Cache)
		}
	}
}

func TestARefusedRequestDoesNotDenyThePageToOthers(t *testing.T) {
	for _, status := range []int{400, 403, 405, 413, 414, 431, 500, 501, 502} {
		s := newSite(t, "")
		s.says(status, "no")
		s.serve(get("/page", "X-Oversized: xxx"))
		s.says(200, "page", "Cache-Control: max-age=60")
		s.want(get("/page"), flow.CacheMiss, 200, "page")
	}
}

func TestBypasses(t *testing.T) {
	upgrade := get("/ws")
	upgrade.req.Upgrade = "websocket"
	for _, v := range []*visitor{upgrade, get("/events", "Accept: text/event-stream"), ask("OPTIONS", "/a"), ask("PROPFIND", "/a")} {
		s := newSite(t, "body", "Cache-Control: max-age=60")
		s.serve(v)
		if n, _ := s.cache.store.usage(); n != 0 {
			t.Errorf("%s %s %v was stored", v.req.Method, v.req.Target, v.req.Header)
		}
	}
}
