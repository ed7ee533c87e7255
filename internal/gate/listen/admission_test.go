package listen

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"stormdoor/policy"
)

// lines is a slog handler that keeps what was said.
type lines struct {
	mu   sync.Mutex
	said []string
}

func (l *lines) Enabled(context.Context, slog.Level) bool { return true }
func (l *lines) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *lines) WithGroup(string) slog.Handler            { return l }
func (l *lines) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	b.WriteString(r.Level.String() + " " + r.Message)
	r.Attrs(func(a slog.Attr) bool { b.WriteString(" " + a.String()); return true })
	l.mu.Lock()
	defer l.mu.Unlock()
	l.said = append(l.said, b.String())
	return nil
}

func (l *lines) all() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.said, "\n")
}

func TestConnectionsAreBounded(t *testing.T) {
	l := newPipes()
	a := NewAdmission(Config{MaxConnections: 4, MaxPerClient: 2, Allowed: func(a netip.Addr) bool {
		return a == netip.MustParseAddr("192.0.2.200")
	}})
	wl := a.Wrap(l)
	accepted := make(chan net.Conn)
	go func() {
		defer close(accepted)
		for {
			c, err := wl.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	// comes in tells whether a client is served: either it is accepted, or its end is closed.
	comesIn := func(from string) net.Conn {
		t.Helper()
		peer := l.dial(from)
		t.Cleanup(func() { peer.Close() })
		gone := make(chan struct{})
		go func() { defer close(gone); peer.Read(make([]byte, 1)) }()
		select {
		case c := <-accepted:
			return c
		case <-gone:
			return nil
		}
	}
	a1, a2 := comesIn("[2001:db8:1:2:3::1]:1"), comesIn("[2001:db8:1:2:4::1]:1")
	if a1 == nil || a2 == nil {
		t.Fatal("refused below every bound")
	}
	if comesIn("[2001:db8:1:2:5::1]:1") != nil {
		t.Error("a third connection of one /64 came in")
	}
	b := comesIn("192.0.2.200:1")
	c := comesIn("192.0.2.200:2")
	if b == nil || c == nil {
		t.Fatal("another client was refused")
	}
	if comesIn("203.0.113.1:1") != nil {
		t.Error("came in over MaxConnections")
	}
	c.Close()
	c.Close() // twice must not count twice
	if c = comesIn("192.0.2.200:3"); c == nil {
		t.Error("refused although there is room again")
	}
	a2.Close()
	a.Configure(Config{MaxConnections: 100, MaxPerClient: 1, Allowed: func(a netip.Addr) bool { return a.Is4() }})
	if comesIn("[2001:db8:1:2:6::1]:1") != nil {
		t.Error("the lower bound is not in force")
	}
	for i := range 5 {
		if comesIn("192.0.2.200:9") == nil {
			t.Errorf("connection %d of an allowed client was refused", i)
		}
	}
	s := a.Stats()
	if s.RefusedFull != 1 || s.RefusedClient != 2 || s.Open != 8 || s.Accepted != 10 {
		t.Errorf("stats %+v", s)
	}
	wl.Close()
	<-accepted
}

func TestNobodyComesInWhileMemoryIsFull(t *testing.T) {
	full := true
	friend := netip.MustParseAddr("192.0.2.7")
	a := NewAdmission(Config{Full: func() bool { return full }, Allowed: func(p netip.Addr) bool { return p == friend }})
	if a.fits(a.config.Load(), netip.MustParseAddr("192.0.2.8")) {
		t.Error("somebody came in")
	}
	if !a.fits(a.config.Load(), friend) {
		t.Error("who is on an allow list was refused")
	}
	full = false
	if !a.fits(a.config.Load(), netip.MustParseAddr("192.0.2.8")) {
		t.Error("refused though there is room again")
	}
	if s := a.Stats(); s.RefusedMemory != 1 || s.Open != 2 {
		t.Errorf("%+v", s)
	}
}

func TestFullTableCountsNeighboursTogether(t *testing.T) {
	w := crowd{newTable(1)} // one set
	var seats []seat
	for i := range ways - 1 {
		s, ok := w.take(clientOf(netip.AddrFrom4([4]byte{10, 0, byte(i), 1})), 1)
		if !ok || s == 0 {
			t.Fatalf("client %d was not counted", i)
		}
		seats = append(seats, s)
	}
	// One slot is left: it becomes the first newcomer's, and the next one finds none, not even a coarse one.
	first, ok := w.take(clientOf(netip.MustParseAddr("192.0.2.1")), 1)
	if !ok || first == 0 {
		t.Fatal("the last slot was not used")
	}
	if s, ok := w.take(clientOf(netip.MustParseAddr("198.51.100.1")), 1); !ok || s != 0 {
		t.Errorf("a new client before a full table: seat %d, ok %v; want no seat, and in", s, ok)
	}
	// With one place free again, take it for a coarse prefix by force, and see its allowance of four clients.
	w.leave(first)
	coarse := clientOf(netip.MustParseAddr("198.51.100.1")).coarse()
	if _, ok, full := w.takeOne(coarse, 4); !ok || full {
		t.Fatal("the coarse prefix found no slot")
	}
	in := 0
	for i := range 10 {
		if s, ok := w.take(clientOf(netip.AddrFrom4([4]byte{198, 51, 100, byte(i)})), 1); ok {
			in++
			seats = append(seats, s)
		}
	}
	if in != 3 {
		t.Errorf("%d newcomers came in under the coarse prefix, want 3 beside the first", in)
	}
	for _, s := range seats {
		w.leave(s)
	}
	left := int64(0)
	for _, e := range w.t.slots {
		left += e.held
	}
	if left != 1 { // the one taken by force
		t.Errorf("%d seats are still held, want 1", left)
	}
}

func TestTableAtItsLoad(t *testing.T) {
	const open = 50000
	w := crowd{newTable(2 * open)}
	coarse, uncounted := 0, 0
	for i := range open {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(i)*2654435761)
		s, ok := w.take(clientOf(netip.AddrFrom4(b)), 1)
		switch {
		case !ok:
			t.Fatalf("client %d was refused", i)
		case s == 0:
			uncounted++
		case w.t.slots[s-1].width == coarse4:
			coarse++
		}
	}
	if coarse > open/50 || uncounted > open/1000 {
		t.Errorf("of %d clients %d were counted coarsely and %d not at all", open, coarse, uncounted)
	}
	if size := len(w.t.slots) * int(unsafe.Sizeof(slot{})); size > 4<<20 {
		t.Errorf("the table takes %d bytes", size)
	}
}

func TestAcceptErrorsBackOffAndAreSaidOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, log := newPipes(), &lines{}
		a := NewAdmission(Config{Log: slog.New(log)})
		wl := a.Wrap(l)
		for range 20 {
			l.next <- error(&net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)})
		}
		l.next <- error(&net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.ECONNABORTED)})
		peer := l.dial("192.0.2.1:1")
		begin := time.Now()
		c, err := wl.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took < 10*time.Second || took > 20*time.Second {
			t.Errorf("20 failures took %v: that is a spin or a sleep", took)
		}
		if n := strings.Count(log.all(), "\n"); n != 0 || !strings.Contains(log.all(), "LimitNOFILE") {
			t.Errorf("said: %s", log.all())
		}
		if a.Stats().AcceptErrors != 20 {
			t.Errorf("counted %d errors", a.Stats().AcceptErrors)
		}
		c.Close()
		peer.Close()
		// Closing ends a pause at once.
		l.next <- error(syscall.EMFILE)
		done := make(chan error)
		go func() { _, err := wl.Accept(); done <- err }()
		synctest.Wait()
		wl.Close()
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept ended with %v", err)
		}
	})
}

