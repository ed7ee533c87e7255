package listen

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"stormdoor/policy"
)

// CertificateConfig says where certificates are kept and how ACME reaches the door.
type CertificateConfig struct {
	// Data is the folder for keys and certificates that the door makes or obtains. It is made when it is missing.
	Data string
	// Reach is how an ACME server reaches the door at first.
	Reach Reach
	// Log takes what an operator should know. Nil: nothing is said.
	Log *slog.Logger
	// Now is the clock. Nil: time.Now. ACME goes by the system's clock.
	Now func() time.Time
}

// Reach is an address each where the door listens in clear text and with TLS, for the challenges of ACME (HTTP-01,
// TLS-ALPN-01). The zero value of one rules its challenge out.
type Reach struct {
	HTTP, HTTPS netip.AddrPort
}

// Certificates is the certificates of all sites. It is safe for concurrent use.
type Certificates struct {
	cfg   CertificateConfig
	acme  *acme
	now   atomic.Pointer[directory]
	load  sync.Mutex // one Reload at a time
	sites []policy.Site
	kick  chan struct{} // wakes Run after a Reload
}

// NewCertificates loads the certificates of the sites that have tls. A certificate that has expired is served, with an
// error in the log: a restart must not turn a lapsed certificate into an outage. All other mistakes come at once, and
// then nothing is loaded. Run has to be called, because it also ends what ACME has running.
func NewCertificates(cfg CertificateConfig, settings policy.ACME, sites []policy.Site) (*Certificates, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	c := &Certificates{cfg: cfg, kick: make(chan struct{}, 1)}
	c.acme = newACME(cfg)
	d, err := c.read(sites, settings, cfg.Reach)
	if err != nil {
		return nil, err
	}
	roots, err := acmeRoots(settings)
	if err != nil {
		return nil, policy.At("acme.ca", err)
	}
	c.sites = sites
	c.put(d, settings, roots, cfg.Reach)
	c.warn(d)
	return c, nil
}

// CheckCertificates reads what the sites' tls names and says everything that is wrong, an expired certificate
// included, for a check that changes nothing.
func CheckCertificates(settings policy.ACME, sites []policy.Site, now time.Time) error {
	var errs []error
	for i, s := range sites {
		if s.TLS == nil {
			continue
		}
		errs = append(errs, policy.At(tlsPath(i), checkSource(s, settings)))
		if s.TLS.Certificate == "" {
			continue
		}
		pair, err := loadFiles(siteName(s), s.Hosts, s.TLS.Certificate, s.TLS.Key)
		if err == nil {
			err = pair.valid(now)
		}
		errs = append(errs, policy.At(tlsPath(i), err))
	}
	_, err := acmeRoots(settings)
	return errors.Join(append(errs, policy.At("acme.ca", err))...)
}

