//go:build e2e

package e2e

import (
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// holding is what a door could leak.
type holding struct{ goroutines, files, connections, requests int }

// slack is by how much a door may hold more than before: idle connections to origins, threads' files.
const slack = 24

// holds is what the door holds now.
func (d *door) holds(t testing.TB) holding {
	t.Helper()
	status, metrics, err := fetch("http://" + d.admin + "/metrics")
	if status != 200 || err != nil {
		t.Fatalf("metrics: %d, %v", status, err)
	}
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", d.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	figure := func(name string) int {
		m := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindStringSubmatch(metrics)
		if m == nil {
			t.Fatalf("no metric %s", name)
		}
		x, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		return int(x)
	}
	return holding{figure("go_goroutines"), len(files), figure("stormdoor_connections"), figure("stormdoor_requests_in_flight")}
}

// givesBack waits until the door holds no more than before, now that every visitor has left.
func (d *door) givesBack(t testing.TB, before holding) {
	t.Helper()
	var now holding
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if now = d.holds(t); now.goroutines <= before.goroutines+slack && now.files <= before.files+slack && now.connections == 0 && now.requests == 0 {
			return
		}
	}
	t.Errorf("the door holds %+v, and before it was %+v", now, before)
}

// leaksNothing makes many more requests than a door may hold anything of afterwards, whatever their answers are, and waits
// until it holds no more than before. A few are made at once: the door keeps as many idle connections to an origin.
func (d *door) leaksNothing(t testing.TB, before holding) {
	t.Helper()
	var all sync.WaitGroup
	for range slack / 4 {
		all.Go(func() {
			for range 16 {
				_, _, _ = fetch(d.url)
			}
		})
	}
	all.Wait()
	d.givesBack(t, before)
}

// TestClientsThatLeaveAtAnyMoment: at each byte of a request and at any time of its answer, politely or by a reset.
func TestClientsThatLeaveAtAnyMoment(t *testing.T) {
	origin, _ := nginx(t)
	up := goOrigin(t, digest)
	d, fronts := startFronts(t, site(origin)+"    routes: [{path: /up, origins: ['"+up+"']}]\nlimits: [{name: slow, paths: [/held], rate: 1/h, burst: 1, over: throttle, max_wait: 10m}]\n")
	base := d.holds(t)
	https := strings.TrimPrefix(fronts[2].url, "https://localhost")
	requests := []string{
		"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"GET /ten.bin HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"GET /held HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"PUT /up HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 100_000),
		"PUT /up HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nhello\r\n0\r\n\r\n",
		h2Get(t, "/"), h2Get(t, "/ten.bin"), h2Get(t, "/held"),
	}
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(worker)))
			for n := range 60 {
				leave(t, d.addr, "127.0.0.1"+https, requests[(worker+n)%len(requests)], r)
			}
		})
	}
	all.Wait()
	if out := fronts[0].curl(t, "/"); out != "hello from nginx\n" {
		t.Errorf("the door answers %q", out)
	}
	d.givesBack(t, base)
	if n := d.peakMemory(); n > allowance {
		t.Errorf("the door took %d MB of memory", n>>20)
	}
}

// leave sends a part of a request, reads a part of the answer, and goes.
func leave(t *testing.T, clear, https, request string, r *rand.Rand) {
	raw, err := net.Dial("tcp", clear)
	c := raw
	if r.IntN(3) == 0 && err == nil {
		raw.Close()
		if raw, err = net.Dial("tcp", https); err == nil {
			protocols := []string{"http/1.1"}
			if strings.HasPrefix(request, "PRI") {
				protocols = []string{"h2"}
			}
			c = tls.Client(raw, &tls.Config{InsecureSkipVerify: true, ServerName: "localhost", NextProtos: protocols})
		}
	}
	if err != nil {
		t.Error(err)
		return
	}
	defer raw.Close()
	_ = raw.SetDeadline(time.Now().Add(50 * time.Millisecond)) // long enough for some answers, and too short for others
	part := len(request)
	if r.IntN(2) == 0 {
		part = r.IntN(part)
	}
	_, _ = io.WriteString(c, request[:part])
	if part == len(request) && !strings.Contains(request, "/held") {
		_, _ = io.CopyN(io.Discard, c, int64(r.IntN(100_000)))
	}
	if r.IntN(2) == 0 {
		_ = raw.(*net.TCPConn).SetLinger(0)
	}
}

// h2Get is a connection in HTTP/2 that asks for a path.
func h2Get(t *testing.T, path string) string {
	t.Helper()
	var b strings.Builder
	b.WriteString(http2.ClientPreface)
	f := http2.NewFramer(&b, nil)
	// RFC 7541: :method GET, :scheme http, then :path and :authority with literal values.
	block := "\x82\x86" + "\x04" + string(rune(len(path))) + path + "\x01\x09localhost"
	for _, err := range []error{f.WriteSettings(), f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte(block), EndHeaders: true, EndStream: true})} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

// TestReloadsDuringAFlood: a flood of refused requests goes on, and each reload takes effect; visitors are served all the time.
func TestReloadsDuringAFlood(t *testing.T) {
	policy := func(word string) string {
		return site(goOrigin(t, says(word))) + `
rules: [{name: flood, when: "user_agent == 'flood'", then: refuse}]
limits: [{name: few, paths: [/flood], rate: 1/m, burst: 1}]
`
	}
	one, two := policy("one"), policy("two")
	d := startDoor(t, one)
	flood := func(seconds string, args ...string) *process {
		return spawn(t, exec.Command(program(t, "wrk"), append([]string{"-t1", "-c", "100", "-d", seconds}, args...)...))
	}
	base := d.holds(t)
	base.goroutines += 256 * runtime.NumCPU() // idle coroutines that the door keeps at hand
	v := visit(t, d.url, false)
	v.more(t, 50)
	refused, other := flood("60", "-H", "User-Agent: flood", d.url+"/"), flood("60", d.url+"/flood")
	for i := range 6 {
		want, next := "two", two
		if i%2 == 1 {
			want, next = "one", one
		}
		v.bodies.Clear()
		d.rewrite(next)
		d.signal(syscall.SIGHUP)
		await(t, "an answer from "+want, func() bool { _, seen := v.bodies.Load(want); return seen })
		v.more(t, 100)
	}
	for _, p := range []*process{refused, other} {
		p.signal(os.Interrupt)
		p.ended()
		if out := p.output(); figure(out, `(\d+) requests in`) < 100 {
			t.Errorf("that was no flood: %s", out)
		}
	}
	v.unharmed(t)
	d.givesBack(t, base)
}
