package stormdoor

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// keptConn is one kept connection to a door.
type keptConn struct {
	c net.Conn
	r *bufio.Reader
}

func connect(t testing.TB, url string) *keptConn {
	t.Helper()
	c := connectOnce(t, url)
	t.Cleanup(func() { _ = c.c.Close() })
	return c
}

// connectOnce leaves closing to the caller.
func connectOnce(t testing.TB, url string) *keptConn {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	return &keptConn{c, bufio.NewReaderSize(c, 1024)}
}

// ask returns the status, and whether the door has said that it closes the connection.
func (c *keptConn) ask(t testing.TB, path string) (status int, closes bool) {
	t.Helper()
	if _, err := fmt.Fprintf(c.c, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(c.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Close
}

const fewPolicy = `
limits: [{name: few, paths: [/few], rate: 1/h, burst: 1}]
rules: [{name: no-php, when: path.endsWith('.php'), then: refuse}]
sites: [{hosts: ['*'], origins: ['%s']}]
`

// TestARefusedClientThatGoesOnIsClosed after refusalsInARow refusals of a limit. One request that is let in starts the count
// again; refusals that say nothing of how much somebody asks do not count.
func TestARefusedClientThatGoesOnIsClosed(t *testing.T) {
	r := start(t, fmt.Sprintf(fewPolicy, upstream(t, ok)))
	c := connect(t, r.url)
	expect := func(path string, status int, closes bool) {
		t.Helper()
		if s, closed := c.ask(t, path); s != status || closed != closes {
			t.Fatalf("%s: status %d, closes %v", path, s, closed)
		}
	}
	expect("/few", 200, false)
	for range refusalsInARow - 1 {
		expect("/few", 429, false)
	}
	expect("/", 200, false)
	for range refusalsInARow - 1 {
		expect("/few", 429, false)
	}
	expect("/x.php", 403, false)
	expect("/few", 429, true)
	if _, err := c.r.ReadByte(); err != io.EOF {
		t.Errorf("the connection is still open: %v", err)
	}
}

// BenchmarkRefusalLadder is what hammering costs, client included, on each step: let in; refused on a kept connection, with a
// new one after each refusalsInARow refusals; refused and closed, a new connection each time; closed without a word when it
// is accepted. Steps with a new connection each time compare with one another.
func BenchmarkRefusalLadder(b *testing.B) {
	policy := fmt.Sprintf(fewPolicy, upstream(b, ok))
	alone := func(path string) func(b *testing.B) {
		return func(b *testing.B) {
			r := start(b, policy)
			get(b, r.url+"/few")
			for b.Loop() {
				c := connectOnce(b, r.url)
				c.ask(b, path+" HTTP/1.1\r\nConnection: close\r\nX-Rest:")
				_ = c.c.Close()
			}
		}
	}
	kept := func(path string) func(b *testing.B) {
		return func(b *testing.B) {
			r := start(b, policy)
			get(b, r.url+"/few")
			c := connectOnce(b, r.url)
			for b.Loop() {
				if _, closes := c.ask(b, path); closes {
					_ = c.c.Close()
					c = connectOnce(b, r.url)
				}
			}
			_ = c.c.Close()
		}
	}
	b.Run("kept/let in", kept("/"))
	b.Run("kept/refused", kept("/few"))
	b.Run("new connection/let in", alone("/"))
	b.Run("new connection/refused and closed", alone("/few"))
	b.Run("new connection/closed at accept", func(b *testing.B) {
		r := start(b, policy)
		for range 1024 { // listen.max_connections_per_client
			connect(b, r.url).ask(b, "/few")
		}
		for b.Loop() {
			c, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
			if err != nil {
				continue // it was closed before Dial returned
			}
			if _, err := c.Read(make([]byte, 1)); err == nil {
				b.Fatal("let in")
			}
			_ = c.Close()
		}
	})
}
