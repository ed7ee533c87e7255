package cache

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"stormdoor/flow"
	"stormdoor/internal/wire"
)

func TestStoresOnlyWhatSaysSo(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		fields []string
		hit    bool
	}{
		{"says nothing", 200, nil, false},
		{"a validator alone", 200, []string{`ETag: "a"`, "Last-Modified: Mon, 02 Jan 2006 15:04:05 GMT"}, false},
		{"max-age", 200, []string{"Cache-Control: max-age=60"}, true},
		{"s-maxage", 200, []string{"Cache-Control: s-maxage=60"}, true},
		{"public alone", 200, []string{"Cache-Control: public"}, false},
		{"private", 200, []string{"Cache-Control: private, max-age=60"}, false},
		{"no-store", 200, []string{"Cache-Control: max-age=60, No-Store"}, false},
		{"sets a cookie", 200, []string{"Cache-Control: public, max-age=60", "Set-Cookie: a=b"}, false},
		{"sets a cookie that is withheld", 200, []string{`Cache-Control: public, max-age=60, no-cache="set-cookie"`, "Set-Cookie: a=b"}, true},
		{"varies on everything", 200, []string{"Cache-Control: max-age=60", "Vary: Accept, *"}, false},
		{"not found", 404, []string{"Cache-Control: max-age=60"}, true},
		{"bad request", 400, []string{"Cache-Control: max-age=60"}, false},
		{"too large a head", 431, []string{"Cache-Control: max-age=60"}, false},
		{"unauthorised", 401, []string{"Cache-Control: public, max-age=60"}, false},
		{"partial", 206, []string{"Cache-Control: max-age=60"}, false},
		{"for CDNs", 200, []string{"Cache-Control: no-store", "CDN-Cache-Control: max-age=60"}, true},
		{"not for CDNs", 200, []string{"Cache-Control: max-age=60", "CDN-Cache-Control: no-store"}, false},
	} {
		s := newSite(t, "")
		s.says(c.status, "body", c.fields...)
		s.serve(get("/a"))
		if o := s.serve(get("/a")); (o.Cache == flow.CacheHit) != c.hit {
			t.Errorf("%s: the second answer came by %q", c.name, o.Cache)
		}
	}
}

func TestAHitIsWhatTheOriginSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, "hello", "Content-Type: text/plain", "Cache-Control: max-age=60", "X-Thing: 1", "X-Thing: 2")
		s.want(get("/a"), flow.CacheMiss, 200, "hello")
		time.Sleep(5 * time.Second)
		v := get("/a")
		s.want(v, flow.CacheHit, 200, "hello")
		if v.length != 5 || v.header.Get("Age") != "5" || v.header.Get("Content-Type") != "text/plain" || v.header.Get("Cache-Status") != "Stormdoor; hit; ttl=55" {
			t.Errorf("length %d, header %v", v.length, v.header)
		}
		time.Sleep(55 * time.Second)
		s.want(get("/a"), flow.CacheMiss, 200, "hello")
		if s.times() != 2 {
			t.Errorf("the origin was asked %d times", s.times())
		}
	})
}

func TestHeadAndConditionsAndRangesFromTheStoredWhole(t *testing.T) {
	s := newSite(t, "0123456789", "Cache-Control: max-age=60", `ETag: "v1"`, "Last-Modified: Mon, 02 Jan 2006 15:04:05 GMT", "Content-Type: text/plain")
	s.want(get("/a"), flow.CacheMiss, 200, "0123456789")
	v := ask("HEAD", "/a")
	if s.want(v, flow.CacheHit, 200, ""); v.length != 10 {
		t.Errorf("HEAD announces %d bytes", v.length)
	}
	for _, c := range []struct {
		fields []string
		status int
		body   string
	}{
		{[]string{`If-None-Match: "v1"`}, 304, ""},
		{[]string{`If-None-Match: W/"v0", W/"v1"`}, 304, ""},
		{[]string{`If-None-Match: *`}, 304, ""},
		{[]string{`If-None-Match: "v2"`, "If-Modified-Since: Mon, 02 Jan 2026 15:04:05 GMT"}, 200, "0123456789"},
		{[]string{"If-Modified-Since: Mon, 02 Jan 2006 15:04:05 GMT"}, 304, ""},
		{[]string{"If-Modified-Since: Mon, 02 Jan 2006 15:04:04 GMT"}, 200, "0123456789"},
		{[]string{"Range: bytes=2-4"}, 206, "234"},
		{[]string{"Range: bytes=7-"}, 206, "789"},
		{[]string{"Range: bytes=-2"}, 206, "89"},
		{[]string{"Range: bytes=10-"}, 416, ""},
		{[]string{"Range: bytes=1-2,4-5"}, 200, "0123456789"},
		{[]string{"Range: bytes=2-4", `If-Range: "v1"`}, 206, "234"},
		{[]string{"Range: bytes=2-4", `If-Range: W/"v1"`}, 200, "0123456789"},
	} {
		s.want(get("/a", c.fields...), flow.CacheHit, c.status, c.body)
	}
	if s.times() != 1 {
		t.Errorf("the origin was asked %d times", s.times())
	}
}

