//go:build e2e

package listen

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"

	"stormdoor/policy"
)

// nameServer answers every A query with 127.0.0.1 and is ended by the test.
func nameServer(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0") // the validator asks over TCP
	if err != nil {
		t.Fatal(err)
	}
	srv := &dns.Server{Listener: l, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		if q.Question[0].Qtype == dns.TypeA {
			m.Answer = append(m.Answer, &dns.A{A: net.IPv4(127, 0, 0, 1),
				Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET}})
		}
		w.WriteMsg(m)
	})}
	done := make(chan struct{})
	go func() { defer close(done); srv.ActivateAndServe() }()
	t.Cleanup(func() { srv.Shutdown(); <-done })
	return l.Addr().String()
}

// pebble is a real ACME server on loopback that validates on the given ports.
func pebble(t *testing.T, httpPort, tlsPort int) (directory, caFile string) {
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	t.Setenv("PEBBLE_WFE_NONCEREJECT", "0")
	logger := log.New(io.Discard, "", 0)
	store := db.NewMemoryStore()
	authority := ca.New(logger, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {ValidityPeriod: 7776000}})
	validator := va.New(logger, httpPort, tlsPort, false, nameServer(t), store)
	front := wfe.New(logger, store, validator, authority, []string{"pebble.letsencrypt.org"}, false, false, 1, 1)
	srv := httptest.NewTLSServer(front.Handler())
	t.Cleanup(srv.Close)
	caFile = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return srv.URL + wfe.DirectoryPath, caFile
}

// answerChallenges is what the roof does on the clear text listener.
func answerChallenges(t *testing.T, l net.Listener, certs *Certificates) {
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if body, ok := certs.HTTPChallenge(r.Host, r.URL.Path); ok {
			io.WriteString(w, body)
			return
		}
		http.NotFound(w, r)
	})}
	done := make(chan struct{})
	go func() { defer close(done); srv.Serve(l) }()
	t.Cleanup(func() { srv.Close(); <-done })
}