func TestRefusedConnectionsAreReset(t *testing.T) {
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := NewAdmission(Config{MaxPerClient: 1})
	wl := a.Wrap(raw)
	kept := make(chan net.Conn, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := wl.Accept()
			if err != nil {
				return
			}
			kept <- c
		}
	}()
	first, err := net.Dial("tcp", raw.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	defer (<-kept).Close()
	second, err := net.Dial("tcp", raw.Addr().String())
	if err == nil {
		defer second.Close()
		_, err = second.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the second connection ended with %v, want a reset", err)
	}
	wl.Close()
	<-done
}

func TestConnIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(conn{}); n > 512 {
		t.Errorf("a connection takes %d bytes", n)
	}
}

func TestBudgetOfHandshakes(t *testing.T) {
	b, now := newBudget(), time.Unix(1000, 0)
	h := Handshakes{PerSecond: 100, PerClient: 1} // at once: 200 for the door, 10 for a client
	one, allowed := clientOf(netip.MustParseAddr("192.0.2.1")), clientOf(netip.MustParseAddr("192.0.2.2"))
	in := 0
	for range 300 {
		if b.spend(one, false, now, h) {
			in++
		}
	}
	if in < 100 || in > 102 {
		t.Errorf("one client alone had %d handshakes, want the half of the door's 200", in)
	}
	in = 0
	for i := range 300 {
		if b.spend(clientOf(netip.AddrFrom4([4]byte{10, byte(i), 0, 1})), false, now, h) {
			in++
		}
	}
	if in < 98 || in > 100 {
		t.Errorf("the others had %d handshakes, want the other half", in)
	}
	for range 50 {
		if !b.spend(allowed, true, now, h) {
			t.Fatal("an allowed client was refused")
		}
	}
	if !b.spend(clientOf(netip.MustParseAddr("192.0.2.77")), false, now.Add(time.Second), h) {
		t.Error("refused a second later")
	}
	if !b.spend(one, false, now.Add(time.Second), Handshakes{PerSecond: -1, PerClient: 1}) {
		t.Error("refused without a bound")
	}
	if b.refused.Load() != 400 && b.refused.Load() < 390 {
		t.Errorf("counted %d refusals", b.refused.Load())
	}
}

