package listen

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pires/go-proxyproto"

	"stormdoor/internal/wire"
	"stormdoor/policy"
)

// v2 writes a version 2 header with the command and family, and the body as it is.
func v2(command, family byte, body string) string {
	b := append(slices.Clone(proxyV2Start), command, family)
	return string(binary.BigEndian.AppendUint16(b, uint16(len(body)))) + body
}

const (
	ends4 = "\xc0\x00\x02\x01\xc0\x00\x02\x02\x10\x00\x01\xbb"
	ends6 = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" +
		"\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x10\x00\x01\xbb"
)

var proxyCases = []struct {
	name, in string
	source   string // "" for none
	size     int    // -1 for all of in
	bad      string // what the error says; "" for none
}{
	{"v1 IPv4", "PROXY TCP4 192.0.2.1 192.0.2.2 4096 443\r\n", "192.0.2.1:4096", -1, ""},
	{"v1 IPv6", "PROXY TCP6 2001:db8::1 2001:db8::2 4096 443\r\n", "[2001:db8::1]:4096", -1, ""},
	{"v1 mapped", "PROXY TCP6 ::ffff:192.0.2.1 ::ffff:192.0.2.2 4096 443\r\n", "192.0.2.1:4096", -1, ""},
	{"v1 unknown", "PROXY UNKNOWN\r\n", "", -1, ""},
	{"v1 unknown with ends", "PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", "", -1, ""},
	{"v1 with a request behind", "PROXY UNKNOWN\r\nGET / HTTP/1.1\r\n", "", 15, ""},
	{"v1 wants more", "PROXY TCP4 192.0.2.1 192", "", 0, ""},
	{"v1 longest without an end", "PROXY UNKNOWN " + strings.Repeat("f", 100), "", 0, "longer than 107"},
	{"v1 LF only", "PROXY UNKNOWN\n", "", 0, "CR LF"},
	{"v1 other protocol", "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n", "", 0, `"UDP4"`},
	{"v1 family mixed", "PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n", "", 0, "not one of TCP4"},
	{"v1 zone", "PROXY TCP6 fe80::1%eth0 2001:db8::2 1 2\r\n", "", 0, "not one of TCP6"},
	{"v1 port too high", "PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n", "", 0, `port "65536"`},
	{"v1 port with a zero", "PROXY TCP4 192.0.2.1 192.0.2.2 080 2\r\n", "", 0, `port "080"`},
	{"v1 port with a sign", "PROXY TCP4 192.0.2.1 192.0.2.2 +80 2\r\n", "", 0, `port "+80"`},
	{"v1 two spaces", "PROXY TCP4 192.0.2.1  192.0.2.2 1 2\r\n", "", 0, "7 fields"},
	{"v1 fields missing", "PROXY TCP4 192.0.2.1\r\n", "", 0, "3 fields"},
	{"v2 IPv4", v2(0x21, 0x11, ends4), "192.0.2.1:4096", -1, ""},
	{"v2 IPv6", v2(0x21, 0x21, ends6), "[2001:db8::1]:4096", -1, ""},
	{"v2 with TLVs", v2(0x21, 0x11, ends4+"\x04\x00\x01x"), "192.0.2.1:4096", -1, ""},
	{"v2 with TLVs to come", v2(0x21, 0x11, ends4+strings.Repeat("x", 1000))[:40], "192.0.2.1:4096", 16 + 1012, ""},
	{"v2 local", v2(0x20, 0x00, ""), "", -1, ""},
	{"v2 local with ends", v2(0x20, 0x11, ends4), "", -1, ""},
	{"v2 unspecified", v2(0x21, 0x00, ""), "", -1, ""},
	{"v2 unix", v2(0x21, 0x31, strings.Repeat("\x00", 216)), "", -1, ""},
	{"v2 wants more", v2(0x21, 0x11, ends4)[:27], "", 0, ""},
	{"v2 version 3", v2(0x31, 0x11, ends4), "", 0, "0x31"},
	{"v2 command 2", v2(0x22, 0x11, ends4), "", 0, "0x22"},
	{"v2 datagram", v2(0x21, 0x12, ends4), "", 0, "0x12"},
	{"v2 too short", v2(0x21, 0x21, ends4), "", 0, "too few"},
	{"v2 too long", v2(0x21, 0x11, strings.Repeat("x", 5000)), "", 0, "more than 4096"},
	{"HTTP", "GET / HTTP/1.1\r\n", "", 0, "does not begin"},
	{"TLS", "\x16\x03\x01\x02\x00\x01", "", 0, "does not begin"},
	{"nothing", "", "", 0, ""},
}

