//go:build e2e

package e2e

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// dial opens a connection that ends with the test.
func dial(t testing.TB, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

func send(t testing.TB, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	d := startDoor(t, site(goOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "%s %s %d", r.Method, r.URL.Path, n)
	})))
	c := dial(t, d.addr)
	send(t, c, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloPUT /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET /4 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	in := bufio.NewReader(c)
	for _, want := range []string{"GET /1 0", "POST /2 5", "PUT /3 3", "GET /4 0"} {
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("%s: %v", want, err)
		}
		if body, err := io.ReadAll(res.Body); err != nil || string(body) != want {
			t.Fatalf("%q, %v, want %q", body, err, want)
		}
	}
	if _, err := in.ReadByte(); err != io.EOF {
		t.Errorf("after Connection: close: %v", err)
	}
}

// TestWhatCanBeReadInTwoWaysReachesNobody: request smuggling ends at the door.
func TestWhatCanBeReadInTwoWaysReachesNobody(t *testing.T) {
	var reached atomic.Int64
	d := startDoor(t, site(goOrigin(t, func(w http.ResponseWriter, r *http.Request) { reached.Add(1) })))
	for _, request := range []string{
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello",
		"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
		"GET / HTTP/1.1\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n folded\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n",
		"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
		"\x16\x03\x01\x02\x00\x01\x00", // TLS where clear text is spoken
	} {
		c := dial(t, d.addr)
		_, _ = io.WriteString(c, request) // the door may close before it has read all
		_ = c.(*net.TCPConn).CloseWrite()
		answer, _ := io.ReadAll(c)
		status := strings.Fields(string(answer) + " none none")[1]
		if len(answer) > 0 && !strings.HasPrefix(status, "4") || strings.Count(string(answer), "HTTP/1.1 ") > 1 {
			t.Errorf("%.80q: answer %q", request, answer)
		}
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("%d of them reached the origin", n)
	}
	if status, _, _ := ask(t, d.url); status != "200" {
		t.Errorf("then a good request: %s", status)
	}
}

func TestSlowHeadsAreGivenUpAndHoldNobodyUp(t *testing.T) {
	d := startDoor(t, site(goOrigin(t, hello))+"    timeouts: {head: 1s}\n")
	var slow []net.Conn
	for i := range 200 {
		c := dial(t, d.addr)
		send(t, c, "GET / HTTP/1.1\r\nHost: a\r\nX-Slow: "[:10+i%20])
		slow = append(slow, c)
	}
	if status, _, _ := ask(t, d.url); status != "200" {
		t.Errorf("beside slow ones: %s", status)
	}
	for _, c := range slow {
		if answer, _ := io.ReadAll(c); len(answer) > 0 && !strings.HasPrefix(string(answer), "HTTP/1.1 408 ") {
			t.Fatalf("a slow one got %q", answer)
		}
	}
}

func TestAClientHasOnlySoManyConnections(t *testing.T) {
	addr := freeAddr(t)
	d := startDoor(t, site(goOrigin(t, hello))+"listen: {http: ['"+addr+"'], max_connections_per_client: 4}\n")
	d.url = "http://" + addr
	var held []net.Conn
	for range 4 {
		c := dial(t, addr)
		send(t, c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		if _, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
	}
	if status, _, err := fetch(d.url); err == nil {
		t.Errorf("the fifth connection got %d", status)
	}
	held[0].Close()
	await(t, "room for another connection", func() bool { status, _, _ := fetch(d.url); return status == http.StatusOK })
}

func TestClearTextIsRedirectedAndUnknownNamesEndTheHandshake(t *testing.T) {
	clear, https := freeAddr(t), freeAddr(t)
	startDoor(t, "sites: [{hosts: [shop.example], origins: ['"+goOrigin(t, hello)+"'], tls: {self_signed: true, hsts: 1d}}]\nlisten: {http: ['"+clear+"'], https: ['"+https+"']}\n")
	out := curl(t, "-i", "-H", "Host: shop.example", "http://"+clear+"/a%2Fb?c")
	if !strings.HasPrefix(out, "HTTP/1.1 301 ") || !strings.Contains(out, "\r\nLocation: https://shop.example:"+port(https)+"/a%2Fb?c\r\n") {
		t.Errorf("clear text: %q", out)
	}
	out = strings.ToLower(curl(t, "-ik", "--resolve", "shop.example:"+port(https)+":127.0.0.1", "https://shop.example:"+port(https)+"/"))
	if !strings.HasPrefix(out, "http/2 200") || !strings.Contains(out, "strict-transport-security: max-age=86400\r") {
		t.Errorf("TLS: %q", out)
	}
	c, err := tls.Dial("tcp", https, &tls.Config{ServerName: "other.example", InsecureSkipVerify: true})
	if err == nil {
		c.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "unrecognized name") {
		t.Errorf("an unknown name: %v", err)
	}
}

// TestHAProxyInFrontTellsTheVisitor: by the PROXY protocol, and by X-Forwarded-For, each only where it is declared.
func TestHAProxyInFrontTellsTheVisitor(t *testing.T) {
	origin := goOrigin(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Header.Get("X-Forwarded-For")) })
	for _, c := range []struct{ name, server, trust, want string }{
		{"PROXY protocol", "send-proxy-v2", "trust: {proxy_protocol: [127.0.0.1]}\n", "127.0.0.2"},
		{"X-Forwarded-For", "", "trust: {proxies: [127.0.0.1]}\n", "127.0.0.2, 127.0.0.1"},
		{"X-Forwarded-For of a stranger", "", "", "127.0.0.1"},
	} {
		d := startDoor(t, site(origin)+c.trust)
		front := freeAddr(t)
		conf := write(t, "haproxy.cfg", fmt.Sprintf(`
defaults
  mode http
  timeout client 30s
  timeout server 30s
  timeout connect 5s
  option forwardfor
listen f
  bind %s
  server door %s source 127.0.0.1 %s
`, front, d.addr, c.server))
		spawn(t, exec.Command(program(t, "haproxy"), "-db", "-f", conf))
		awaitOrigin(t, front)
		if out := curl(t, "--interface", "127.0.0.2", "http://"+front); out != c.want {
			t.Errorf("%s: the origin was told %q, want %q", c.name, out, c.want)
		}
	}
}

func TestWhatDoesNotEndIsCutOffAfterTheGrace(t *testing.T) {
	began := make(chan struct{})
	d := startDoor(t, site(goOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).Flush()
		close(began)
		<-r.Context().Done()
	}))+"grace: 500ms\n")
	res, err := http.Get(d.url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	<-began
	d.signal(syscall.SIGTERM)
	if code := d.ended(); code != 0 {
		t.Errorf("exit status %d", code)
	}
	d.logged("cut off", "WARN")
	if _, err := io.ReadAll(res.Body); err == nil {
		t.Error("the visitor took the part for the whole")
	}
}
