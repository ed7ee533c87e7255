package stormdoor

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestReloadChangesHowLongVisitorsAreWaitedFor: the times of connections that come after it, of HTTP/1.1 and of HTTP/2, and
// not of those that are there.
func TestReloadChangesHowLongVisitorsAreWaitedFor(t *testing.T) {
	site := "sites: [{hosts: ['*'], origins: ['" + upstream(t, ok) + "']TIMES}]"
	r := start(t, strings.Replace(site, "TIMES", "", 1))
	early := dial(t, r, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	answered(t, early)
	if err := r.server.Apply(parse(t, strings.Replace(site, "TIMES", ", timeouts: {head: 100ms, keep_alive: 200ms, min_rate: 1000}", 1)+quiet)); err != nil {
		t.Fatal(err)
	}
	for name, hello := range map[string]string{
		"a head that never ends":  "GET / HT",
		"silence":                 "",
		"a kept connection":       "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"HTTP/2 without requests": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
	} {
		if _, err := io.Copy(io.Discard, dial(t, r, hello)); errors.Is(err, errLate) {
			t.Errorf("%s: not closed by the new times", name)
		}
	}
	if _, err := io.WriteString(early, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answered(t, early)
}

// errLate is what reading from a connection of dial says when nothing has come for less than the default times.
var errLate = errors.New("late")

type patient struct{ net.Conn }

func (p patient) Read(b []byte) (int, error) {
	n, err := p.Conn.Read(b)
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
		err = errLate
	}
	return n, err
}

// dial opens a connection to the door, says hello, and gives up reading after eight seconds.
func dial(t *testing.T, r *running, hello string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(8 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, hello); err != nil {
		t.Fatal(err)
	}
	return patient{c}
}

// answered reads one answer of the origin called ok.
func answered(t *testing.T, c net.Conn) {
	t.Helper()
	var all []byte
	for b := make([]byte, 4096); !strings.HasSuffix(string(all), "from the origin"); {
		n, err := c.Read(b)
		if err != nil {
			t.Fatalf("%v after %q", err, all)
		}
		all = append(all, b[:n]...)
	}
}

// TestReloadBringsTheFirstSiteWithTLS, and takes it away again.
func TestReloadBringsTheFirstSiteWithTLS(t *testing.T) {
	origin, secret := upstream(t, ok), freeTCP(t)
	plain := "sites: [{hosts: ['*'], origins: ['" + origin + "']}]\ndata: " + t.TempDir()
	r := start(t, plain)
	both := strings.Replace(plain, "['*']", "[shop.test], tls: {self_signed: true}", 1) + strings.Replace(quiet, "{http:", "{https: ['"+secret+"'], http:", 1)
	transport := &http.Transport{TLSClientConfig: &tls.Config{ServerName: "shop.test", InsecureSkipVerify: true}, DisableKeepAlives: true}
	ask := func(url string) (int, error) {
		req, err := http.NewRequest(http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = "shop.test"
		res, err := transport.RoundTrip(req)
		if err != nil {
			return 0, err
		}
		defer res.Body.Close()
		_, err = io.Copy(io.Discard, res.Body)
		return res.StatusCode, err
	}
	if err := r.server.Apply(parse(t, both)); err != nil {
		t.Fatal(err)
	}
	if status, err := ask("https://" + secret); status != 200 || err != nil {
		t.Errorf("over TLS: %d, %v", status, err)
	}
	if status, err := ask(r.url); status != 301 {
		t.Errorf("in clear text: %d, %v, want a redirect", status, err)
	}
	if err := r.server.Apply(parse(t, plain+quiet)); err != nil {
		t.Fatal(err)
	}
	if status, err := ask("https://" + secret); err == nil {
		t.Errorf("the last site with TLS is gone: %d", status)
	}
	if res, _ := get(t, r.url); res.StatusCode != 200 {
		t.Errorf("in clear text again: %d", res.StatusCode)
	}
}

func freeTCP(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestReloadChangesTheCache: its size moves, and nothing of what it holds is lost for that.
func TestReloadChangesTheCache(t *testing.T) {
	asked := 0
	site := "sites: [{hosts: ['*'], origins: ['" + upstream(t, func(w http.ResponseWriter, q *http.Request) {
		asked++
		w.Header().Set("Cache-Control", "max-age=60")
		ok(w, q)
	}) + "']}]"
	r := start(t, site)
	fetch(t, r.url)
	if err := r.server.Apply(parse(t, site+"\ncache: {memory: 64MiB, max_object: 1MiB}"+quiet)); err != nil {
		t.Fatal(err)
	}
	if fetch(t, r.url); asked != 1 {
		t.Errorf("the origin was asked %d times, want once", asked)
	}
}

// TestReloadSaysWhatNeedsAHandover and applies nothing then.
func TestReloadSaysWhatNeedsAHandover(t *testing.T) {
	dir, free := t.TempDir(), freeTCP(t)
	text := "sites: [{hosts: ['*'], origins: ['" + upstream(t, ok) + "']}]\ndata: " + dir + "\nlisten: {http: ['127.0.0.1:0', '" + free + "']}\nadmin: {listen: 'off'}"
	r := start(t, strings.Replace(text, "listen: {http: ['127.0.0.1:0', '"+free+"']}\nadmin: {listen: 'off'}", "", 1))
	if err := r.server.Apply(parse(t, text)); err != nil {
		t.Fatal(err)
	}
	for change, want := range map[string]string{
		text + "\nlimit_table: {memory: 2MiB}":  "limit_table.memory",
		strings.Replace(text, dir, dir+"/x", 1): "data",
		strings.Replace(text, ", '"+free+"']}\nadmin: {listen: 'off'}", "]}\nadmin: {listen: '"+free+"'}", 1): "what " + free + " is for (listen.http, now admin.listen)",
	} {
		before := r.door.Policy()
		err := r.server.Apply(parse(t, change))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "kill -USR2") {
			t.Errorf("err = %v, want %q and what to do", err, want)
		}
		if r.door.Policy() != before {
			t.Errorf("%s: applied all the same", want)
		}
	}
}