func TestParseProxy(t *testing.T) {
	for _, tc := range proxyCases {
		t.Run(tc.name, func(t *testing.T) {
			h, size, err := parseProxy([]byte(tc.in))
			if tc.bad != "" {
				if err == nil || !strings.Contains(err.Error(), tc.bad) {
					t.Fatalf("error %v, want one about %q", err, tc.bad)
				}
				return
			}
			want := tc.size
			if want < 0 {
				want = len(tc.in)
			}
			if err != nil || size != want {
				t.Fatalf("size %d, error %v; want %d", size, err, want)
			}
			var source netip.AddrPort
			if tc.source != "" {
				source = netip.MustParseAddrPort(tc.source)
			}
			if h.source != source {
				t.Errorf("source %v, want %v", h.source, source)
			}
		})
	}
}

// FuzzParseProxy holds the parser to an independent one where both take the header, and to itself where the bytes come
// in pieces.
func FuzzParseProxy(f *testing.F) {
	for _, tc := range proxyCases {
		f.Add([]byte(tc.in))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, size, err := parseProxy(b)
		if err != nil || size == 0 {
			return
		}
		for i := range min(len(b), size, 60) {
			if ph, psize, perr := parseProxy(b[:i]); perr != nil || psize != 0 && (psize != size || ph != h) {
				t.Fatalf("the first %d of %d bytes give %v, %d, %v", i, len(b), ph, psize, perr)
			}
		}
		if size > len(b) {
			return
		}
		twin, err := proxyproto.Read(bufio.NewReader(bytes.NewReader(b[:size])))
		if err != nil || twin.Command.IsLocal() || !h.source.IsValid() {
			return
		}
		if got := addrPort(twin.SourceAddr); got != h.source {
			t.Fatalf("source %v, the twin says %v", h.source, got)
		}
	})
}

// pipes is a listener whose connections the test makes, with the addresses it likes.
type pipes struct {
	next   chan any // net.Conn or error
	closed chan struct{}
}

func newPipes() *pipes { return &pipes{make(chan any, 100), make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case v := <-p.next:
		if err, ok := v.(error); ok {
			return nil, err
		}
		return v.(net.Conn), nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }

// dial returns the client's end of a connection from the address from.
func (p *pipes) dial(from string) net.Conn {
	ours, theirs := net.Pipe()
	p.next <- addressed{ours, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(from))}
	return theirs
}

// dialEager is dial for a server that must not wait for its client to read.
func (p *pipes) dialEager(from string) net.Conn {
	ours, theirs := net.Pipe()
	p.next <- addressed{buffered(ours), net.TCPAddrFromAddrPort(netip.MustParseAddrPort(from))}
	return theirs
}

// eager is a pipe whose writes do not wait for the reader, like a socket's.
type eager struct {
	net.Conn
	out  chan []byte
	once sync.Once
	gone chan struct{}
}

func buffered(c net.Conn) *eager {
	e := &eager{Conn: c, out: make(chan []byte, 100), gone: make(chan struct{})}
	go func() {
		defer c.Close()
		for {
			select {
			case b := <-e.out:
				if _, err := c.Write(b); err != nil {
					return
				}
			case <-e.gone:
				return
			}
		}
	}()
	return e
}

func (e *eager) Write(p []byte) (int, error) {
	select {
	case e.out <- slices.Clone(p):
		return len(p), nil
	case <-e.gone:
		return 0, net.ErrClosed
	}
}

func (e *eager) Close() error {
	e.once.Do(func() { close(e.gone) })
	return e.Conn.Close()
}

type addressed struct {
	net.Conn
	from net.Addr
}

func (a addressed) RemoteAddr() net.Addr { return a.from }
func (a addressed) LocalAddr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80}
}

func prefixes(s ...string) []policy.Prefix {
	var out []policy.Prefix
	for _, p := range s {
		out = append(out, policy.Prefix{Prefix: netip.MustParsePrefix(p)})
	}
	return out
}

