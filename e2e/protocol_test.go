//go:build e2e

package e2e

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// fronts are the ways in which a visitor may speak to the door: arguments of curl.
type front struct{ name, version, url string }

// startFronts serves a policy in clear text and over TLS.
func startFronts(t *testing.T, policy string) (*door, []front) {
	t.Helper()
	clear, https := freeAddr(t), freeAddr(t)
	policy = strings.Replace(policy, "origins:", "tls: {self_signed: true, redirect: false}\n    origins:", 1)
	policy = strings.Replace(policy, "hosts: ['*']", "hosts: [localhost]", 1)
	d := startDoor(t, policy+"\nlisten: {http: ['"+clear+"'], https: ['"+https+"']}\n")
	d.addr, d.url = clear, "http://"+clear
	return d, []front{
		{"http1", "--http1.1", "http://localhost:" + port(clear)},
		{"h2c", "--http2-prior-knowledge", "http://localhost:" + port(clear)},
		{"tls1", "--http1.1", "https://localhost:" + port(https)},
		{"h2", "--http2", "https://localhost:" + port(https)},
	}
}

// curl asks by one front. A connection may be to the IPv4 loopback only: nothing listens on the other one.
func (f front) curl(t *testing.T, path string, args ...string) string {
	t.Helper()
	return curl(t, append([]string{"-4", "-k", f.version, f.url + path}, args...)...)
}

func TestEveryFrontPassesWhatNginxServes(t *testing.T) {
	origin, socket := nginx(t)
	for _, behind := range []struct{ name, url string }{{"tcp", origin}, {"unix", socket}} {
		_, fronts := startFronts(t, site(behind.url))
		for _, f := range fronts {
			t.Run(behind.name+"/"+f.name, func(t *testing.T) {
				want := map[string]string{"http1": "1.1", "tls1": "1.1", "h2c": "2", "h2": "2"}[f.name]
				if out := f.curl(t, "/", "-w", "%{http_code} %{http_version}"); out != "hello from nginx\n200 "+want {
					t.Errorf("GET: %q", out)
				}
				if out := f.curl(t, "/", "-I"); !strings.Contains(strings.ToLower(out), "\ncontent-length: 17\r") || strings.Contains(out, "hello") {
					t.Errorf("HEAD: %q", out)
				}
				if out := f.curl(t, "/ten.bin", "-r", "1234567-1234576", "-w", "%{http_code}"); out != "7890123456206" {
					t.Errorf("range: %q", out)
				}
				if out := f.curl(t, "/ten.bin", "-o", "/dev/null", "-w", "%{size_download}"); out != "10000000" {
					t.Errorf("10 MB: %s bytes", out)
				}
				if out := f.curl(t, "/nothing", "-o", "/dev/null", "-w", "%{http_code}"); out != "404" {
					t.Errorf("404: %s", out)
				}
				if out := f.curl(t, "/", "-H", "If-Modified-Since: Thu, 01 Jan 2037 00:00:00 GMT", "-w", "%{http_code} %{size_download}"); out != "304 0" {
					t.Errorf("conditional: %s", out)
				}
				if f.name == "h2c" {
					return // curl 7.88 cannot use such a connection twice, with any server; the load tests do
				}
				if out := f.curl(t, "/", "-o", "/dev/null", "-o", "/dev/null", f.url+"/ten.bin", "-w", "%{num_connects} "); out != "1 0 " {
					t.Errorf("two requests opened connections: %s", out)
				}
			})
		}
	}
}

func TestHAProxyOriginSeesTheVisitor(t *testing.T) {
	_, fronts := startFronts(t, site(haproxy(t)))
	for _, f := range fronts {
		out := strings.ToLower(f.curl(t, "/", "-i", "-H", "X-Forwarded-For: 203.0.113.9"))
		if !strings.HasSuffix(out, "hello from haproxy") || !strings.Contains(out, "\nx-seen: 127.0.0.1\r") {
			t.Errorf("%s: %q", f.name, out)
		}
	}
}

