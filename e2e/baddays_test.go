//go:build e2e

package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// ask sends one request by curl and returns the status, the reason that the door gives, and the body.
func ask(t *testing.T, url string, args ...string) (status, reason, body string) {
	t.Helper()
	out := curl(t, append([]string{"-i", url}, args...)...)
	head, body, _ := strings.Cut(out, "\r\n\r\n")
	for l := range strings.Lines(head) {
		if name, value, ok := strings.Cut(l, ":"); ok && strings.EqualFold(name, "Stormdoor-Reason") {
			reason = strings.TrimSpace(value)
		}
	}
	return strings.Fields(head + " - -")[1], reason, body
}

// readHead reads a request's head.
func readHead(c net.Conn) {
	b := make([]byte, 64<<10)
	for n := 0; n < len(b) && !strings.Contains(string(b[:n]), "\r\n\r\n"); {
		m, err := c.Read(b[n:])
		if err != nil {
			return
		}
		n += m
	}
}

// sends is an origin that answers each request with a text, and then closes the connection.
func sends(text string) func(int, net.Conn) {
	return func(_ int, c net.Conn) {
		readHead(c)
		io.WriteString(c, text)
	}
}

func TestBrokenOriginsAreSaidAndDoNotHang(t *testing.T) {
	for _, c := range []struct {
		name, origin   string
		status, reason string
	}{
		{"down", "http://127.0.0.1:1", "502", "origin.down"},
		{"hanging", rawOrigin(t, func(_ int, c net.Conn) { io.Copy(io.Discard, c) }), "504", "origin.timeout"},
		{"resetting", rawOrigin(t, func(_ int, c net.Conn) {
			readHead(c)
			c.(*net.TCPConn).SetLinger(0)
		}), "502", "origin.broken"},
		{"closing", rawOrigin(t, sends("")), "502", "origin.broken"},
		{"garbage", rawOrigin(t, sends("\x00\x01\x02 this is no HTTP\r\n\r\n")), "502", "origin.broken"},
		{"two lengths", rawOrigin(t, sends("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy")), "502", "origin.broken"},
		{"unknown coding", rawOrigin(t, sends("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n")), "502", "origin.broken"},
		{"endless head", rawOrigin(t, func(_ int, c net.Conn) {
			readHead(c)
			io.WriteString(c, "HTTP/1.1 200 OK\r\n")
			for {
				if _, err := io.WriteString(c, "X: "+strings.Repeat("x", 4000)+"\r\n"); err != nil {
					return
				}
			}
		}), "502", "origin.broken"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := startDoor(t, site(c.origin)+"    timeouts: {response: 1s, connect: 1s}\n")
			base := d.holds(t)
			begin := time.Now()
			status, reason, body := ask(t, d.url, "-H", "Accept: application/json")
			if status != c.status || reason != c.reason || !strings.Contains(body, c.reason) {
				t.Errorf("status %s, reason %q, body %q, want %s and %s", status, reason, body, c.status, c.reason)
			}
			if took := time.Since(begin); took > patience/2 {
				t.Errorf("it took %v", took)
			}
			d.logged(`"msg":"request"`, `"end":"`+c.reason+`"`)
			d.leaksNothing(t, base)
		})
	}
}