func TestACME(t *testing.T) {
	for _, tc := range []struct {
		name      string
		http, tls bool
	}{{"HTTP-01", true, false}, {"TLS-ALPN-01", false, true}} {
		t.Run(tc.name, func(t *testing.T) {
			clear, secret, dir, said := freeAddr(t), freeAddr(t), t.TempDir(), &lines{}
			set, err := Open([]string{clear}, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer set.Close()
			cfg := CertificateConfig{Data: dir, Log: slog.New(said)}
			if tc.http {
				cfg.Reach.HTTP = netip.MustParseAddrPort(clear)
			}
			// The listener for TLS has to be there before its port is known.
			raw, err := net.Listen("tcp", secret)
			if err != nil {
				t.Fatal(err)
			}
			if tc.tls {
				cfg.Reach.HTTPS = netip.MustParseAddrPort(secret)
			}
			port := func(a string) int { return int(netip.MustParseAddrPort(a).Port()) }
			directory, caFile := pebble(t, port(clear), port(secret))
			settings := policy.ACME{Directory: directory, CA: caFile, Email: "a@example.org", Agree: true}
			sites := []policy.Site{{Name: "shop", Hosts: []string{"shop.test"}, TLS: &policy.TLS{ACME: true}}}
			certs, err := NewCertificates(cfg, settings, sites)
			if err != nil {
				t.Fatal(err)
			}
			answerChallenges(t, set.Listener(clear), certs)
			l := NewAdmission(Config{}).WrapTLS(raw, certs.TLSConfig(true, false))
			addr := serveHello(t, l)

			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- certs.Run(ctx) }()
			defer func() { cancel(); <-done }()
			leaf := awaitCertificate(t, addr, "shop.test", said)
			if err := leaf.VerifyHostname("shop.test"); err != nil {
				t.Error(err)
			}
			for _, want := range []string{"INFO asking for a certificate host=shop.test", "INFO got a certificate host=shop.test"} {
				if !strings.Contains(said.all(), want) {
					t.Errorf("not said: %s", want)
				}
			}
			if _, err := visit(addr, &tls.Config{ServerName: "evil.test", InsecureSkipVerify: true}); err == nil ||
				!strings.Contains(err.Error(), "unrecognized name") {
				t.Errorf("an unknown name: %v", err)
			}

			// A name that comes with a reload is obtained too, and the first stays.
			sites[0].Hosts = []string{"shop.test", "www.shop.test"}
			if err := certs.Reload(cfg.Reach, settings, sites); err != nil {
				t.Fatal(err)
			}
			awaitCertificate(t, addr, "www.shop.test", said)
			if again := awaitCertificate(t, addr, "shop.test", said); again.SerialNumber.Cmp(leaf.SerialNumber) != 0 {
				t.Error("the first certificate was obtained twice")
			}
			// One that goes is not answered any more.
			sites[0].Hosts = []string{"shop.test"}
			if err := certs.Reload(cfg.Reach, settings, sites); err != nil {
				t.Fatal(err)
			}
			if _, err := visit(addr, &tls.Config{ServerName: "www.shop.test", InsecureSkipVerify: true}); err == nil {
				t.Error("a name that is gone is still served")
			}

			// After a restart the certificate is there at once, without the ACME server.
			settings.Directory = directory
			cfg.Data = dir
			restarted, err := NewCertificates(cfg, settings, sites)
			if err != nil {
				t.Fatal(err)
			}
			raw2, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			addr2 := serveHello(t, NewAdmission(Config{}).WrapTLS(raw2, restarted.TLSConfig(true, false)))
			done2 := make(chan error)
			go func() { done2 <- restarted.Run(ctx) }()
			defer func() { cancel(); <-done2 }()
			if kept := awaitCertificate(t, addr2, "shop.test", said); kept.SerialNumber.Cmp(leaf.SerialNumber) != 0 {
				t.Error("the certificate was not kept")
			}
		})
	}
}

// serveHello answers each TLS connection with "hello" until the test ends.
func serveHello(t *testing.T, l net.Listener) string {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.WriteString(c, "hello")
			}()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

func awaitCertificate(t *testing.T, addr, name string, said *lines) *x509.Certificate {
	t.Helper()
	var err error
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		var st tls.ConnectionState
		if st, err = visit(addr, &tls.Config{ServerName: name, InsecureSkipVerify: true}); err == nil {
			return st.PeerCertificates[0]
		}
	}
	t.Fatalf("no certificate for %s: %v\n%s", name, err, said.all())
	return nil
}

func TestACMEFailureIsExplained(t *testing.T) {
	clear, said := freeAddr(t), &lines{}
	set, err := Open([]string{clear}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	// The ACME server looks on another port than the door's: nobody answers there.
	directory, caFile := pebble(t, 1, 1)
	certs, err := NewCertificates(CertificateConfig{Data: t.TempDir(), Log: slog.New(said), Reach: Reach{HTTP: netip.MustParseAddrPort(clear)}},
		policy.ACME{Directory: directory, CA: caFile, Agree: true},
		[]policy.Site{{Hosts: []string{"shop.test"}, TLS: &policy.TLS{ACME: true}}})
	if err != nil {
		t.Fatal(err)
	}
	answerChallenges(t, set.Listener(clear), certs)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- certs.Run(ctx) }()
	for end := time.Now().Add(15 * time.Second); !strings.Contains(said.all(), "ERROR cannot obtain"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not said: %s", said.all())
		}
	}
	want := fmt.Sprintf("port 80 to %d", netip.MustParseAddrPort(clear).Port())
	if !strings.Contains(said.all(), want) || !strings.Contains(said.all(), "host=shop.test") {
		t.Errorf("said: %s", said.all())
	}
	cancel()
	<-done
}
