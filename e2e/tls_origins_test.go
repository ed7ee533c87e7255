//go:build e2e

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// certificate makes a key and a certificate for a name, signed by parent, or by itself when parent is nil.
func certificate(t testing.TB, name string, expires time.Time, parent *tls.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: expires,
		IsCA: parent == nil, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	issuer, signer := c, any(key)
	if parent != nil {
		issuer, signer = parent.Leaf, parent.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, c, issuer, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// files writes a certificate and its key as PEM.
func files(t testing.TB, c tls.Certificate) (certFile, keyFile string) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return write(t, "cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]}))),
		write(t, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
}

// tlsOrigin serves hello over TLS with the certificate.
func tlsOrigin(t testing.TB, c tls.Certificate) (addr string) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Proto", r.Proto)
		hello(w, r)
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{c}, NextProtos: []string{"h2", "http/1.1"}}
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // refused handshakes are the point
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.Listener.Addr().(*net.TCPAddr).String()
}

func TestOriginsOverTLSAreVerified(t *testing.T) {
	ca := certificate(t, "the authority", time.Now().Add(time.Hour), nil)
	caFile, _ := files(t, ca)
	good := tlsOrigin(t, certificate(t, "shop.internal", time.Now().Add(time.Hour), &ca))
	expired := tlsOrigin(t, certificate(t, "shop.internal", time.Now().Add(-time.Hour), &ca))
	other := tlsOrigin(t, certificate(t, "other.internal", time.Now().Add(time.Hour), &ca))
	entry := func(host, url, ca string) string {
		return "  - {hosts: [" + host + "], origins: [{url: '" + url + "', server_name: shop.internal" + ca + "}]}\n"
	}
	trusted := ", ca: " + caFile
	d := startDoor(t, "sites:\n"+entry("good", "https://"+good, trusted)+entry("good2", "h2://"+good, trusted)+
		entry("expired", "https://"+expired, trusted)+entry("other", "https://"+other, trusted)+
		entry("unknown", "https://"+good, "")+entry("unknown2", "h2://"+good, ""))
	for _, c := range []struct{ host, want string }{
		{"good", "x-proto: http/1.1"}, {"good2", "x-proto: http/2.0"},
		{"expired", "502"}, {"other", "502"}, {"unknown", "502"}, {"unknown2", "502"},
	} {
		out := strings.ToLower(curl(t, "-i", "-H", "Host: "+c.host, d.url))
		if !strings.Contains(out, c.want) || strings.Contains(out, "hello") == (c.want == "502") {
			t.Errorf("%s: %q, want %q", c.host, out, c.want)
		}
		if c.want == "502" && !strings.Contains(out, "origin.down") {
			t.Errorf("%s: %q", c.host, out)
		}
	}
}

// TestNginxDemandsTheDoorsCertificate: an origin that takes connections from the door alone, with authorities of its own.
func TestNginxDemandsTheDoorsCertificate(t *testing.T) {
	ca, other := certificate(t, "the authority", time.Now().Add(time.Hour), nil), certificate(t, "another authority", time.Now().Add(time.Hour), nil)
	caFile, _ := files(t, ca)
	cert, key := files(t, certificate(t, "app.internal", time.Now().Add(time.Hour), &ca))
	addr := nginxTLS(t, cert, key, caFile)
	entry := func(host, scheme, fields string) string {
		return "  - {hosts: [" + host + "], origins: [{url: '" + scheme + "://" + addr + "', server_name: app.internal, ca: " + caFile + fields + "}]}\n"
	}
	shown := func(from tls.Certificate) string {
		c, k := files(t, certificate(t, "door.internal", time.Now().Add(time.Hour), &from))
		return ", certificate: " + c + ", key: " + k
	}
	good := shown(ca)
	policy := "sites:\n" + entry("good", "https", good) + entry("good2", "h2", good) + entry("none", "https", "") + entry("wrong", "https", shown(other))
	d := startDoor(t, policy)
	for _, c := range []struct{ host, want string }{
		{"good", "SUCCESS CN=door.internal HTTP/1.1"}, {"good2", "SUCCESS CN=door.internal HTTP/2.0"}, {"none", "400 "}, {"wrong", "400 "},
	} {
		out := curl(t, "-w", "%{http_code} ", "-H", "Host: "+c.host, d.url)
		if !strings.Contains(out, c.want) {
			t.Errorf("%s: %q, want %q", c.host, out, c.want)
		}
	}
	// The certificate is changed on disk; a reload shows the new one, and connections with the old one are not used again.
	if _, file, ok := strings.Cut(good, "certificate: "); ok {
		file, _, _ = strings.Cut(file, ",")
		if err := os.WriteFile(file, []byte("no certificate"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d.signal(syscall.SIGHUP)
	d.logged("the policy was not applied", d.file+":2:", "certificate")
	if out := curl(t, "-H", "Host: good", d.url); !strings.HasPrefix(out, "SUCCESS") {
		t.Errorf("after a policy that was not applied: %q", out)
	}
}

// nginxTLS serves over TLS, with HTTP/2, whoever shows a certificate of the authority, and says who that was.
func nginxTLS(t testing.TB, cert, key, ca string) (addr string) {
	t.Helper()
	dir, addr := t.TempDir(), freeAddr(t)
	user := ""
	if os.Getuid() == 0 {
		user = "user root;"
	}
	put(t, dir, "nginx.conf", fmt.Sprintf(`%s
daemon off; pid %[2]s/pid; error_log stderr; worker_processes 1;
events { worker_connections 256; }
http {
  access_log off;
  client_body_temp_path %[2]s/body; proxy_temp_path %[2]s/proxy; fastcgi_temp_path %[2]s/fcgi;
  uwsgi_temp_path %[2]s/uwsgi; scgi_temp_path %[2]s/scgi;
  server {
    listen %[3]s ssl http2;
    ssl_certificate %[4]s; ssl_certificate_key %[5]s;
    ssl_client_certificate %[6]s; ssl_verify_client on;
    location / { return 200 "$ssl_client_verify $ssl_client_s_dn $server_protocol"; }
  }
}
`, user, dir, addr, cert, key, ca))
	spawn(t, exec.Command(program(t, "nginx"), "-p", dir, "-e", "stderr", "-c", filepath.Join(dir, "nginx.conf")))
	await(t, "nginx", func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return addr
}
