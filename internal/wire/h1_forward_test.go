package wire

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stormdoor/flow"
)

// forward sends ex on to u, as simply as can be.
func forward(u Upstream, ex Exchange) error {
	res, err := u.RoundTrip(ex.Context(), ex.Request(), ex.Body(), ex.Trailer, Hooks{})
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if err := ex.Respond(res.Status, res.Header, res.Length); err != nil {
		return err
	}
	if _, err := io.Copy(ex, res.Body); err != nil {
		ex.Abort()
		return err
	}
	return ex.End(res.Trailer())
}

// Many visitors at once, with bodies of all framings and sizes, some of whom leave: every answer belongs to its request.
func TestForwardUnderLoad(t *testing.T) {
	origin := newScript(t, func(c net.Conn, br *bufio.Reader) {
		for n := 0; ; n++ {
			r, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			text := append([]byte(r.URL.Path+" "), body...)
			if n%2 == 0 {
				fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
			} else {
				fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(text), text)
			}
			if n == 20 {
				return // without a word
			}
		}
	})
	u := upstreamTo(t, origin)
	_, addr := h1Serve(t, ServerConfig{Handle: func(ex Exchange) {
		if err := forward(u, ex); err != nil && faultOf(err) != 0 {
			ex.CloseAfter()
			_ = ex.Respond(502, flow.Header{}, 0)
			_ = ex.End(flow.Header{})
		}
	}})
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
	defer client.CloseIdleConnections()
	var wg sync.WaitGroup
	for v := range 8 {
		wg.Go(func() {
			for i := range 40 {
				path := fmt.Sprintf("/%d/%d", v, i)
				data := bytes.Repeat([]byte{byte('a' + i%26)}, i*i*40)
				var body io.Reader = bytes.NewReader(data)
				if i%3 == 0 {
					body = struct{ io.Reader }{body}
				}
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				if i%10 == 9 {
					ctx, cancel = context.WithTimeout(ctx, time.Millisecond)
				}
				r, _ := http.NewRequestWithContext(ctx, "POST", "http://"+addr+path, body)
				res, err := client.Do(r)
				if err == nil {
					got, err := io.ReadAll(res.Body)
					res.Body.Close()
					if want := path + " " + string(data); err == nil && res.StatusCode == 200 && string(got) != want {
						t.Errorf("%s: got %.40q of %d bytes", path, got, len(got))
					}
				} else if i%10 != 9 && !strings.Contains(err.Error(), "EOF") && !strings.Contains(err.Error(), "reset") {
					t.Errorf("%s: %v", path, err)
				}
				cancel()
			}
		})
	}
	wg.Wait()
}

// An origin that works for a visitor who has left is told so.
func TestForwardCancels(t *testing.T) {
	asked, gone := make(chan bool), make(chan error, 1)
	u := upstreamTo(t, newScript(t, func(c net.Conn, br *bufio.Reader) {
		if _, err := http.ReadRequest(br); err != nil {
			return
		}
		asked <- true
		_, err := br.ReadByte()
		gone <- err
	}))
	ended := make(chan error, 1)
	_, addr := h1Serve(t, ServerConfig{Handle: func(ex Exchange) { ended <- forward(u, ex) }})
	c := dialTest(t, addr)
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	<-asked
	start := time.Now()
	c.Close()
	if err := <-gone; err == nil {
		t.Error("the origin got more")
	}
	if err := <-ended; faultOf(err) != FaultCanceled {
		t.Errorf("got %v", err)
	}
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("noticed after %v", d)
	}
}

// A connection to an origin is used again, however the pieces of an answer fell.
func TestForwardKeepsConnections(t *testing.T) {
	for _, size := range []int{0, 1, h1BlockSize, 10 << 10, 100 << 10} {
		var opened atomic.Int64
		u := upstreamTo(t, newScript(t, func(c net.Conn, br *bufio.Reader) {
			opened.Add(1)
			for {
				if _, err := http.ReadRequest(br); err != nil {
					return
				}
				fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", size, strings.Repeat("x", size))
			}
		}))
		_, addr := h1Serve(t, ServerConfig{Handle: func(ex Exchange) {
			if err := forward(u, ex); err != nil {
				t.Errorf("%d bytes: %v", size, err)
			}
		}})
		c := dialTest(t, addr)
		br := bufio.NewReader(c)
		for range 10 {
			_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			res, err := http.ReadResponse(br, nil)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(res.Body); err != nil || len(b) != size {
				t.Errorf("%d bytes: got %d, %v", size, len(b), err)
			}
		}
		if n := opened.Load(); n != 1 {
			t.Errorf("%d bytes: %d connections were opened for 10 requests in turn", size, n)
		}
	}
}
