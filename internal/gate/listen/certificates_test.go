package listen

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"stormdoor/internal/wire"
	"stormdoor/policy"
)

var today = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// issue writes a certificate for the hosts and its key to folder and returns their files.
func issue(t testing.TB, folder, name string, from, to time.Time, hosts ...string) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: from, NotAfter: to, DNSNames: hosts}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(folder, name+".crt"), filepath.Join(folder, name+".key")
	os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
	os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret}), 0o600)
	return cert, key
}

// good writes a certificate that is valid around today.
func good(t testing.TB, folder, name string, hosts ...string) policy.Site {
	cert, key := issue(t, folder, name, today.AddDate(0, -1, 0), today.AddDate(10, 0, 0), hosts...)
	return policy.Site{Name: name, Hosts: hosts, TLS: &policy.TLS{Certificate: cert, Key: key}}
}

func TestCertificateMistakes(t *testing.T) {
	dir := t.TempDir()
	shop := good(t, dir, "shop", "shop.example", "www.shop.example")
	other := good(t, dir, "other", "other.example")
	wild := good(t, dir, "wild", "*.wild.example")
	oldCert, oldKey := issue(t, dir, "old", today.AddDate(-1, 0, 0), today.AddDate(0, 0, -1), "old.example")
	newCert, newKey := issue(t, dir, "new", today.AddDate(0, 0, 1), today.AddDate(1, 0, 0), "new.example")
	garbage := filepath.Join(dir, "garbage")
	os.WriteFile(garbage, []byte("no PEM"), 0o600)
	locked := filepath.Join(dir, "locked")
	os.WriteFile(locked, []byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"), 0o600)
	agreed := policy.ACME{Agree: true}
	for _, tc := range []struct {
		name  string
		hosts []string
		tls   policy.TLS
		acme  policy.ACME
		want  []string // nil for none
	}{
		{"good", shop.Hosts, *shop.TLS, policy.ACME{}, nil},
		{"wildcard", []string{"*.wild.example", "a.wild.example"}, *wild.TLS, policy.ACME{}, nil},
		{"catch-all", []string{"*"}, *shop.TLS, policy.ACME{}, nil},
		{"key of another", shop.Hosts, policy.TLS{Certificate: shop.TLS.Certificate, Key: other.TLS.Key}, policy.ACME{}, []string{"private key does not match", shop.TLS.Certificate, other.TLS.Key}},
		{"host not covered", []string{"shop.example", "api.shop.example"}, *shop.TLS, policy.ACME{}, []string{shop.TLS.Certificate, `does not cover the host "api.shop.example"`, "covers shop.example, www.shop.example"}},
		{"wildcard not covered", []string{"*.shop.example"}, *shop.TLS, policy.ACME{}, []string{`"*.shop.example"`}},
		{"expired", []string{"old.example"}, policy.TLS{Certificate: oldCert, Key: oldKey}, policy.ACME{}, []string{"expired on 2026-02-28 12:00 UTC"}},
		{"not yet valid", []string{"new.example"}, policy.TLS{Certificate: newCert, Key: newKey}, policy.ACME{}, []string{"valid only from 2026-03-02", "now it is 2026-03-01"}},
		{"missing file", shop.Hosts, policy.TLS{Certificate: dir + "/none", Key: shop.TLS.Key}, policy.ACME{}, []string{dir + "/none", "no such file"}},
		{"a folder", shop.Hosts, policy.TLS{Certificate: shop.TLS.Certificate, Key: dir}, policy.ACME{}, []string{"is not a file"}},
		{"garbage", shop.Hosts, policy.TLS{Certificate: garbage, Key: shop.TLS.Key}, policy.ACME{}, []string{"holds no PEM block"}},
		{"encrypted key", shop.Hosts, policy.TLS{Certificate: shop.TLS.Certificate, Key: locked}, policy.ACME{}, []string{"encrypted"}},
		{"key missing", shop.Hosts, policy.TLS{Certificate: shop.TLS.Certificate}, policy.ACME{}, []string{"both certificate and key"}},
		{"nothing named", shop.Hosts, policy.TLS{}, policy.ACME{}, []string{"wants one of"}},
		{"two sources", shop.Hosts, policy.TLS{ACME: true, SelfSigned: true}, agreed, []string{"wants one of"}},
		{"terms not agreed to", shop.Hosts, policy.TLS{ACME: true}, policy.ACME{}, []string{"set acme.agree"}},
		{"ACME for a wildcard", []string{"*.shop.example"}, policy.TLS{ACME: true}, agreed, []string{"DNS challenge"}},
		{"CA missing", shop.Hosts, *shop.TLS, policy.ACME{CA: dir + "/none"}, []string{"acme.ca"}},
		{"CA garbage", shop.Hosts, *shop.TLS, policy.ACME{CA: garbage}, []string{"acme.ca", "no certificate"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			site := policy.Site{Name: "the-site", Hosts: tc.hosts, TLS: &tc.tls}
			err := CheckCertificates(tc.acme, []policy.Site{{Hosts: []string{"plain.example"}}, site}, today)
			if tc.want == nil {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil {
				t.Fatal("no error")
			}
			for _, w := range tc.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("the error %q does not say %q", err, w)
				}
			}
			if !strings.Contains(err.Error(), "the-site") && !strings.Contains(err.Error(), "acme.ca") {
				t.Errorf("the error %q does not name the site", err)
			}
		})
	}
	err := CheckCertificates(policy.ACME{}, []policy.Site{
		{Name: "one", Hosts: []string{"a"}, TLS: &policy.TLS{}}, {Name: "two", Hosts: []string{"b"}, TLS: &policy.TLS{}}}, today)
	if err == nil || !strings.Contains(err.Error(), `"one"`) || !strings.Contains(err.Error(), `"two"`) {
		t.Errorf("want the mistakes of both sites, got %v", err)
	}
}