func TestAStaleAnswerIsValidated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, "one", "Cache-Control: max-age=10", `ETag: "v1"`, "X-Old: kept", "X-New: old")
		s.want(get("/a"), flow.CacheMiss, 200, "one")
		time.Sleep(11 * time.Second)
		s.says(304, "", "Cache-Control: max-age=20", `ETag: "v1"`, "X-New: new")
		v := get("/a", `If-None-Match: "other"`)
		s.want(v, flow.CacheValidated, 200, "one")
		if got := s.asked[1].Header.Get("If-None-Match"); got != `"v1"` {
			t.Errorf("the origin was asked with If-None-Match %q", got)
		}
		if v.header.Get("X-Old") != "kept" || v.header.Get("X-New") != "new" {
			t.Errorf("header %v", v.header)
		}
		time.Sleep(19 * time.Second)
		s.want(get("/a"), flow.CacheHit, 200, "one")
		time.Sleep(2 * time.Second)
		s.says(200, "two", "Cache-Control: max-age=10", `ETag: "v2"`)
		s.want(get("/a"), flow.CacheMiss, 200, "two")
		s.want(get("/a"), flow.CacheHit, 200, "two")
	})
}

func TestVariants(t *testing.T) {
	s := newSite(t, "")
	s.answer = func(ex wire.Exchange) flow.Reason {
		lang := ex.Request().Header.Get("Accept-Language")
		ex.Respond(200, headerOf("Cache-Control: max-age=60", "Vary: Accept-Language"), int64(len(lang)))
		ex.Write([]byte(lang))
		ex.End(flow.Header{})
		return ""
	}
	s.want(get("/a", "Accept-Language: de"), flow.CacheMiss, 200, "de")
	s.want(get("/a", "Accept-Language: fr"), flow.CacheMiss, 200, "fr")
	s.want(get("/a", "Accept-Language: de"), flow.CacheHit, 200, "de")
	s.want(get("/a", "Accept-Language: fr"), flow.CacheHit, 200, "fr")
	s.want(get("/a"), flow.CacheMiss, 200, "")
	s.want(get("/a"), flow.CacheHit, 200, "")
}

func TestRequestDirectives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, "one", "Cache-Control: max-age=60")
		s.want(get("/a"), flow.CacheMiss, 200, "one")
		time.Sleep(10 * time.Second)
		s.want(get("/a", "Cache-Control: max-age=20"), flow.CacheHit, 200, "one")
		s.want(get("/a", "Cache-Control: min-fresh=40"), flow.CacheHit, 200, "one")
		s.says(200, "two", "Cache-Control: max-age=60")
		s.want(get("/a", "Cache-Control: no-cache"), flow.CacheMiss, 200, "two")
		time.Sleep(10 * time.Second)
		s.want(get("/a", "Cache-Control: max-age=5"), flow.CacheMiss, 200, "two")
		time.Sleep(10 * time.Second)
		s.want(get("/a", "Cache-Control: min-fresh=55"), flow.CacheMiss, 200, "two")
		time.Sleep(70 * time.Second)
		s.want(get("/a", "Cache-Control: max-stale=20"), flow.CacheStale, 200, "two")
		if v := get("/b", "Cache-Control: only-if-cached"); s.serve(v).Status != 504 || v.status != 504 {
			t.Errorf("only-if-cached was answered %d", v.status)
		}
	})
}