// TestNoPartIsTakenForTheWhole: what breaks off behind the door breaks off before it, and what is too much is not passed on.
func TestNoPartIsTakenForTheWhole(t *testing.T) {
	const partial, reset = 18, 56 // curl's exit statuses: a partial file, a failure to receive
	for _, c := range []struct {
		name, answer string
		whole        bool
	}{
		{"short of its length", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello", false},
		{"chunks without an end", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", false},
		{"a broken chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n", false},
		{"more than its length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", true},
		{"until the end", "HTTP/1.1 200 OK\r\n\r\nhello", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := startDoor(t, site(rawOrigin(t, sends(c.answer))))
			base := d.holds(t)
			for range 3 { // an answer must not be made of what another one left behind
				out, errs, status := command(t, program(t, "curl"), "-sS", "--max-time", "20", d.url)
				broken := status == partial || status == reset
				if out != "hello" || c.whole && status != 0 || !c.whole && !broken {
					t.Errorf("%q, exit status %d: %s", out, status, errs)
				}
			}
			d.leaksNothing(t, base)
		})
	}
}

// TestAnOriginThatAnswersTooEarly: its answer arrives although most of the upload is still to come, and the door is left with
// nothing of it.
func TestAnOriginThatAnswersTooEarly(t *testing.T) {
	d := startDoor(t, site(rawOrigin(t, sends("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"))))
	base := d.holds(t)
	for range 3 {
		out, errs, _ := command(t, program(t, "curl"), "-sS", "-i", "--max-time", "20", "-H", "Expect:", "--data-binary", "@"+write(t, "big", strings.Repeat("x", 4<<20)), d.url)
		if !strings.Contains(out, " 403 ") || !strings.HasSuffix(out, "no") {
			t.Errorf("%q: %s", out, errs)
		}
	}
	d.leaksNothing(t, base)
}

// TestADoorThatPointsAtItselfSaysSoOnce: a policy that names the door's own address is refused, but a relay hides it.
func TestADoorThatPointsAtItselfSaysSoOnce(t *testing.T) {
	addr := freeAddr(t)
	own := "listen: {http: ['" + addr + "']}\nadmin: {listen: 'off'}\n"
	refusesToStart(t, site("http://"+addr)+own, "FILE:3:", "is this door itself")

	var rounds atomic.Int64
	d := startDoor(t, site(rawOrigin(t, func(_ int, c net.Conn) {
		back, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		defer back.Close()
		rounds.Add(1)
		go func() { io.Copy(back, c); back.Close() }()
		io.Copy(c, back)
	}))+"    timeouts: {keep_alive: 200ms}\nlisten: {http: ['"+addr+"']}\nlog: {access: 1}\n")
	d.addr, d.url = addr, "http://"+addr
	base := d.holds(t)
	status, reason, _ := ask(t, "http://"+addr+"/")
	if status != "508" || reason != "request.loop" {
		t.Errorf("status %s, reason %q", status, reason)
	}
	d.logged(`"msg":"request"`, `"status":508`)
	if n := rounds.Load(); n != 1 {
		t.Errorf("one request went round %d times", n)
	}
	d.leaksNothing(t, base)
}

func TestAFullDiskForTheLogHarmsNobody(t *testing.T) {
	d := startDoor(t, site(goOrigin(t, hello))+"log: {file: /dev/full, access: 1}\n")
	base := d.holds(t)
	v := visit(t, d.url, false)
	v.more(t, 1000)
	d.signal(syscall.SIGHUP) // reopens the log
	v.more(t, 1000)
	v.unharmed(t)
	d.leaksNothing(t, base)
}

// refusesToStart requires that serve ends at once with status 1 and says all the words.
func refusesToStart(t *testing.T, policy string, words ...string) {
	t.Helper()
	file := write(t, "stormdoor.yaml", policy)
	out, errs, status := command(t, binary, "serve", "-c", file)
	if status != 1 {
		t.Errorf("serve: exit status %d\n%s%s", status, out, errs)
	}
	for _, w := range words {
		if !strings.Contains(errs, strings.ReplaceAll(w, "FILE", file)) {
			t.Errorf("serve does not say %q:\n%s", w, errs)
		}
	}
	if strings.Contains(errs, "goroutine ") {
		t.Errorf("a panic:\n%s", errs)
	}
}

func TestWhatIsWrongIsSaidBeforeAnythingIsServed(t *testing.T) {
	free := "listen: {http: ['" + freeAddr(t) + "']}\nadmin: {listen: 'off'}\n"
	t.Run("port in use", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		refusesToStart(t, site("http://127.0.0.1:1")+"listen: {http: ['"+l.Addr().String()+"']}\nadmin: {listen: 'off'}\n", l.Addr().String(), "in use")
	})
	t.Run("unknown field", func(t *testing.T) {
		refusesToStart(t, "sites:\n  - hosts: ['*']\n    orgins: ['http://127.0.0.1:1']\n"+free, "FILE:3:5: ", "orgins", "origins")
	})
	t.Run("several mistakes", func(t *testing.T) {
		refusesToStart(t, "sites:\n  - hosts: ['*']\n    origins: ['ftp://127.0.0.1']\n    balance: luck\n"+free, "FILE:3:", "FILE:4:", "least_connections")
	})
	t.Run("no such file", func(t *testing.T) {
		_, errs, status := command(t, binary, "serve", "-c", "/nowhere/stormdoor.yaml")
		if status != 1 || !strings.Contains(errs, "/nowhere/stormdoor.yaml") {
			t.Errorf("exit status %d: %s", status, errs)
		}
	})
	t.Run("certificate for another name", func(t *testing.T) {
		cert, key := files(t, certificate(t, "other.example", time.Now().Add(time.Hour), nil))
		refusesToStart(t, tlsSite(cert, key)+free, "shop.example", cert)
	})
	t.Run("key of another certificate", func(t *testing.T) {
		cert, _ := files(t, certificate(t, "shop.example", time.Now().Add(time.Hour), nil))
		_, key := files(t, certificate(t, "shop.example", time.Now().Add(time.Hour), nil))
		refusesToStart(t, tlsSite(cert, key)+free, cert)
	})
}

func tlsSite(cert, key string) string {
	return fmt.Sprintf("sites: [{hosts: [shop.example], origins: ['http://127.0.0.1:1'], tls: {certificate: %s, key: %s}}]\n", cert, key)
}

// TestAnExpiredCertificateIsServedAndSaid: a restart must not turn a lapsed certificate into an outage.
func TestAnExpiredCertificateIsServedAndSaid(t *testing.T) {
	cert, key := files(t, certificate(t, "shop.example", time.Now().Add(-time.Hour), nil))
	https := freeAddr(t)
	policy := strings.Replace(tlsSite(cert, key), "http://127.0.0.1:1", goOrigin(t, hello), 1)
	d := startDoor(t, policy+"\nlisten: {http: [], https: ['"+https+"']}\n")
	if said := d.logged("expired", "shop.example"); said.Level != "ERROR" {
		t.Errorf("said as %s: %s", said.Level, said.Msg)
	}
	url := "https://shop.example:" + port(https) + "/"
	if out := curl(t, "-k", "--resolve", "shop.example:"+port(https)+":127.0.0.1", url); out != "hello from the origin\n" {
		t.Errorf("answer %q", out)
	}
	if out, errs, status := command(t, binary, "check", d.file); status != 1 || !strings.Contains(errs, "expired") {
		t.Errorf("check: exit status %d\n%s%s", status, out, errs)
	}
}

// TestAnOriginThatComesBackIsFound: nobody has to tell the door.
func TestAnOriginThatComesBackIsFound(t *testing.T) {
	addr := freeAddr(t)
	d := startDoor(t, site("http://"+addr))
	base := d.holds(t)
	if status, _, _ := ask(t, d.url); status != "502" {
		t.Errorf("status %s", status)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int64
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { asked.Add(1); hello(w, r) }), ReadHeaderTimeout: patience}
	go s.Serve(l)
	defer s.Close()
	await(t, "the origin", func() bool { status, _, _ := fetch(d.url); return status == http.StatusOK })
	if n := asked.Load(); n != 1 {
		t.Errorf("one answer, and the origin was asked %d times", n)
	}
	d.leaksNothing(t, base)
}