func TestProxyHeaderOnConnections(t *testing.T) {
	const proxy, stranger = "10.0.0.1:1234", "203.0.113.9:1234"
	line := "PROXY TCP4 192.0.2.1 192.0.2.2 4096 443\r\n"
	for _, tc := range []struct {
		name, from string
		sends      []string
		peer, via  string
		reads      string
		fails      bool
	}{
		{"in one piece", proxy, []string{line + "hello"}, "192.0.2.1:4096", proxy, "hello", false},
		{"byte by byte", proxy, append(strings.Split(line, ""), "hello"), "192.0.2.1:4096", proxy, "hello", false},
		{"v2 with long TLVs", proxy, []string{v2(0x21, 0x11, ends4+strings.Repeat("x", 3000)), "hello"}, "192.0.2.1:4096", proxy, "hello", false},
		{"local", proxy, []string{v2(0x20, 0, "") + "hello"}, proxy, "", "hello", false},
		{"unknown", proxy, []string{"PROXY UNKNOWN\r\nhello"}, proxy, "", "hello", false},
		{"missing where required", proxy, []string{"GET / HTTP/1.1\r\n\r\n"}, proxy, "", "", true},
		{"spoofed by a stranger", stranger, []string{line}, stranger, "", line, false},
		{"plain stranger", stranger, []string{"hello"}, stranger, "", "hello", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := newPipes()
			a := NewAdmission(Config{ProxyProtocol: prefixes("10.0.0.0/8")})
			wl := a.Wrap(l)
			defer wl.Close()
			peer := l.dial(tc.from)
			defer peer.Close()
			go func() {
				for _, s := range tc.sends {
					io.WriteString(peer, s)
				}
				peer.Close()
			}()
			c, err := wl.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			info := c.(wire.Informed).Info()
			got, err := io.ReadAll(c)
			if (err != nil) != tc.fails || string(got) != tc.reads {
				t.Fatalf("read %q, error %v", got, err)
			}
			if info.Peer.String() != tc.peer {
				t.Errorf("peer %v, want %s", info.Peer, tc.peer)
			}
			if via := info.Via.IsValid(); via != (tc.via != "") || via && info.Via.String() != tc.via {
				t.Errorf("via %v, want %q", info.Via, tc.via)
			}
			if !tc.fails && c.RemoteAddr().String() != tc.peer {
				t.Errorf("remote address %v, want %s", c.RemoteAddr(), tc.peer)
			}
			c.Close()
			if s := a.Stats(); s.Open != 0 || (s.RefusedProxy == 1) != tc.fails {
				t.Errorf("stats %+v", s)
			}
		})
	}
}

func TestSlowProxyHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newPipes()
		a := NewAdmission(Config{ProxyProtocol: prefixes("10.0.0.1/32"), HeadTimeout: 3 * time.Second})
		wl := a.Wrap(l)
		defer wl.Close()
		slow, fast := l.dial("10.0.0.1:1"), l.dial("10.0.0.1:2")
		defer slow.Close()
		defer fast.Close()
		c1, err := wl.Accept()
		if err != nil {
			t.Fatal(err)
		}
		c2, err := wl.Accept() // the slow one does not stand in its way
		if err != nil {
			t.Fatal(err)
		}
		defer c2.Close()
		c1.SetReadDeadline(time.Now().Add(time.Hour)) // the server's own deadline cannot lengthen ours
		go io.WriteString(slow, "PROXY TC")
		begin := time.Now()
		if _, err := c1.Read(make([]byte, 1)); err == nil {
			t.Fatal("a header that never ends was taken")
		}
		if took := time.Since(begin); took != 3*time.Second {
			t.Errorf("gave up after %v", took)
		}
		if a.Stats().Open != 1 {
			t.Errorf("%d open, want the fast one only", a.Stats().Open)
		}
		c2.SetReadDeadline(time.Now().Add(time.Minute)) // and is back in force behind the header
		go io.WriteString(fast, "PROXY UNKNOWN\r\n")
		begin = time.Now()
		if _, err := c2.Read(make([]byte, 1)); err == nil || time.Since(begin) != time.Minute {
			t.Errorf("read ended with %v after %v, want the server's minute", err, time.Since(begin))
		}
	})
}

func TestVisitorsBehindProxyAreCounted(t *testing.T) {
	l := newPipes()
	a := NewAdmission(Config{ProxyProtocol: prefixes("10.0.0.1/32"), MaxPerClient: 2})
	wl := a.Wrap(l)
	defer wl.Close()
	open := func(source string) error {
		peer := l.dial("10.0.0.1:1")
		t.Cleanup(func() { peer.Close() })
		go io.WriteString(peer, "PROXY TCP4 "+source+" 192.0.2.2 4096 443\r\nx")
		c, err := wl.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		_, err = c.Read(make([]byte, 1))
		return err
	}
	for i, want := range []bool{true, true, false} {
		if err := open("192.0.2.1"); (err == nil) != want {
			t.Errorf("connection %d of one visitor: %v", i+1, err)
		}
	}
	if err := open("192.0.2.9"); err != nil {
		t.Errorf("another visitor: %v", err)
	}
	if s := a.Stats(); s.Open != 3 || s.RefusedClient != 1 || s.RefusedProxy != 0 {
		t.Errorf("stats %+v", s)
	}
}