// door is a TLS listener on loopback that answers each connection with the first protocol and its Info.
func door(t *testing.T, a *Admission, c *tls.Config) (addr string, infos chan wire.Conn) {
	t.Helper()
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := a.WrapTLS(raw, c)
	infos = make(chan wire.Conn, 100)
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
				if c.(*tls.Conn).Handshake() != nil {
					return
				}
				infos <- *c.(*tls.Conn).NetConn().(wire.Informed).Info()
				io.WriteString(c, "hello")
			}()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return raw.Addr().String(), infos
}

// visit makes a handshake and returns its state, once the server has answered.
func visit(addr string, c *tls.Config) (tls.ConnectionState, error) {
	conn, err := tls.Dial("tcp", addr, c)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer conn.Close()
	_, err = io.ReadAll(conn)
	return conn.ConnectionState(), err
}

func TestHandshakes(t *testing.T) {
	dir := t.TempDir()
	clock := func() time.Time { return today }
	catchAll := good(t, dir, "rest", "rest.example")
	catchAll.Hosts = []string{"*"}
	sites := []policy.Site{
		good(t, dir, "shop", "shop.example", "*.shop.example"),
		{Name: "try", Hosts: []string{"try.example", "127.0.0.1"}, TLS: &policy.TLS{SelfSigned: true}},
		{Name: "plain", Hosts: []string{"plain.example"}},
	}
	certs, err := NewCertificates(CertificateConfig{Data: dir, Now: clock}, policy.ACME{}, sites)
	if err != nil {
		t.Fatal(err)
	}
	addr, infos := door(t, NewAdmission(Config{}), certs.TLSConfig(true, false))
	for _, tc := range []struct {
		name  string
		sni   string
		alpn  []string
		max   uint16
		subj  string // a name of the certificate, "" for a refusal
		proto string
	}{
		{"exact", "shop.example", []string{"h2", "http/1.1"}, 0, "shop.example", "h2"},
		{"HTTP/1.1", "SHOP.example", []string{"http/1.1"}, 0, "shop.example", "http/1.1"},
		{"wildcard", "a.shop.example", nil, 0, "shop.example", ""},
		{"deeper", "a.b.shop.example", nil, 0, "shop.example", ""},
		{"TLS 1.2", "shop.example", nil, tls.VersionTLS12, "shop.example", ""},
		{"TLS 1.1", "shop.example", nil, tls.VersionTLS11, "", ""},
		{"self-signed", "try.example", nil, 0, "try.example", ""},
		{"no name, but a site of this address", "", nil, 0, "try.example", ""},
		{"unknown", "evil.example", nil, 0, "", ""},
		{"a site without TLS", "plain.example", nil, 0, "", ""},
		{"suffix without a dot", "notshop.example", nil, 0, "", ""},
		{"a challenge that nobody ordered", "shop.example", []string{ACMEProtocol}, 0, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			st, err := visit(addr, &tls.Config{ServerName: tc.sni, NextProtos: tc.alpn, MinVersion: tls.VersionTLS10,
				MaxVersion: tc.max, InsecureSkipVerify: true})
			if tc.subj == "" {
				if err == nil {
					t.Fatal("served")
				}
				if tc.max == 0 && !strings.Contains(err.Error(), "unrecognized name") {
					t.Errorf("refused with %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := st.PeerCertificates[0].VerifyHostname(tc.subj); err != nil || st.NegotiatedProtocol != tc.proto {
				t.Errorf("certificate %v, protocol %q", err, st.NegotiatedProtocol)
			}
			info := <-infos
			if !info.TLS || info.ServerName != strings.ToLower(tc.sni) || !strings.HasPrefix(info.JA4, "t1") || len(info.JA4) != 36 {
				t.Errorf("info %+v", info)
			}
		})
	}

	// A reload is all or nothing.
	bad := good(t, dir, "bad", "bad.example")
	bad.Hosts = []string{"worse.example"}
	if err := certs.Reload(Reach{}, policy.ACME{}, []policy.Site{catchAll, bad}); err == nil {
		t.Fatal("a bad policy was taken")
	}
	if _, err := visit(addr, &tls.Config{ServerName: "shop.example", InsecureSkipVerify: true}); err != nil {
		t.Errorf("after a refused reload: %v", err)
	}
	if err := certs.Reload(Reach{}, policy.ACME{}, []policy.Site{catchAll}); err != nil {
		t.Fatal(err)
	}
	st, err := visit(addr, &tls.Config{ServerName: "evil.example", InsecureSkipVerify: true})
	if err != nil || st.PeerCertificates[0].VerifyHostname("rest.example") != nil {
		t.Errorf("the catch-all does not answer: %v", err)
	}
}

func TestExpiredCertificateStaysButIsNotTaken(t *testing.T) {
	dir, log := t.TempDir(), &lines{}
	now := today
	cert, key := issue(t, dir, "shop", today.AddDate(0, -1, 0), today.AddDate(0, 0, 7), "shop.example")
	shop := policy.Site{Name: "shop", Hosts: []string{"shop.example"}, TLS: &policy.TLS{Certificate: cert, Key: key}}
	cfg := CertificateConfig{Data: dir, Now: func() time.Time { return now }, Log: slog.New(log)}
	certs, err := NewCertificates(cfg, policy.ACME{}, []policy.Site{shop})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.all(), "WARN a certificate expires soon") || !strings.Contains(log.all(), "days=7") {
		t.Errorf("said: %s", log.all())
	}
	now = today.AddDate(0, 0, 8)
	if err := certs.Reload(Reach{}, policy.ACME{}, []policy.Site{shop}); err != nil {
		t.Errorf("the certificate in force hinders another change: %v", err)
	}
	if !strings.Contains(log.all(), "ERROR a certificate is not valid") {
		t.Errorf("said: %s", log.all())
	}
	oldCert, oldKey := issue(t, dir, "old", today.AddDate(-1, 0, 0), today.AddDate(0, 0, -1), "old.example")
	old := policy.Site{Name: "old", Hosts: []string{"old.example"}, TLS: &policy.TLS{Certificate: oldCert, Key: oldKey}}
	if err := certs.Reload(Reach{}, policy.ACME{}, []policy.Site{shop, old}); err == nil || !strings.Contains(err.Error(), "expired on") {
		t.Errorf("an expired certificate that is new: %v", err)
	}
	if _, err := NewCertificates(cfg, policy.ACME{}, []policy.Site{shop, old}); err != nil {
		t.Errorf("a restart fails because of a lapsed certificate: %v", err)
	}
}