// Reload puts the certificates of a new policy into force, all of them or none. A certificate that has expired is
// refused unless it is in force already.
func (c *Certificates) Reload(reach Reach, settings policy.ACME, sites []policy.Site) error {
	c.load.Lock()
	defer c.load.Unlock()
	d, err := c.read(sites, settings, reach)
	if err != nil {
		return err
	}
	roots, err := acmeRoots(settings)
	if err != nil {
		return policy.At("acme.ca", err)
	}
	var errs []error
	old := c.now.Load()
	for _, p := range d.pairs {
		known := slices.ContainsFunc(old.pairs, func(o *keyPair) bool { return o.digest == p.digest })
		if err := p.valid(c.cfg.Now()); err != nil && !known {
			errs = append(errs, policy.At(p.place, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	c.sites = sites
	c.put(d, settings, roots, reach)
	c.warn(d)
	return nil
}

func (c *Certificates) put(d *directory, settings policy.ACME, roots *x509.CertPool, reach Reach) {
	c.acme.configure(settings, roots, reach)
	c.now.Store(d)
	select {
	case c.kick <- struct{}{}:
	default: // Run will look anyway
	}
}

// read loads what the sites name, all mistakes at once.
func (c *Certificates) read(sites []policy.Site, settings policy.ACME, reach Reach) (*directory, error) {
	d := &directory{exact: map[string]*keyPair{}, wild: map[string]*keyPair{}}
	var errs []error
	for i, s := range sites {
		if s.TLS == nil {
			continue
		}
		pair, err := c.source(s, settings, reach)
		if err != nil {
			errs = append(errs, policy.At(tlsPath(i), err))
			continue
		}
		if pair != nil {
			pair.place = tlsPath(i)
		}
		d.add(s, pair)
	}
	return d, errors.Join(errs...)
}

// source returns the site's certificate, nil without an error when it is obtained by ACME.
func (c *Certificates) source(s policy.Site, settings policy.ACME, reach Reach) (*keyPair, error) {
	if err := checkSource(s, settings); err != nil {
		return nil, err
	}
	switch {
	case s.TLS.SelfSigned:
		return selfSigned(filepath.Join(c.cfg.Data, "self-signed"), siteName(s), s.Hosts, c.cfg.Now())
	case s.TLS.ACME:
		if !reach.HTTP.IsValid() && !reach.HTTPS.IsValid() {
			return nil, fmt.Errorf("site %q: acme needs a TCP address under listen where the ACME server can reach the door", siteName(s))
		}
		return nil, nil
	}
	return loadFiles(siteName(s), s.Hosts, s.TLS.Certificate, s.TLS.Key)
}

// TLSConfig returns the configuration for listeners: TLS 1.2 and 1.3 with the standard library's defaults, HTTP/2 when
// h2 is true, and the challenge of ACME. With h3 it is the one for HTTP/3 instead: TLS 1.3, and nothing else spoken.
//
// A name that no site has a certificate for ends the handshake with unrecognized_name (RFC 6066, section 3), and so does
// none at all, unless a site is named by the very address or "*". A server closes a connection at once that negotiated
// ACMEProtocol.
func (c *Certificates) TLSConfig(h2, h3 bool) *tls.Config {
	t := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: c.greet,
		GetCertificate:     c.certificate,
	}
	if h3 {
		t.MinVersion, t.NextProtos = tls.VersionTLS13, []string{"h3"}
		return t
	}
	if h2 {
		t.NextProtos = append(t.NextProtos, "h2")
	}
	t.NextProtos = append(t.NextProtos, "http/1.1", ACMEProtocol)
	return t
}

// greet notes what the ClientHello says of the connection.
func (c *Certificates) greet(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	name := serverName(hello)
	if g, ok := greeted(hello); ok {
		g.greeted(name, JA4(hello))
	}
	return nil, nil
}

// greeter is a connection that wants to know its ClientHello and pays for its handshake.
type greeter interface {
	greeted(serverName, ja4 string)
	mayHandshake() bool
	refuse()
}

func greeted(hello *tls.ClientHelloInfo) (greeter, bool) {
	if g, ok := hello.Conn.(greeter); ok {
		return g, true
	}
	g, ok := hello.Context().Value(quicKey{}).(greeter)
	return g, ok
}

func serverName(hello *tls.ClientHelloInfo) string {
	return strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
}

// errBusy ends a handshake over the budget. The connection is gone before an alert could be sent.
var errBusy = errors.New("too many TLS handshakes")

// certificate is asked once for each full handshake (and in TLS 1.2 for each that is resumed): see Handshakes.
func (c *Certificates) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := serverName(hello)
	if name == "" && hello.Conn != nil {
		name = addrPort(hello.Conn.LocalAddr()).Addr().String()
	}
	pair, byACME := c.now.Load().find(name)
	challenge := slices.Equal(hello.SupportedProtos, []string{ACMEProtocol})
	if pair == nil && !byACME || challenge && (!byACME || hello.Conn == nil) {
		return nil, nil // crypto/tls makes unrecognized_name of it
	}
	if g, ok := greeted(hello); ok && !g.mayHandshake() {
		g.refuse()
		return nil, errBusy
	}
	if byACME {
		return c.acme.certificate(hello)
	}
	return &pair.Certificate, nil
}

// HTTPChallenge returns the answer to "GET path" on host when that is a challenge of ACME (HTTP-01, RFC 8555, section
// 8.3) for a site of ours. It is asked before anything else is, for paths below /.well-known/acme-challenge/.
func (c *Certificates) HTTPChallenge(host, path string) (body string, ok bool) {
	host = strings.ToLower(strings.TrimSuffix(hostOnly(host), "."))
	if !strings.HasPrefix(path, challengePath) {
		return "", false
	}
	if _, byACME := c.now.Load().find(host); !byACME {
		return "", false
	}
	return c.acme.httpChallenge(host, path)
}

// hostOnly cuts the port off.
func hostOnly(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		host = host[:i]
	}
	return strings.Trim(host, "[]")
}

// lookEvery is how often dates are looked at.
const lookEvery = 12 * time.Hour

// Run obtains and renews certificates until ctx ends. It returns nil then.
func (c *Certificates) Run(ctx context.Context) error {
	defer c.acme.stop()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		c.acme.manage(ctx, c.now.Load().names)
		select {
		case <-ctx.Done():
			return nil
		case <-c.kick:
		case <-tick.C:
			c.look()
		}
	}
}

// look renews self-signed certificates and says which of the others run out.
func (c *Certificates) look() {
	c.load.Lock()
	defer c.load.Unlock()
	old := c.now.Load()
	d := &directory{exact: map[string]*keyPair{}, wild: map[string]*keyPair{}}
	for _, s := range c.sites {
		if s.TLS == nil {
			continue
		}
		i := slices.IndexFunc(old.pairs, func(p *keyPair) bool { return p.site == siteName(s) })
		var pair *keyPair
		if i >= 0 {
			pair = old.pairs[i]
		}
		if s.TLS.SelfSigned {
			renewed, err := selfSigned(filepath.Join(c.cfg.Data, "self-signed"), siteName(s), s.Hosts, c.cfg.Now())
			if err != nil {
				c.cfg.Log.Error("cannot renew a self-signed certificate", "site", siteName(s), "error", err.Error())
			} else {
				pair = renewed
			}
		}
		d.add(s, pair)
	}
	c.now.Store(d)
	c.warn(d)
}

// warn says which certificates have run out or are about to.
func (c *Certificates) warn(d *directory) {
	now := c.cfg.Now()
	for _, p := range d.pairs {
		left := p.Leaf.NotAfter.Sub(now)
		if err := p.valid(now); err != nil {
			c.cfg.Log.Error("a certificate is not valid, browsers will warn", "site", p.site, "error", err.Error())
		} else if left < renewBefore {
			c.cfg.Log.Warn("a certificate expires soon", "site", p.site, "file", p.file,
				"expires", p.Leaf.NotAfter.UTC().Format(time.RFC3339), "days", int(left.Hours()/24), "do", "put a new one there and reload")
		}
	}
}
