package listen

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"stormdoor/policy"
)

// ACMEProtocol is what a connection has negotiated that only proves to an ACME server who we are (TLS-ALPN-01, RFC 8737).
const ACMEProtocol = "acme-tls/1"

// challengePath is where HTTP-01 asks.
const challengePath = "/.well-known/acme-challenge/"

// acme obtains and renews certificates by certmagic.
type acme struct {
	cfg CertificateConfig
	log *zap.Logger
	now atomic.Pointer[acmeSettings]
	// running holds how to give up each name that is managed; it belongs to Run's goroutine, as does under.
	running map[string]context.CancelFunc
	under   *acmeSettings
}

// acmeSettings is certmagic's configuration for one policy.ACME. It is immutable.
type acmeSettings struct {
	policy policy.ACME
	reach  Reach
	roots  *x509.CertPool
	cache  *certmagic.Cache // the same in all
	magic  *certmagic.Config
	issuer *certmagic.ACMEIssuer
	server string
}

func newACME(cfg CertificateConfig) *acme {
	return &acme{cfg: cfg, log: zap.New(slogCore{to: cfg.Log.Handler(), held: &zapQuiet{}}), running: map[string]context.CancelFunc{}}
}

// configure sets what is in force for certificates from now on. Those that are there stay until they are renewed.
func (a *acme) configure(s policy.ACME, roots *x509.CertPool, reach Reach) {
	if !s.Agree {
		return // no site asks for a certificate, and so nothing is started
	}
	next := &acmeSettings{policy: s, reach: reach, roots: roots, server: serverOf(s.Directory)}
	if old := a.now.Load(); old != nil {
		if old.policy == s && old.reach == reach && roots.Equal(old.roots) {
			return // what is under way goes on
		}
		next.cache = old.cache
	} else {
		next.cache = certmagic.NewCache(certmagic.CacheOptions{
			GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return a.now.Load().magic, nil },
			Logger:           a.log,
		})
	}
	next.magic = certmagic.New(next.cache, certmagic.Config{
		Storage:        &certmagic.FileStorage{Path: filepath.Join(a.cfg.Data, "acme")},
		OCSP:           certmagic.OCSPConfig{DisableStapling: true}, // starting needs nothing remote
		OnEvent:        a.event,
		ShouldEmitFunc: func(event string) bool { return strings.HasPrefix(event, "cert_") },
		Logger:         a.log,
	})
	template := certmagic.ACMEIssuer{
		CA:                      s.Directory,
		Email:                   s.Email,
		Agreed:                  s.Agree,
		TrustedRoots:            roots,
		Logger:                  a.log,
		DisableHTTPChallenge:    !reach.HTTP.IsValid(),
		DisableTLSALPNChallenge: !reach.HTTPS.IsValid(),
		AltHTTPPort:             int(reach.HTTP.Port()),
		AltTLSALPNPort:          int(reach.HTTPS.Port()),
		ListenHost:              reach.host(),
	}
	next.issuer = certmagic.NewACMEIssuer(next.magic, template)
	next.magic.Issuers = []certmagic.Issuer{next.issuer}
	a.now.Store(next)
}

// host is where certmagic finds the door's own listeners, so that it opens none of its own.
func (r Reach) host() string {
	for _, at := range []string{r.HTTP.Addr().String(), r.HTTPS.Addr().String()} {
		if at != "invalid IP" && at != "0.0.0.0" && at != "::" {
			return at
		}
	}
	return ""
}

func serverOf(directory string) string {
	if u, err := url.Parse(directory); err == nil && u.Host != "" {
		return u.Host
	}
	return "Let's Encrypt"
}

// manage obtains and renews certificates for names from now on, and gives up the others. It does not block.
func (a *acme) manage(ctx context.Context, names []string) {
	s := a.now.Load()
	if s == nil {
		return
	}
	for _, n := range slices.Collect(maps.Keys(a.running)) {
		if slices.Contains(names, n) && s == a.under {
			continue
		}
		a.running[n]()
		delete(a.running, n)
		if !slices.Contains(names, n) {
			s.cache.RemoveManaged([]certmagic.SubjectIssuer{{Subject: n}})
		}
	}
	a.under = s
	for _, n := range names {
		if a.running[n] != nil {
			continue
		}
		one, cancel := context.WithCancel(ctx)
		a.running[n] = cancel
		// The asynchronous form returns no error: its failures come as events and in the log.
		_ = s.magic.ManageAsync(one, []string{n})
	}
}

