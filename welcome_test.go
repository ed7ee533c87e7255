package stormdoor

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"stormdoor/flow"
	"stormdoor/internal/gate/origin/admission"
	"stormdoor/internal/wire"
)

// TestVisitCookieThroughTheDoor: it is set for visitors in good standing, with pages that nobody stores, and only where the operator wants it; and the origin
// and the cache see nothing of it.
func TestVisitCookieThroughTheDoor(t *testing.T) {
	var seen atomic.Value
	origin := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		seen.Store(r.Header.Get("Cookie"))
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		switch r.URL.Path {
		case "/mine":
			w.Header().Set("Cache-Control", "max-age=0, Private")
		case "/stored":
			w.Header().Set("Cache-Control", "max-age=60")
		case "/text":
			w.Header().Set("Content-Type", "text/plain")
		}
		fmt.Fprint(w, r.URL.Path)
	})
	now := time.Now() // the origin has the real time
	d, err := New(parse(t, fmt.Sprintf(`
sites:
  - {name: with, hosts: [with.test], origins: [%q], admission: {visit_cookie: true}}
  - {name: without, hosts: [without.test], origins: [%q]}
data: %q
`, origin, origin, t.TempDir())), Options{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	ask := func(url string, fields ...string) (cookie, cache string) {
		r := httptest.NewRequest("GET", url, nil)
		r.Header.Set("Sec-Fetch-Mode", "navigate")
		if strings.HasPrefix(url, "https:") {
			r.TLS = &tls.ConnectionState{}
		}
		for i := 0; i < len(fields); i += 2 {
			r.Header.Set(fields[i], fields[i+1])
		}
		w := httptest.NewRecorder()
		d.Serve(wire.NewStdExchange(w, r))
		if w.Code != 200 {
			t.Fatalf("%s: status %d", url, w.Code)
		}
		cookie, _, _ = strings.Cut(w.Header().Get("Set-Cookie"), ";")
		return cookie, w.Header().Get("Cache-Status")
	}
	for range 3 {
		for _, url := range []string{"https://with.test/mine", "https://without.test/mine"} {
			if cookie, _ := ask(url); cookie != "" {
				t.Errorf("a stranger is welcomed with %s", cookie)
			}
		}
		now = now.Add(2 * time.Second)
	}
	cookie, _ := ask("https://with.test/mine")
	if value, ok := strings.CutPrefix(cookie, admission.VisitCookie+"="); !ok || admission.ReadVisit(value) == (flow.Visit{}) {
		t.Fatalf("who has been there for a while gets %q", cookie)
	}
	ask("https://with.test/stored")
	for _, c := range []struct {
		name, url string
		fields    []string
	}{
		{"without the operator's wish", "https://without.test/mine", nil},
		{"in clear text", "http://with.test/mine", nil},
		{"with a page that may be stored", "https://with.test/stored?1", nil},
		{"with a page that is stored", "https://with.test/stored", nil},
		{"with what is no page", "https://with.test/text", nil},
		{"with what belongs to a page", "https://with.test/mine", []string{"Sec-Fetch-Mode", "no-cors"}},
		{"again on the same day", "https://with.test/mine", []string{"Cookie", "a=1; " + cookie}},
	} {
		if got, _ := ask(c.url, c.fields...); got != "" {
			t.Errorf("it is set %s", c.name)
		}
	}
	if seen.Load() != "a=1" {
		t.Errorf("the origin has seen the cookies %q", seen.Load())
	}
	if ask("https://with.test/mine", "Cookie", cookie); seen.Load() != "" {
		t.Errorf("the origin has seen the cookies %q", seen.Load())
	}
	// The door's own cookie is no reason to ask the origin anew, nor not to store.
	ask("https://with.test/stored?2", "Cookie", cookie)
	if _, cache := ask("https://with.test/stored?2", "Cookie", cookie); !strings.Contains(cache, "hit") {
		t.Errorf("what was stored for somebody with a visit cookie: %s", cache)
	}
}

func TestPersonalPages(t *testing.T) {
	for fields, want := range map[string]bool{
		"Content-Type: text/html":                                       true,
		"Content-Type: text/html\nCache-Control: no-store":              true,
		"Content-Type: text/html\nCache-Control: max-age=3, private":    true,
		"Content-Type: text/html\nCache-Control: private=\"x\"":         true,
		"Content-Type: text/html\nCache-Control: no-cache":              false,
		"Content-Type: text/html\nCache-Control: max-age=3":             false,
		"Content-Type: text/html\nLast-Modified: yesterday":             false,
		"Content-Type: text/html\nExpires: tomorrow":                    false,
		"Content-Type: application/json\nCache-Control: no-store":       false,
		"Content-Type: text/html\nCache-Control: max-age=3, no-storage": false,
	} {
		var h flow.Header
		for line := range strings.SplitSeq(fields, "\n") {
			name, value, _ := strings.Cut(line, ": ")
			h.Add(name, value)
		}
		if got := personal(h); got != want {
			t.Errorf("%q: %v, want %v", fields, got, want)
		}
	}
}
