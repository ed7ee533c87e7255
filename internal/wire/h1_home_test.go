package wire

import (
	"bufio"
	"net"
	"net/http"
	"testing"

	"stormdoor/flow"
)

// A connection that has needed a goroutine for a request goes back to its event loop: otherwise whoever has once sent a body,
// or waited for another's answer, would cost more for as long as it stays.
func TestH1GoesHomeToItsLoop(t *testing.T) {
	seen := make(chan bool, 20)
	_, addr := h1Serve(t, ServerConfig{Handle: func(ex Exchange) {
		if ex.Request().Target == "/waits" {
			ex.Context().Done()
		}
		seen <- ex.(*h1Exchange).conn.task() != nil
		_ = ex.Respond(200, flow.Header{}, 0)
		_ = ex.End(flow.Header{})
	}})
	if !*loops {
		t.Skip("there are no event loops in this form")
	}
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	ask := func(request string) {
		t.Helper()
		if _, err := c.Write([]byte(request)); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(r, nil)
		if err != nil || res.StatusCode != 200 {
			t.Fatalf("%v, %v", res, err)
		}
	}
	get, waits := "GET /a HTTP/1.1\r\nHost: a\r\n\r\n", "GET /waits HTTP/1.1\r\nHost: a\r\n\r\n"
	post := "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
	for _, strays := range []string{waits, post, waits} {
		ask(strays)
		if <-seen {
			t.Error("it has stayed on the loop")
		}
		for i := range h1Settled + 3 {
			ask(get)
			if on := <-seen; on != (i >= h1Settled) {
				t.Errorf("request %d behind the one that strayed: on the loop: %v", i, on)
			}
		}
	}
}
