package wire

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"stormdoor/flow"
)

// h2Serve serves on loopback and returns a client of net/http for it and its URL.
func h2Serve(t *testing.T, encrypted bool, handle func(Exchange)) (*http.Client, string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	group, stopLoops := eventLoops(t)
	srv := NewH2Server(H2Config{Handle: handle, Loops: group})
	var conf *tls.Config
	if encrypted {
		std := httptest.NewUnstartedServer(nil) // for its certificate
		std.StartTLS()
		conf = &tls.Config{Certificates: std.TLS.Certificates, NextProtos: []string{"h2"}}
		std.Close()
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				if conf != nil {
					c = tls.Server(c, conf)
				}
				srv.ServeConn(context.Background(), c)
			})
		}
	})
	var p http.Protocols
	p.SetHTTP2(true)
	p.SetUnencryptedHTTP2(true)
	tr := &http.Transport{Protocols: &p, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	t.Cleanup(func() {
		ln.Close()
		if err := srv.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		tr.CloseIdleConnections()
		wg.Wait()
		stopLoops()
	})
	scheme := "http://"
	if encrypted {
		scheme = "https://"
	}
	return &http.Client{Transport: tr}, scheme + ln.Addr().String()
}

func TestH2ServerWithNetHTTP(t *testing.T) {
	handle := func(ex Exchange) {
		r := ex.Request()
		var h flow.Header
		h.Add("X-Scheme", r.Scheme)
		h.Add("X-Peer", ex.Conn().Peer.Addr().String())
		ex.Respond(200, h, r.Length)
		buf := make([]byte, 7000)
		if _, err := io.CopyBuffer(struct{ io.Writer }{ex}, struct{ io.Reader }{ex.Body()}, buf); err != nil {
			ex.Abort()
			return
		}
		ex.End(ex.Trailer())
	}
	for _, encrypted := range []bool{false, true} {
		t.Run(fmt.Sprintf("TLS %v", encrypted), func(t *testing.T) {
			client, url := h2Serve(t, encrypted, handle)
			var wg sync.WaitGroup
			for i := range 40 {
				wg.Go(func() {
					body := bytes.Repeat([]byte{byte(i)}, i*8_000)
					req, _ := http.NewRequest("POST", url+"/x", io.MultiReader(bytes.NewReader(body)))
					req.Trailer = http.Header{"X-Sum": {fmt.Sprint(i)}}
					res, err := client.Do(req)
					if err != nil {
						t.Error(err)
						return
					}
					defer res.Body.Close()
					got, err := io.ReadAll(res.Body)
					if err != nil || !bytes.Equal(got, body) || res.Trailer.Get("X-Sum") != fmt.Sprint(i) {
						t.Errorf("request %d: %d of %d bytes, trailers %v, %v", i, len(got), len(body), res.Trailer, err)
					}
					if want := strings.TrimSuffix(url[:5], ":"); res.Header.Get("X-Scheme") != want || res.Header.Get("X-Peer") != "127.0.0.1" {
						t.Errorf("request %d: %v", i, res.Header)
					}
				})
			}
			wg.Wait()
		})
	}
}

// An answer that breaks off is an error for the client, never a short answer.
func TestH2ServerAbortIsSeen(t *testing.T) {
	client, url := h2Serve(t, false, func(ex Exchange) {
		ex.Respond(200, flow.Header{}, -1)
		io.WriteString(ex, "part")
		ex.Flush()
	})
	res, err := client.Get(url)
	if err != nil {
		return
	}
	defer res.Body.Close()
	if got, err := io.ReadAll(res.Body); err == nil {
		t.Errorf("the client took %q for the whole", got)
	}
}
