package origin

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"

	"stormdoor/policy"
)

// target is where an origin is and how it is spoken to.
type target struct {
	network, address string // for the dialler: "tcp" and host:port, or "unix" and a path
	label            string // for logs and metrics: host:port, or "unix:/path"
	host             string // the Host field when the visitor's is not preserved
	scheme           string // "http" or "https"
	http2            bool
	tls              *tls.Config // nil for clear text
}

// parseTarget reads an origin's URL and the files that belong to it. Errors name the field.
func parseTarget(o policy.Origin) (target, error) {
	t := target{network: "tcp", scheme: "http"}
	for _, prefix := range [...]string{"unix+h2c:", "unix:"} {
		if path, ok := strings.CutPrefix(o.URL, prefix); ok {
			if !strings.HasPrefix(path, "/") {
				return t, fmt.Errorf("url: %q has no absolute path; write %s/run/app.sock", o.URL, prefix)
			}
			t.network, t.address, t.label, t.host = "unix", path, "unix:"+path, "localhost"
			t.http2 = prefix == "unix+h2c:"
			return t, nil
		}
	}
	u, err := url.Parse(o.URL)
	if err != nil {
		return t, fmt.Errorf("url: %q cannot be read; write it as http://host:port: %w", o.URL, err)
	}
	port, secure := "80", false
	switch u.Scheme {
	case "http":
	case "h2c":
		t.http2 = true
	case "https", "h2":
		t.http2, secure, port = u.Scheme == "h2", true, "443"
	default:
		return t, fmt.Errorf("url: %q has no scheme that is known; use http, https, h2c, h2, unix or unix+h2c", o.URL)
	}
	if u.Hostname() == "" {
		return t, fmt.Errorf("url: %q names no host; write it as %s://host:port", o.URL, u.Scheme)
	}
	if u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return t, fmt.Errorf("url: %q has more than a host and a port; leave the rest out", o.URL)
	}
	t.address = net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), port))
	t.label, t.host = t.address, strings.TrimSuffix(u.Host, ":"+port)
	if !secure {
		return t, nil
	}
	t.scheme = "https"
	t.tls, err = clientTLS(o, u.Hostname())
	if err == nil && t.http2 {
		t.tls.NextProtos = []string{"h2"}
	}
	return t, err
}

// clientTLS reads the files of an origin's TLS.
func clientTLS(o policy.Origin, host string) (*tls.Config, error) {
	c := &tls.Config{
		ServerName:         cmp.Or(o.ServerName, host),
		MinVersion:         tls.VersionTLS12,
		ClientSessionCache: tls.NewLRUClientSessionCache(0),
	}
	if o.CA != "" {
		pem, err := os.ReadFile(o.CA)
		if err != nil {
			return nil, policy.At("ca", fmt.Errorf("ca: the file cannot be read; correct the path, or let the door's user read it: %w", err))
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, policy.At("ca", fmt.Errorf("ca: %s holds no certificate; put the authority's certificate into it in PEM form", o.CA))
		}
	}
	switch {
	case o.Certificate == "" && o.Key == "":
		return c, nil
	case o.Certificate == "" || o.Key == "":
		return nil, fmt.Errorf("certificate and key belong together: give both, or none")
	}
	chain, certErr := os.ReadFile(o.Certificate)
	key, keyErr := os.ReadFile(o.Key)
	if err := errors.Join(policy.At("certificate", certErr), policy.At("key", keyErr)); err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, policy.At("certificate", fmt.Errorf("certificate %s, key %s: the pair cannot be used; both must be readable PEM files and fit each other: %w", o.Certificate, o.Key, err))
	}
	c.Certificates = []tls.Certificate{pair}
	return c, nil
}
