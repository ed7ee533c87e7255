package stormdoor

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// What is kept back is stored nowhere, and what is only counted comes whole.
func TestALeakIsNeitherSentNorStored(t *testing.T) {
	var leaks atomic.Bool
	var asked atomic.Int64
	leaks.Store(true)
	origin := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Content-Type", "text/html")
		if leaks.Load() {
			_, _ = w.Write([]byte("<title>Index of /files</title><h1>Index of /files</h1>"))
			return
		}
		_, _ = w.Write([]byte("<h1>Welcome</h1>"))
	})
	r := start(t, strings.ReplaceAll(`
sites: [{hosts: ['*'], origins: ['ORIGIN'], routes: [{name: open, path: "/open/*", leaks: count}]}]
waf: {leaks: block}
`, "ORIGIN", origin))
	if res, body := fetch(t, r.url+"/files/"); res.StatusCode != 502 || strings.Contains(body, "Index of") {
		t.Errorf("block: %d %q", res.StatusCode, body)
	}
	if res, body := fetch(t, r.url+"/open/"); res.StatusCode != 200 || !strings.Contains(body, "Index of") {
		t.Errorf("count: %d %q", res.StatusCode, body)
	}
	leaks.Store(false)
	if res, body := fetch(t, r.url+"/files/"); res.StatusCode != 200 || !strings.Contains(body, "Welcome") {
		t.Errorf("afterwards: %d %q", res.StatusCode, body)
	}
	if n := asked.Load(); n != 3 {
		t.Errorf("the origin was asked %d times", n)
	}
}
