package listen

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"stormdoor/flow"
	"stormdoor/internal/wire"
	"stormdoor/policy"
)

// serve3 serves HTTP/3 on loopback and sends what each exchange knows of its connection.
func serve3(t *testing.T, c *tls.Config, o HTTP3) (addr string, conns chan wire.Conn, stop func()) {
	t.Helper()
	set, err := Open([]string{"udp:127.0.0.1:0"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	pc := set.Packet("udp:127.0.0.1:0")
	conns = make(chan wire.Conn, 10)
	h := wire.StdHandler(func(ex wire.Exchange) {
		conns <- *ex.Conn()
		body, _ := io.ReadAll(ex.Body())
		if ex.Request().Proto == flow.HTTP3 && ex.Respond(200, flow.Header{}, -1) == nil {
			ex.Write(append([]byte("got "), body...))
			ex.End(flow.Header{})
		}
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- ServeHTTP3(ctx, pc, c, h, o) }()
	stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("ServeHTTP3 ended with %v", err)
		}
		set.Close()
	}
	return pc.LocalAddr().String(), conns, stop
}

func client3(name string) (*http.Client, func()) {
	tr := &http3.Transport{
		TLSClientConfig: &tls.Config{ServerName: name, InsecureSkipVerify: true},
		QUICConfig:      &quic.Config{HandshakeIdleTimeout: 2 * time.Second},
	}
	return &http.Client{Transport: tr, Timeout: 5 * time.Second}, func() { tr.Close() }
}

func TestHTTP3(t *testing.T) {
	dir := t.TempDir()
	certs, err := NewCertificates(CertificateConfig{Data: dir}, policy.ACME{}, []policy.Site{good(t, dir, "shop", "shop.example")})
	if err != nil {
		t.Fatal(err)
	}
	a := NewAdmission(Config{MaxPerClient: 1})
	addr, conns, stop := serve3(t, certs.TLSConfig(false, true), HTTP3{Admission: a, Grace: func() time.Duration { return time.Second }, ResetKey: [32]byte{1}})
	c, closeClient := client3("shop.example")
	for range 3 {
		res, err := c.Post("https://"+addr+"/", "text/plain", strings.NewReader("this"))
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(res.Body); string(body) != "got this" || err != nil {
			t.Errorf("answer %q, %v", body, err)
		}
		res.Body.Close()
		info := <-conns
		if !info.TLS || info.ServerName != "shop.example" || !strings.HasPrefix(info.JA4, "q13d") ||
			!info.Peer.Addr().IsLoopback() || info.Local.String() != addr {
			t.Errorf("info %+v", info)
		}
	}
	if s := a.Stats(); s.Open != 1 || s.Accepted != 1 || s.FullHandshakes != 1 {
		t.Errorf("stats %+v", s)
	}

	second, closeSecond := client3("shop.example")
	if _, err := second.Get("https://" + addr + "/"); err == nil {
		t.Error("a second connection came in over the client's bound")
	}
	closeSecond()
	a.Configure(Config{})
	for _, name := range []string{"evil.example", ""} {
		other, closeOther := client3(name)
		if _, err := other.Get("https://" + addr + "/"); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
			t.Errorf("name %q: %v", name, err)
		}
		closeOther()
	}
	closeClient()
	stop()
	waitFor(t, func() bool { return a.Stats().Open == 0 })
}

// waitFor waits for what other goroutines bring about, at most a few seconds.
func waitFor(t *testing.T, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it did not come about")
		}
	}
}

func TestForgedAddressesHaveToProveThemselves(t *testing.T) {
	now := time.Now()
	verify := HTTP3{Admission: NewAdmission(Config{Now: func() time.Time { return now }})}.verifier()
	free := 0
	for range 1000 {
		if !verify(&net.UDPAddr{}) {
			free++
		}
	}
	if free != 2*quicUnverified {
		t.Errorf("%d came in without a proof", free)
	}
	now = now.Add(time.Second)
	if verify(&net.UDPAddr{}) {
		t.Error("a second later a good visitor still pays a round trip")
	}
}

func TestAltSvc(t *testing.T) {
	if got := AltSvc(443); got != `h3=":443"; ma=3600` {
		t.Error(got)
	}
}