func (a *acme) stop() {
	for n, cancel := range a.running {
		cancel()
		delete(a.running, n)
	}
	if s := a.now.Load(); s != nil {
		s.cache.Stop()
	}
}

// certificate returns what was obtained for the name that hello asks for, or the answer to a challenge.
func (a *acme) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	s := a.now.Load()
	if s == nil {
		return nil, nil
	}
	cert, err := s.magic.GetCertificate(hello)
	if err != nil {
		return nil, fmt.Errorf("there is no certificate for %s yet: %w", serverName(hello), err)
	}
	return cert, nil
}

// httpChallenge asks certmagic, which knows also what another process on the same data folder has begun.
func (a *acme) httpChallenge(host, path string) (string, bool) {
	s := a.now.Load()
	if s == nil {
		return "", false
	}
	r := &http.Request{Method: http.MethodGet, Host: host, URL: &url.URL{Path: path}, RequestURI: path, Header: http.Header{}}
	var w challengeAnswer
	if !s.issuer.HandleHTTPChallenge(&w, r) || w.status > 0 && w.status != http.StatusOK || w.body.Len() == 0 {
		return "", false
	}
	return w.body.String(), true
}

// challengeAnswer keeps what a handler writes.
type challengeAnswer struct {
	header http.Header
	status int
	body   strings.Builder
}

func (w *challengeAnswer) Header() http.Header {
	if w.header == nil {
		w.header = http.Header{}
	}
	return w.header
}
func (w *challengeAnswer) WriteHeader(status int)      { w.status = status }
func (w *challengeAnswer) Write(p []byte) (int, error) { return w.body.Write(p) }

// event says in the door's words what certmagic does.
func (a *acme) event(ctx context.Context, event string, data map[string]any) error {
	name, _ := data["identifier"].(string)
	s := a.now.Load()
	server := s.server
	what := "obtain"
	if renewal, _ := data["renewal"].(bool); renewal {
		what = "renew"
	}
	switch event {
	case "cert_obtaining":
		a.cfg.Log.Info("asking for a certificate", "host", name, "server", server, "action", what)
	case "cert_obtained":
		a.cfg.Log.Info("got a certificate", "host", name, "server", server, "action", what)
	case "cert_failed":
		err, _ := data["error"].(error)
		if errors.Is(err, context.Canceled) || ctx.Err() != nil {
			return nil
		}
		a.cfg.Log.Error("cannot "+what+" a certificate; it is tried again later", "host", name, "server", server,
			"error", fmt.Sprint(err), "do", s.reach.advice(err))
	}
	return nil
}

// advice says what usually helps.
func (r Reach) advice(err error) string {
	text := strings.ToLower(fmt.Sprint(err))
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(text, w) })
	}
	switch {
	case has("ratelimited", "rate limit", "too many"):
		return "wait until the ACME server's limit allows it; do not restart in order to try again"
	case has("certificate signed by unknown authority", "x509:"):
		return "set acme.ca to the authority that vouches for the ACME server"
	case has("directory", "newnonce", "performing request"):
		return "the ACME server does not answer; check acme.directory, and that the door may reach it"
	case has("nxdomain", "no such host", "dns", "caa"):
		return "check that the host's DNS records (A, AAAA, CAA) point here and allow this authority"
	}
	ports := []string{}
	if r.HTTP.IsValid() {
		ports = append(ports, "port 80 to "+strconv.Itoa(int(r.HTTP.Port())))
	}
	if r.HTTPS.IsValid() {
		ports = append(ports, "port 443 to "+strconv.Itoa(int(r.HTTPS.Port())))
	}
	return "check that the host's DNS records point here and that the ACME server reaches the door (" + strings.Join(ports, ", ") + ")"
}