func TestSelfSigned(t *testing.T) {
	dir := t.TempDir()
	first, err := selfSigned(dir, "try", []string{"try.example", "*.try.example", "192.0.2.1", "*"}, today)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{"try.example", "a.try.example", "192.0.2.1", "localhost", "127.0.0.1"} {
		if err := first.Leaf.VerifyHostname(n); err != nil {
			t.Error(err)
		}
	}
	if life := first.Leaf.NotAfter.Sub(today); life != selfSignedFor {
		t.Errorf("valid for %v", life)
	}
	info, err := os.Stat(first.file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	again, err := selfSigned(dir, "try", []string{"try.example", "*.try.example", "192.0.2.1", "*"}, today.AddDate(0, 0, 70))
	if err != nil || again.digest != first.digest {
		t.Errorf("made anew although it is good: %v", err)
	}
	late, err := selfSigned(dir, "try", []string{"try.example", "*.try.example", "192.0.2.1", "*"}, today.AddDate(0, 0, 80))
	if err != nil || late.digest == first.digest {
		t.Errorf("not renewed ten days before the end: %v", err)
	}
	os.WriteFile(late.file, []byte("damaged"), 0o600)
	if _, err := selfSigned(dir, "try", []string{"try.example", "*.try.example", "192.0.2.1", "*"}, today); err != nil {
		t.Errorf("a damaged file: %v", err)
	}
	if _, err := selfSigned(late.file, "try", []string{"x.example"}, today); err == nil || !strings.Contains(err.Error(), `"try"`) {
		t.Errorf("a folder that cannot be: %v", err)
	}
}

func TestRunRenewsSelfSigned(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		log := &lines{}
		certs, err := NewCertificates(CertificateConfig{Data: dir, Log: slog.New(log)}, policy.ACME{},
			[]policy.Site{{Hosts: []string{"try.example"}, TLS: &policy.TLS{SelfSigned: true}}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- certs.Run(ctx) }()
		old, _ := certs.now.Load().find("try.example")
		time.Sleep(77 * 24 * time.Hour)
		if p, _ := certs.now.Load().find("try.example"); p.digest == old.digest || p.valid(time.Now()) != nil {
			t.Error("not renewed")
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if strings.Contains(log.all(), "WARN") || strings.Contains(log.all(), "ERROR") {
			t.Errorf("said: %s", log.all())
		}
	})
}

func TestHandshakeBudgetAndResumption(t *testing.T) {
	dir := t.TempDir()
	certs, err := NewCertificates(CertificateConfig{Data: dir}, policy.ACME{}, []policy.Site{good(t, dir, "shop", "shop.example")})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	a := NewAdmission(Config{Handshakes: Handshakes{PerSecond: 2, PerClient: 1}, Now: func() time.Time { return now }})
	addr, _ := door(t, a, certs.TLSConfig(true, false))
	full := &tls.Config{ServerName: "shop.example", InsecureSkipVerify: true}
	resuming := full.Clone()
	resuming.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	if _, err := visit(addr, resuming); err != nil {
		t.Fatal(err)
	}
	in := 1
	for range 10 {
		if _, err := visit(addr, full); err == nil {
			in++
		}
	}
	if in != 4 { // two a second, two seconds' worth
		t.Errorf("%d full handshakes came through, want 4", in)
	}
	for range 5 {
		st, err := visit(addr, resuming)
		if err != nil || !st.DidResume {
			t.Fatalf("a resumed session was refused: resumed %v, %v", st.DidResume, err)
		}
	}
	if s := a.Stats(); s.FullHandshakes != 4 || s.RefusedHandshakes != 7 {
		t.Errorf("stats %+v", s)
	}
	a.Configure(Config{Handshakes: Handshakes{PerSecond: 2, PerClient: 1}, Now: func() time.Time { return now },
		Allowed: func(netip.Addr) bool { return true }})
	if _, err := visit(addr, full); err != nil {
		t.Errorf("an allowed client was refused: %v", err)
	}
}

func TestHandshakeDeadline(t *testing.T) {
	dir := t.TempDir()
	certs, err := NewCertificates(CertificateConfig{Data: dir}, policy.ACME{}, []policy.Site{good(t, dir, "shop", "shop.example")})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		l := newPipes()
		wl := NewAdmission(Config{ProxyProtocol: prefixes("10.0.0.1/32")}).WrapTLS(l, certs.TLSConfig(true, false))
		defer wl.Close()

		// A silent client has the handshake's 10 s, even if the server's own deadline is later.
		silent := l.dialEager("192.0.2.1:1")
		defer silent.Close()
		c, err := wl.Accept()
		if err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(time.Hour))
		begin := time.Now()
		if err := c.(*tls.Conn).Handshake(); err == nil || time.Since(begin) != 10*time.Second {
			t.Errorf("the handshake ended after %v with %v", time.Since(begin), err)
		}
		c.Close()

		// Behind a PROXY header, a good one is not disturbed, and afterwards the server's deadline counts.
		raw := l.dialEager("10.0.0.1:1")
		defer raw.Close()
		done := make(chan error, 1)
		go func() {
			io.WriteString(raw, "PROXY TCP4 192.0.2.1 192.0.2.2 4096 443\r\n")
			client := tls.Client(raw, &tls.Config{ServerName: "shop.example", InsecureSkipVerify: true})
			done <- client.Handshake()
			time.Sleep(time.Minute)
			client.Write([]byte("x"))
		}()
		if c, err = wl.Accept(); err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.(*tls.Conn).Handshake(); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Time{})
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Errorf("a minute later: %v", err)
		}
		info := c.(*tls.Conn).NetConn().(wire.Informed).Info()
		if info.Peer.String() != "192.0.2.1:4096" || info.Via.String() != "10.0.0.1:1" || info.ServerName != "shop.example" {
			t.Errorf("info %+v", info)
		}
	})
}
