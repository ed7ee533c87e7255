package listen

import (
	"crypto/tls"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"stormdoor/policy"
)

func TestHandshakesTakeTurns(t *testing.T) {
	certs, err := NewCertificates(CertificateConfig{Data: t.TempDir()}, policy.ACME{}, []policy.Site{good(t, t.TempDir(), "shop", "shop.example")})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		pipes, a := newPipes(), NewAdmission(Config{})
		l := a.WrapTLS(pipes, certs.TLSConfig(true, false))
		defer l.Close()
		handshake := func(server string) (took time.Duration, err error) {
			raw := pipes.dialEager("192.0.2.1:1")
			defer raw.Close()
			go func() {
				client := tls.Client(raw, &tls.Config{ServerName: server, InsecureSkipVerify: true})
				_ = client.Handshake()
				client.Close()
			}()
			c, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			begin := time.Now()
			err = c.(*tls.Conn).Handshake()
			return time.Since(begin), err
		}

		for range cap(a.turns) {
			a.turns.take()
		}
		if took, err := handshake("shop.example"); err != nil || took != turnPatience {
			t.Errorf("without a turn a handshake took %v: %v, want %v", took, err, turnPatience)
		}
		if len(a.turns) != cap(a.turns) {
			t.Errorf("%d turns are held, want %d: a handshake gave back what it did not have", len(a.turns), cap(a.turns))
		}
		time.AfterFunc(turnPatience/2, a.turns.giveBack)
		for i, want := range []time.Duration{turnPatience / 2, 0} {
			if took, err := handshake("shop.example"); err != nil || took != want {
				t.Errorf("handshake %d took %v: %v, want %v", i, took, err, want)
			}
		}
		if _, err := handshake("other.example"); err == nil {
			t.Error("a handshake for an unknown host came through")
		}
		ours, _ := net.Pipe()
		c := &conn{Conn: ours, a: a}
		c.greeted("shop.example", "")
		c.endTurn() // by the first write, which asks for another ClientHello
		if !c.mayHandshake() || !c.turn.Load() {
			t.Error("a ClientHello that is said again is worked on without a turn")
		}
		c.Close()
		if len(a.turns) != cap(a.turns)-1 {
			t.Errorf("%d turns are held, want %d", len(a.turns), cap(a.turns)-1)
		}
	})
}
