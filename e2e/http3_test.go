//go:build e2e

package e2e

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"
)

// quic is a client that speaks HTTP/3 and nothing else.
type quic struct{ *http3.Transport }

func newQUIC() quic {
	return quic{&http3.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
}

func (q quic) CloseIdleConnections() { q.Close() }

// startHTTP3 serves a site over TLS and HTTP/3 and returns the address of both. with makes such a policy of another one.
func startHTTP3(t *testing.T, policy string) (d *door, https string, with func(policy string, http3 bool) string) {
	t.Helper()
	https = freeAddr(t)
	with = func(policy string, http3 bool) string {
		p := strings.Replace(policy, "origins:", "tls: {self_signed: true}\n    origins:", 1)
		p = strings.Replace(p, "hosts: ['*']", "hosts: [localhost, 127.0.0.1]", 1)
		return p + fmt.Sprintf("\nlisten: {http: [], https: ['%s'], http3: %v}\n", https, http3)
	}
	return startDoor(t, with(policy, true)), https, with
}

func TestHTTP3PassesWhatNginxServes(t *testing.T) {
	origin, _ := nginx(t)
	up := goOrigin(t, digest)
	_, addr, _ := startHTTP3(t, site(origin)+"    routes: [{path: /up, origins: ['"+up+"']}]\n")
	if out := strings.ToLower(curl(t, "-k", "-I", "https://"+addr+"/")); !strings.Contains(out, "\nalt-svc: h3=\":"+port(addr)+"\"") {
		t.Errorf("HTTP/2 does not tell of HTTP/3: %q", out)
	}
	q := newQUIC()
	defer q.Close()
	client := &http.Client{Transport: q, Timeout: patience}
	ask := func(method, path string, body io.Reader, fields ...string) (*http.Response, string) {
		t.Helper()
		req, err := http.NewRequest(method, "https://"+addr+path, body)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(fields); i += 2 {
			req.Header.Set(fields[i], fields[i+1])
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatalf("%s %s: %v", method, path, err)
		}
		defer res.Body.Close()
		got, err := io.ReadAll(res.Body)
		if err != nil || res.ProtoMajor != 3 {
			t.Errorf("%s %s by %s: %v", method, path, res.Proto, err)
		}
		return res, string(got)
	}
	if res, body := ask("GET", "/", nil); res.StatusCode != 200 || body != "hello from nginx\n" {
		t.Errorf("GET: %d %q", res.StatusCode, body)
	}
	if res, body := ask("HEAD", "/", nil); res.ContentLength != 17 || body != "" {
		t.Errorf("HEAD: %d bytes promised, %q", res.ContentLength, body)
	}
	if res, body := ask("GET", "/ten.bin", nil, "Range", "bytes=1234567-1234576"); res.StatusCode != 206 || body != "7890123456" {
		t.Errorf("range: %d %q", res.StatusCode, body)
	}
	if _, body := ask("GET", "/ten.bin", nil); len(body) != 10_000_000 {
		t.Errorf("10 MB: %d bytes", len(body))
	}
	if res, _ := ask("GET", "/nothing", nil); res.StatusCode != 404 {
		t.Errorf("404: %d", res.StatusCode)
	}
	text := strings.Repeat("stormdoor ", 2<<20/10)
	sum := sha256.Sum256([]byte(text))
	for name, body := range map[string]io.Reader{"of known length": strings.NewReader(text), "of unknown length": io.MultiReader(bytes.NewBufferString(text))} {
		if _, got := ask("PUT", "/up", body); !strings.HasPrefix(got, fmt.Sprintf("%d %s ", len(text), hex.EncodeToString(sum[:8]))) {
			t.Errorf("upload %s: %q", name, got)
		}
	}
}

// TestReloadsUnderHTTP3: visitors by HTTP/3 are unharmed by reloads; once it is switched off nobody is sent there, and the
// rest is still served.
func TestReloadsUnderHTTP3(t *testing.T) {
	one, two := goOrigin(t, says("one")), goOrigin(t, says("two"))
	d, addr, with := startHTTP3(t, site(one))
	v := visitBy(t, "https://"+addr+"/", func() transport { return newQUIC() })
	v.more(t, 50)
	for i := range 4 {
		want, origin := "one", one
		if i%2 == 0 {
			want, origin = "two", two
		}
		v.bodies.Clear()
		d.rewrite(with(site(origin), true))
		d.signal(syscall.SIGHUP)
		await(t, "an answer from "+want, func() bool { _, seen := v.bodies.Load(want); return seen })
	}
	v.more(t, 50)
	v.unharmed(t)
	d.rewrite(with(site(one), false))
	d.signal(syscall.SIGHUP)
	await(t, "the end of Alt-Svc", func() bool {
		return !strings.Contains(strings.ToLower(curl(t, "-k", "-I", "https://"+addr+"/")), "alt-svc")
	})
	q := newQUIC()
	defer q.Close()
	if _, err := read(&http.Client{Transport: q, Timeout: time.Second}, "https://"+addr+"/"); err == nil {
		t.Error("HTTP/3 is switched off, and still served")
	}
}

// TestRulesJudgeHTTP3: a refusal is one, with its reason.
func TestRulesJudgeHTTP3(t *testing.T) {
	_, addr, _ := startHTTP3(t, site(goOrigin(t, hello))+
		"rules: [{name: no-admin, when: path.startsWith('/admin') && proto == 'HTTP/3', then: refuse}]\n")
	q := newQUIC()
	defer q.Close()
	res, err := (&http.Client{Transport: q, Timeout: patience}).Get("https://" + addr + "/admin")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != 403 || res.Header.Get("Stormdoor-Reason") != "rule.match" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
}
