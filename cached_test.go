package stormdoor

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"stormdoor/flow"
)

// fetch asks a door and returns what came.
func fetch(t *testing.T, url string, fields ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range fields {
		if name, value, ok := strings.Cut(f, ": "); ok {
			req.Header.Set(name, value)
			if name == "Host" {
				req.Host = value
			}
		}
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

func TestCacheThroughTheDoor(t *testing.T) {
	var asked atomic.Int64
	origin := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		n := asked.Add(1)
		if strings.HasPrefix(r.URL.Path, "/page") {
			w.Header().Set("Cache-Control", "max-age=60")
		}
		fmt.Fprintf(w, "answer %d", n)
	})
	r := start(t, fmt.Sprintf(`
sites:
  - hosts: ["*"]
    origins: [%q]
    routes:
      - {path: "/page/off", cache: {off: true}}
      - {path: "/ttl", cache: {ttl: 1m}}`, origin))
	for _, c := range []struct {
		path, field, body string
	}{
		{"/silent", "", "answer 1"}, {"/silent", "", "answer 2"},
		{"/page", "", "answer 3"}, {"/page", "", "answer 3"},
		{"/page", "Cookie: me=1", "answer 4"}, {"/page", "X-Forwarded-Host: evil.example", "answer 5"}, {"/page", "", "answer 3"},
		{"/page/off", "", "answer 6"}, {"/page/off", "", "answer 7"},
		{"/ttl", "", "answer 8"}, {"/ttl", "", "answer 8"},
	} {
		if _, body := fetch(t, r.url+c.path, c.field); body != c.body {
			t.Errorf("%s with %q: %q, want %q", c.path, c.field, body, c.body)
		}
	}
	res, _ := fetch(t, r.url+"/page")
	if got := res.Header.Get("Cache-Status"); !strings.HasPrefix(got, "Stormdoor; hit; ttl=") {
		t.Errorf("Cache-Status: %s", got)
	}
	if res, _ := fetch(t, r.url+"/silent"); res.Header.Get("Cache-Status") != "" || res.Header.Get("Age") != "" {
		t.Errorf("an answer that the cache has nothing to do with says %v", res.Header)
	}
	r.stop() // when the last request has been counted
	req := httptest.NewRequest("GET", "/metrics", nil)
	req.Host = "localhost"
	w := httptest.NewRecorder()
	r.door.Admin().ServeHTTP(w, req)
	for _, want := range []string{`{result="hit",site="*"} 4`, `{result="miss",site="*"} 3`, `{result="pass",site="*"} 4`} {
		if want = "stormdoor_cache_requests_total" + want; !strings.Contains(w.Body.String(), want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
}

func TestPurgeThroughTheAdminListener(t *testing.T) {
	var asked atomic.Int64
	origin := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Cache-Tag", "news")
		fmt.Fprintf(w, "answer %d", asked.Add(1))
	})
	r := start(t, fmt.Sprintf("sites: [{hosts: ['*'], origins: [%q]}]", origin))
	purge := func(body string, fields ...string) (int, string) {
		req := httptest.NewRequest("POST", "/purge", strings.NewReader(body))
		req.Host = "localhost"
		req.Header.Set("Content-Type", "application/json")
		for _, f := range fields {
			name, value, _ := strings.Cut(f, ": ")
			req.Header.Set(name, value)
		}
		w := httptest.NewRecorder()
		r.door.Admin().ServeHTTP(w, req)
		return w.Code, strings.TrimSpace(w.Body.String())
	}
	fetch(t, r.url+"/a")
	for _, c := range []struct {
		body   string
		field  string
		status int
	}{
		{`{"all":true}`, "Content-Type: text/plain", 415}, {`{"all":true}`, "Origin: https://evil.example", 415},
		{`{}`, "X: y", 400}, {`{"all":true,"tag":"x"}`, "X: y", 400}, {`{"url":"/a"}`, "X: y", 400}, {`{"everything":true}`, "X: y", 400}, {`no`, "X: y", 400},
	} {
		if status, said := purge(c.body, c.field); status != c.status {
			t.Errorf("%s with %s: %d %s", c.body, c.field, status, said)
		}
	}
	if _, body := fetch(t, r.url+"/a"); body != "answer 1" {
		t.Errorf("a purge that was refused purged: %s", body)
	}
	for i, c := range []struct{ body, said string }{
		{fmt.Sprintf(`{"url":"%s/a"}`, r.url), `{"purged":1}`}, {fmt.Sprintf(`{"prefix":"%s/"}`, r.url), `{"purged":1}`},
		{`{"tag":"news"}`, `{"purged":1}`}, {`{"all":true}`, `{"purged":1}`},
	} {
		if status, said := purge(c.body); status != 200 || said != c.said {
			t.Errorf("%s: %d %s", c.body, status, said)
		}
		if _, body := fetch(t, r.url+"/a"); body != fmt.Sprintf("answer %d", i+2) {
			t.Errorf("after %s: %s", c.body, body)
		}
	}
}

func TestExplainTellsOfTheCache(t *testing.T) {
	d, err := New(parse(t, "sites: [{hosts: [shop.example], origins: ['http://127.0.0.1:1'], routes: [{path: /off, cache: {off: true}}]}]"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, c := range []struct {
		method, path, field, want string
	}{
		{"GET", "/", "X: y", "asked"}, {"GET", "/off", "X: y", "off"}, {"POST", "/", "X: y", "not asked"},
		{"GET", "/", "Accept: text/event-stream", "not asked"}, {"GET", "/", "Cookie: a=b", "asked; what is stored answers a request with cookies"},
	} {
		name, value, _ := strings.Cut(c.field, ": ")
		x, err := d.Explain(context.Background(), Question{URL: "http://shop.example" + c.path, Method: c.method, Header: []flow.Field{{Name: name, Value: value}}})
		if err != nil || !strings.HasPrefix(x.Cache, c.want) {
			t.Errorf("%v: %v: %q", c, err, x.Cache)
		}
	}
}

func TestTheCacheOutlivesARestartOnDisk(t *testing.T) {
	var asked atomic.Int64
	origin := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=3600")
		fmt.Fprintf(w, "answer %d", asked.Add(1))
	})
	text := fmt.Sprintf("cache: {disk: {path: %q}}\nsites: [{hosts: ['*'], origins: [%q]}]", filepath.Join(t.TempDir(), "cache"), origin)
	r := start(t, text)
	opened := func() bool { return r.door.cache.Stats().Disk.Ready }
	wait := func() {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); !opened(); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the disk is not used")
			}
		}
	}
	wait()
	fetch(t, r.url+"/a", "Host: shop.example")
	fetch(t, r.url+"/a", "Host: shop.example")
	r.stop()
	r = start(t, text)
	wait()
	res, body := fetch(t, r.url+"/a", "Host: shop.example")
	if body != "answer 1" || !strings.HasPrefix(res.Header.Get("Cache-Status"), "Stormdoor; hit") {
		t.Errorf("%q with %q", body, res.Header.Get("Cache-Status"))
	}
	r.stop()
}