func TestWhileHotAVisitorCannotDemandTheOrigin(t *testing.T) {
	s := newSite(t, "one", "Cache-Control: max-age=60")
	s.want(get("/a"), flow.CacheMiss, 200, "one")
	s.hot = true
	s.want(get("/a", "Cache-Control: no-cache"), flow.CacheHit, 200, "one")
}

func TestStaleWhileRevalidate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, "one", "Cache-Control: max-age=10, stale-while-revalidate=30")
		s.want(get("/a"), flow.CacheMiss, 200, "one")
		time.Sleep(15 * time.Second)
		s.says(200, "two", "Cache-Control: max-age=10, stale-while-revalidate=30")
		s.want(get("/a"), flow.CacheStale, 200, "one")
		synctest.Wait()
		s.want(get("/a"), flow.CacheHit, 200, "two")
		time.Sleep(41 * time.Second)
		s.want(get("/a"), flow.CacheMiss, 200, "two")
		if s.times() != 3 {
			t.Errorf("the origin was asked %d times", s.times())
		}
	})
}

func TestAStaleAnswerBeatsARefusal(t *testing.T) {
	const overload = flow.Reason("origin.some-overload")
	for _, c := range []struct {
		control string
		reason  flow.Reason
		status  int // that the origin gives, 0 for none
		stale   bool
	}{
		{"max-age=10", flow.OriginDown, 0, true},
		{"max-age=10", flow.OriginTimeout, 0, true},
		{"max-age=10", overload, 0, true},
		{"max-age=10", flow.RequestMalformed, 0, false},
		{"max-age=10, must-revalidate", flow.OriginDown, 0, false},
		{"max-age=10, proxy-revalidate", flow.OriginDown, 0, false},
		{"s-maxage=10", flow.OriginDown, 0, false},
		{"max-age=10, stale-if-error=5", flow.OriginDown, 0, false},
		{"max-age=10", "", 503, false},
		{"max-age=10, stale-if-error=60", "", 503, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t, "one", "Cache-Control: "+c.control)
			s.want(get("/a"), flow.CacheMiss, 200, "one")
			time.Sleep(20 * time.Second)
			if s.fails(c.reason); c.status != 0 {
				s.says(c.status, "sorry")
			}
			o := s.serve(get("/a"))
			if got := o.Cache == flow.CacheStale && o.Status == 200 && o.End == ""; got != c.stale {
				t.Errorf("%s after %s %d: answered %d by %q, ended %q", c.control, c.reason, c.status, o.Status, o.Cache, o.End)
			}
			if !c.stale && c.reason != "" && (o.Status != 0 || o.End != c.reason) {
				t.Errorf("%s after %s: status %d, ended %q", c.control, c.reason, o.Status, o.End)
			}
		})
	}
}

func TestUnsafeMethodsInvalidate(t *testing.T) {
	s := newSite(t, "one", "Cache-Control: max-age=60")
	s.want(get("/a"), flow.CacheMiss, 200, "one")
	s.says(500, "no")
	s.serve(ask("POST", "/a"))
	s.want(get("/a"), flow.CacheHit, 200, "one")
	s.says(200, "two", "Cache-Control: max-age=60")
	s.serve(ask("POST", "/a"))
	s.want(get("/a"), flow.CacheMiss, 200, "two")
}

func TestCookiesAndCredentials(t *testing.T) {
	const cookie, auth = "Cookie: session=1", "Authorization: Basic eA=="
	for _, c := range []struct {
		fields []string // of the answer
		ask    string
		hit    bool
	}{
		{[]string{"Cache-Control: max-age=60", "Content-Type: text/html"}, cookie, false},
		{[]string{"Cache-Control: max-age=60", "Content-Type: image/png"}, cookie, true},
		{[]string{"Cache-Control: public, max-age=60", "Content-Type: text/html"}, cookie, true},
		{[]string{"Cache-Control: s-maxage=60", "Content-Type: text/html"}, cookie, true},
		{[]string{"Cache-Control: max-age=60", "Content-Type: text/html"}, auth, false},
		{[]string{"Cache-Control: max-age=60", "Content-Type: image/png"}, auth, false},
		{[]string{"Cache-Control: public, max-age=60"}, auth, true},
		{[]string{"Cache-Control: max-age=60, must-revalidate"}, auth, true},
	} {
		for _, first := range []string{"X-Nothing: 1", c.ask} {
			s := newSite(t, "body", c.fields...)
			s.serve(get("/a", first))
			if o := s.serve(get("/a", c.ask)); (o.Cache == flow.CacheHit) != c.hit {
				t.Errorf("%v, first asked with %s, then with %s: %q", c.fields, first, c.ask, o.Cache)
			}
		}
	}
	s := newSite(t, "body", "Cache-Control: max-age=60", "Content-Type: text/html")
	s.rules.AnyCookies = true
	s.serve(get("/a", cookie))
	s.want(get("/a", "Cookie: another=2"), flow.CacheHit, 200, "body")
}