// loopback is a listener over one connection that is accepted again and again.
type loopback struct{ c net.Conn }

func (l loopback) Accept() (net.Conn, error) { return l.c, nil }
func (l loopback) Close() error              { return nil }
func (l loopback) Addr() net.Addr            { return nil }

type still struct{ addressed }

func (still) Close() error { return nil }

func BenchmarkAdmit(b *testing.B) {
	for _, bc := range []struct {
		name  string
		rules int
	}{{"plain", 0}, {"20 proxies", 20}} {
		b.Run(bc.name, func(b *testing.B) {
			cfg := Config{}
			for i := range bc.rules {
				cfg.ProxyProtocol = append(cfg.ProxyProtocol, prefixes("10."+string(rune('0'+i%10))+".0.0/16")...)
			}
			ours, _ := net.Pipe()
			from := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1234}
			l := NewAdmission(cfg).Wrap(loopback{still{addressed{ours, from}}})
			b.ReportAllocs()
			for b.Loop() {
				c, err := l.Accept()
				if err != nil {
					b.Fatal(err)
				}
				c.Close()
			}
		})
	}
}

func TestManyAtOnceLeaveNothingBehind(t *testing.T) {
	l := newPipes()
	a := NewAdmission(Config{MaxConnections: 64, MaxPerClient: 3, ProxyProtocol: prefixes("10.0.0.1/32")})
	wl := a.Wrap(l)
	var served atomic.Int64
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := wl.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				all.Go(func() { c.Close() }) // the race that a shutdown makes
				io.ReadAll(c)
				served.Add(1)
			})
		}
	})
	var clients sync.WaitGroup
	for i := range 8 {
		clients.Go(func() {
			for j := range 50 {
				p := l.dial("10.0.0.1:1")
				if j%2 == 0 {
					io.WriteString(p, "PROXY TCP4 192.0.2."+string(rune('0'+i))+" 192.0.2.2 4096 443\r\n")
				}
				p.Close()
			}
		})
	}
	clients.Wait()
	waitFor(t, func() bool { s := a.Stats(); return s.Accepted+s.RefusedFull+s.RefusedClient >= 400 })
	wl.Close()
	all.Wait()
	held := int64(0)
	for _, e := range a.crowd.t.slots {
		held += e.held
	}
	if s := a.Stats(); s.Open != 0 || held != 0 {
		t.Errorf("%d open, %d seats held after the end", s.Open, held)
	}
}

func BenchmarkTLSHandshake(b *testing.B) {
	dir := b.TempDir()
	certs, err := NewCertificates(CertificateConfig{Data: dir}, policy.ACME{}, []policy.Site{good(b, dir, "shop", "shop.example")})
	if err != nil {
		b.Fatal(err)
	}
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	l := NewAdmission(Config{Handshakes: Handshakes{PerSecond: -1}}).WrapTLS(raw, certs.TLSConfig(true, false))
	defer l.Close()
	for _, resumed := range []bool{false, true} {
		b.Run(map[bool]string{false: "full", true: "resumed"}[resumed], func(b *testing.B) {
			client := &tls.Config{ServerName: "shop.example", InsecureSkipVerify: true}
			if resumed {
				client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			}
			b.ReportAllocs()
			for b.Loop() {
				peer, err := net.Dial("tcp", l.Addr().String())
				if err != nil {
					b.Fatal(err)
				}
				done := make(chan struct{})
				go func() {
					defer close(done)
					c := tls.Client(peer, client)
					io.ReadAll(c)
					c.Close()
				}()
				c, err := l.Accept()
				if err == nil {
					err = c.(*tls.Conn).Handshake()
				}
				if err != nil {
					b.Fatal(err)
				}
				io.WriteString(c, "hello")
				c.Close()
				<-done
			}
		})
	}
}
