//go:build e2e

package e2e

import (
	"context"
	"errors"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// pause is how long each load runs.
const pause = "2"

func TestNoRequestFailsUnderH2load(t *testing.T) {
	origin, _ := nginx(t)
	d, fronts := startFronts(t, site(origin))
	tool := program(t, "h2load")
	for _, f := range fronts {
		args := []string{"-t", "1", "-c", "20", "-m", "10", "-D", pause, f.url + "/"}
		if f.version == "--http1.1" {
			args = append([]string{"--h1"}, args...)
		}
		out, errs, status := command(t, tool, args...)
		done := figure(out, `(\d+) succeeded`)
		if status != 0 || done < 100 || figure(out, `(\d+) failed`) != 0 || figure(out, `(\d+) errored`) != 0 || figure(out, `(\d+) timeout`) != 0 ||
			figure(out, `(\d+) 4xx`) != 0 || figure(out, `(\d+) 5xx`) != 0 {
			t.Errorf("%s: exit status %d\n%s%s", f.name, status, out, errs)
		}
		t.Logf("%s: %d requests in %s s", f.name, done, pause)
	}
	if n := d.peakMemory(); n > allowance {
		t.Errorf("the door took %d MB of memory", n>>20)
	}
}

func TestNoRequestFailsUnderWrk(t *testing.T) {
	for name, origin := range map[string]string{"haproxy": haproxy(t), "go": goOrigin(t, hello)} {
		d := startDoor(t, site(origin))
		for _, connections := range []string{"1", "64"} {
			out, errs, status := command(t, program(t, "wrk"), "-t1", "-c", connections, "-d", pause, d.url+"/")
			done := figure(out, `(\d+) requests in`)
			if status != 0 || done < 100 || strings.Contains(out, "Non-2xx") || strings.Contains(out, "Socket errors") {
				t.Errorf("%s: exit status %d\n%s%s", name, status, out, errs)
			}
			t.Logf("%s, %s connections: %d requests in %s s", name, connections, done, pause)
		}
	}
}

// figure finds a number in a tool's report; -1 stands for none.
func figure(report, pattern string) int {
	m := regexp.MustCompile(pattern).FindStringSubmatch(report)
	if m == nil {
		return -1
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		return -1
	}
	return n
}

// visitors send requests without a pause until they are stopped, each on its own connections.
type visitors struct {
	answers, failures atomic.Int64
	first             atomic.Pointer[error] // the first failure
	bodies            sync.Map              // every body that came: true
	end               func()
}

// visit starts visitors. With fresh, each request opens a connection of its own, so that a refused one is seen.
func visit(t testing.TB, url string, fresh bool) *visitors {
	return visitBy(t, url, func() transport { return &http.Transport{DisableKeepAlives: fresh} })
}

// visitByHTTP2 starts visitors who keep a connection and speak HTTP/2 in clear text.
func visitByHTTP2(t testing.TB, url string) *visitors {
	return visitBy(t, url, func() transport {
		p := new(http.Protocols)
		p.SetUnencryptedHTTP2(true)
		return &http.Transport{Protocols: p}
	})
}

// transport is a client of one version of HTTP.
type transport interface {
	http.RoundTripper
	CloseIdleConnections()
}

func visitBy(t testing.TB, url string, newTransport func() transport) *visitors {
	v := &visitors{}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for range 4 {
		running.Go(func() {
			transport := newTransport()
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport, Timeout: patience}
			for ctx.Err() == nil {
				v.ask(client, url)
			}
		})
	}
	var once sync.Once
	v.end = func() { once.Do(func() { cancel(); running.Wait() }) }
	t.Cleanup(v.end)
	return v
}

func (v *visitors) ask(client *http.Client, url string) {
	body, err := read(client, url)
	if err != nil {
		v.failures.Add(1)
		v.first.CompareAndSwap(nil, &err)
		return
	}
	v.answers.Add(1)
	v.bodies.Store(body, true)
}

func read(client *http.Client, url string) (string, error) {
	res, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = errors.New(res.Status + ": " + string(body))
	}
	return string(body), err
}

// more waits until the visitors have got n more answers.
func (v *visitors) more(t testing.TB, n int64) {
	t.Helper()
	want := v.answers.Load() + n
	await(t, "more answers", func() bool { return v.answers.Load() >= want || v.failures.Load() > 0 })
}

// unharmed ends the visits and requires that none has failed.
func (v *visitors) unharmed(t testing.TB) {
	t.Helper()
	v.end()
	if n := v.failures.Load(); n > 0 {
		t.Errorf("%d of %d requests failed, the first: %v", n, n+v.answers.Load(), *v.first.Load())
	}
}