func TestRules(t *testing.T) {
	s := newSite(t, "body")
	s.rules.TTL = time.Minute
	s.want(get("/a"), flow.CacheMiss, 200, "body")
	s.want(get("/a"), flow.CacheHit, 200, "body")
	s.says(200, "mine", "Cache-Control: private")
	s.want(get("/b"), flow.CachePass, 200, "mine")
	s.want(get("/b"), flow.CachePass, 200, "mine")

	s = newSite(t, "body", "Cache-Control: max-age=60")
	s.rules.IgnoreQuery = []string{"utm_*", "fbclid"}
	s.want(get("/a?utm_source=x&page=2"), flow.CacheMiss, 200, "body")
	s.want(get("/a?page=2&fbclid=123"), flow.CacheHit, 200, "body")
	s.want(get("/a?fbclid=9"), flow.CacheMiss, 200, "body")
	s.want(get("/a"), flow.CacheHit, 200, "body")
	if s.asked[0].Target != "/a?page=2" || s.asked[1].Target != "/a" {
		t.Errorf("the origin was asked for %q and %q", s.asked[0].Target, s.asked[1].Target)
	}

	s.rules = nil
	if o := s.serve(get("/a")); o.Cache != "" {
		t.Errorf("switched off, it answered by %q", o.Cache)
	}
}

func TestAFetchThatNobodyCanJoinIsStoredToo(t *testing.T) {
	s := newSite(t, "body", "Cache-Control: max-age=60", `ETag: "v1"`)
	v := get("/a", `If-None-Match: "v0"`)
	s.want(v, flow.CacheMiss, 200, "body")
	if got := s.asked[0].Header.Get("If-None-Match"); got != `"v0"` || v.header.Get("Cache-Status") != "Stormdoor; fwd=uri-miss; stored" {
		t.Errorf("the origin was asked with If-None-Match %q; Cache-Status %q", got, v.header.Get("Cache-Status"))
	}
	s.want(get("/a"), flow.CacheHit, 200, "body")

	large := strings.Repeat("x", 2<<20)
	s.answer = func(ex wire.Exchange) flow.Reason {
		ex.Respond(200, headerOf("Cache-Control: max-age=60"), -1)
		for range 4 {
			ex.Write([]byte(large))
		}
		ex.End(flow.Header{})
		return ""
	}
	s.want(get("/b", `If-None-Match: "v0"`), flow.CacheMiss, 200, strings.Repeat(large, 4))
	if n, _ := s.cache.store.usage(); n != 1 || s.cache.filling.Load() != 0 {
		t.Errorf("%d resources are stored, %d bytes under way", n, s.cache.filling.Load())
	}
	s.answer = func(ex wire.Exchange) flow.Reason {
		ex.Respond(200, headerOf("Cache-Control: max-age=60"), 10)
		ex.Write([]byte("part"))
		ex.Abort()
		return flow.OriginBroken
	}
	v = get("/c", `If-None-Match: "v0"`)
	if o := s.serve(v); o.End != flow.OriginBroken || !v.aborted || v.text() != "part" {
		t.Errorf("ended %q, aborted %v, %q", o.End, v.aborted, v.text())
	}
	s.says(200, "whole", "Cache-Control: max-age=60")
	s.want(get("/c"), flow.CacheMiss, 200, "whole")
}

func TestAValidationCanEndTheStoring(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, "one", "Cache-Control: max-age=10", `ETag: "v1"`)
		s.want(get("/a"), flow.CacheMiss, 200, "one")
		time.Sleep(11 * time.Second)
		s.says(304, "", "Cache-Control: private", `ETag: "v1"`)
		s.want(get("/a"), flow.CacheValidated, 200, "one")
		if n, _ := s.cache.store.usage(); n != 0 {
			t.Error("it is still stored")
		}
	})
}
