package listen

import (
	"crypto/x509"
	"fmt"
	"os"
	"strings"

	"stormdoor/policy"
)

// directory is what is in force: which certificate answers to which name. It is immutable.
type directory struct {
	exact map[string]*keyPair // nil pairs are obtained by ACME
	wild  map[string]*keyPair // by ".shop.example"
	rest  *keyPair            // for "*"
	pairs []*keyPair
	names []string // to be obtained by ACME
}

// checkSource checks what can be told without a file.
func checkSource(s policy.Site, settings policy.ACME) error {
	n := 0
	for _, set := range []bool{s.TLS.Certificate != "" || s.TLS.Key != "", s.TLS.ACME, s.TLS.SelfSigned} {
		if set {
			n++
		}
	}
	if n != 1 {
		return fmt.Errorf("site %q: tls wants one of: certificate and key, acme, self_signed", siteName(s))
	}
	if !s.TLS.ACME {
		return nil
	}
	if !settings.Agree {
		return fmt.Errorf("site %q: acme obtains certificates only when you agree to the terms of service of the ACME server: set acme.agree", siteName(s))
	}
	for _, h := range s.Hosts {
		if strings.Contains(h, "*") {
			return fmt.Errorf("site %q: acme cannot obtain a certificate for %q, which takes the DNS challenge; name the hosts, or use a certificate file", siteName(s), h)
		}
	}
	return nil
}

// tlsPath is the place of a site's tls in the policy.
func tlsPath(i int) string { return policy.Item("sites", i) + ".tls" }

func siteName(s policy.Site) string {
	if s.Name == "" && len(s.Hosts) > 0 {
		return s.Hosts[0]
	}
	return s.Name
}

func (d *directory) add(s policy.Site, pair *keyPair) {
	if pair != nil {
		d.pairs = append(d.pairs, pair)
	}
	for _, h := range s.Hosts {
		h = strings.ToLower(strings.TrimSuffix(h, "."))
		switch {
		case h == "*":
			d.rest = pair
		case strings.HasPrefix(h, "*."):
			d.wild[h[1:]] = pair
		default:
			d.exact[h] = pair
			if pair == nil {
				d.names = append(d.names, h)
			}
		}
	}
}

// find returns the certificate for a name in lower case; byACME says that it is obtained by ACME. Nil and false: no
// site has one for the name.
func (d *directory) find(name string) (pair *keyPair, byACME bool) {
	if p, ok := d.exact[name]; ok {
		return p, p == nil
	}
	for rest := name; ; {
		i := strings.IndexByte(rest, '.')
		if i < 0 {
			return d.rest, false
		}
		if p, ok := d.wild[rest[i:]]; ok {
			return p, false
		}
		rest = rest[i+1:]
	}
}

// acmeRoots reads the authorities that may vouch for the ACME server, nil for the system's.
func acmeRoots(settings policy.ACME) (*x509.CertPool, error) {
	if settings.CA == "" {
		return nil, nil
	}
	text, err := os.ReadFile(settings.CA)
	if err != nil {
		return nil, fmt.Errorf("acme.ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("acme.ca: %s holds no certificate in PEM", settings.CA)
	}
	return pool, nil
}