// digest answers with the size and the sum of what was sent.
func digest(w http.ResponseWriter, r *http.Request) {
	h := sha256.New()
	n, err := io.Copy(h, r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	fmt.Fprintf(w, "%d %s %d %v", n, hex.EncodeToString(h.Sum(nil)[:8]), r.ContentLength, r.TransferEncoding)
}

func TestUploadsArriveWhole(t *testing.T) {
	_, fronts := startFronts(t, site(goOrigin(t, digest)))
	text := strings.Repeat("stormdoor ", 2<<20/10)
	sum := sha256.Sum256([]byte(text))
	want := fmt.Sprintf("%d %s ", len(text), hex.EncodeToString(sum[:8]))
	file := write(t, "upload", text)
	for _, f := range fronts {
		if out := f.curl(t, "/", "-T", file, "-H", "Expect: 100-continue"); out != want+fmt.Sprintf("%d []", len(text)) {
			t.Errorf("%s, with Expect: %q, want %q", f.name, out, want)
		}
		if out := f.curl(t, "/", "-T", file, "-H", "Expect:"); out != want+fmt.Sprintf("%d []", len(text)) {
			t.Errorf("%s: %q, want %q", f.name, out, want)
		}
		if f.version == "--http1.1" {
			if out := f.curl(t, "/", "-T", file, "-H", "Transfer-Encoding: chunked"); out != want+"-1 [chunked]" {
				t.Errorf("%s, chunked: %q, want %q", f.name, out, want)
			}
		}
	}
}

func TestContinueIsSaidOnlyWhenTheBodyIsWanted(t *testing.T) {
	refuse := site(goOrigin(t, digest)) + "    max_body: 1MiB\n"
	d := startDoor(t, refuse)
	big, small := write(t, "big", strings.Repeat("x", 2<<20)), write(t, "small", strings.Repeat("x", 1<<20))
	out := curl(t, "-i", "--expect100-timeout", "20", "-H", "Expect: 100-continue", "-T", small, d.url)
	if !strings.HasPrefix(out, "HTTP/1.1 100 Continue\r\n") || !strings.Contains(out, "HTTP/1.1 200 OK\r\n") {
		t.Errorf("a body that fits: %q", out)
	}
	out = curl(t, "-i", "--expect100-timeout", "20", "-H", "Expect: 100-continue", "-T", big, d.url, "-w", "%{size_upload}")
	if !strings.HasPrefix(out, "HTTP/1.1 413 ") || !strings.HasSuffix(out, "0") {
		t.Errorf("a body that does not fit: %q", out)
	}
}

func TestEarlyHintsPass(t *testing.T) {
	_, fronts := startFronts(t, site(goOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		fmt.Fprint(w, "page")
	})))
	for _, f := range fronts {
		out := strings.ToLower(f.curl(t, "/", "-i"))
		head, rest, _ := strings.Cut(out, "\r\n\r\n")
		if !strings.Contains(head, " 103") || !strings.Contains(head, "\nlink: </style.css>") || !strings.Contains(rest, " 200") || !strings.HasSuffix(rest, "page") {
			t.Errorf("%s: %q", f.name, out)
		}
	}
}

func TestEventsArriveAtOnce(t *testing.T) {
	seen := make(chan struct{})
	d := startDoor(t, site(goOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 5 {
			fmt.Fprintf(w, "data: %d\n\n", i)
			http.NewResponseController(w).Flush()
			select {
			case <-seen: // the next one only when this one has got through
			case <-r.Context().Done():
				return
			}
		}
	})))
	client := http.Client{Timeout: patience}
	res, err := client.Get(d.url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	for i := range 5 {
		if !lines.Scan() || lines.Text() != fmt.Sprintf("data: %d", i) || !lines.Scan() {
			t.Fatalf("event %d: %q, %v", i, lines.Text(), lines.Err())
		}
		seen <- struct{}{}
	}
}

const (
	mega      = 1_000_000
	allowance = 150 << 20 // bytes of memory, for any traffic
)

// endless writes n megabytes and counts them.
func endless(n int, sent *atomic.Int64) http.HandlerFunc {
	block := make([]byte, mega)
	return func(w http.ResponseWriter, r *http.Request) {
		for range n {
			if _, err := w.Write(block); err != nil {
				return
			}
			sent.Add(mega)
		}
	}
}

func TestLargeBodiesAreStreamedInBoundedMemory(t *testing.T) {
	down, up := goOrigin(t, endless(200, new(atomic.Int64))), goOrigin(t, digest)
	d, fronts := startFronts(t, site(down)+"    routes: [{path: /up, origins: ['"+up+"']}]\n")
	file := write(t, "upload", strings.Repeat("0123456789", 5*mega))
	for _, f := range []front{fronts[0], fronts[3]} {
		if out := f.curl(t, "/", "-o", "/dev/null", "-w", "%{http_code} %{size_download}"); out != "200 200000000" {
			t.Errorf("%s: download: %s", f.name, out)
		}
		if out := f.curl(t, "/up", "-T", file, "-H", "Expect:"); !strings.HasPrefix(out, "50000000 ") {
			t.Errorf("%s: upload: %s", f.name, out)
		}
	}
	if n := d.peakMemory(); n > allowance {
		t.Errorf("the door took %d MB of memory", n>>20)
	}
}

// TestAVisitorWhoDoesNotReadHoldsTheOriginBack: nothing is read from an origin before the visitor has taken what came before.
func TestAVisitorWhoDoesNotReadHoldsTheOriginBack(t *testing.T) {
	var sent atomic.Int64
	d := startDoor(t, site(goOrigin(t, endless(200, &sent))))
	client := http.Client{Timeout: patience}
	res, err := client.Get(d.url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	last, since := sent.Load(), time.Now()
	await(t, "a still stream", func() bool {
		if n := sent.Load(); n != last {
			last, since = n, time.Now()
		}
		return time.Since(since) > 300*time.Millisecond
	})
	if last > 60*mega {
		t.Errorf("%d MB were taken from the origin for a visitor who reads nothing", last/mega)
	}
	if n, err := io.Copy(io.Discard, res.Body); err != nil || n != 200*mega {
		t.Errorf("then %d bytes came: %v", n, err)
	}
	if n := d.peakMemory(); n > allowance {
		t.Errorf("the door took %d MB of memory", n>>20)
	}
}
