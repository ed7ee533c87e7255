package policy

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const listenHint = `write it like ":80", "127.0.0.1:8080" or "unix:/run/stormdoor.sock"`

// parseListen checks an address to listen on and returns it in its one spelling. Port 0 is allowed: the kernel takes a
// free one.
func parseListen(s string) (string, error) {
	wrong := &valueError{quote(s) + " is not an address to listen on", listenHint}
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		if len(path) < 2 || path[0] != '/' || strings.HasPrefix(path, "//") || strings.HasSuffix(path, "/") {
			return "", &valueError{quote(s) + " does not name a socket by its full path", listenHint}
		}
		return s, nil
	}
	if strings.Contains(s, "://") {
		return "", &valueError{quote(s) + " is a URL, not an address to listen on", listenHint}
	}
	if isDigits(s) {
		return "", &valueError{quote(s) + " is a port only", "did you mean " + quote(":"+s) + "?"}
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil || !isDigits(port) {
		return "", wrong
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", &valueError{quote(s) + " has no port from 0 to 65535", listenHint}
	}
	if host == "" {
		return s, nil
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return net.JoinHostPort(a.Unmap().String(), port), nil
	}
	if host, err = parseName(host); err != nil {
		return "", wrong
	}
	return net.JoinHostPort(host, port), nil
}

func (c *checker) listen() {
	l, seen := &c.policy.Listen, map[string]string{}
	for _, set := range []struct {
		path  string
		addrs []string
	}{{"listen.http", l.HTTP}, {"listen.https", l.HTTPS}} {
		if len(set.addrs) > maxShort {
			c.bad(set.path, fmt.Sprintf("has more than %d entries", maxShort), "listen on every address with \":80\" instead")
		}
		for i, a := range set.addrs {
			at := itemPath(set.path, i)
			if a == "" || c.report.isBroken(at) {
				continue
			}
			if first, ok := seen[a]; ok && !strings.HasSuffix(a, ":0") {
				c.bad(at, quote(a)+" is there twice"+c.line(first), "keep one")
			}
			seen[a] = at
		}
	}
	withTLS := slices.ContainsFunc(c.policy.Sites, func(s Site) bool { return s.TLS != nil })
	unknown := c.report.brokenTLS()
	none := l.HTTP != nil && len(l.HTTP) == 0 && l.HTTPS != nil && len(l.HTTPS) == 0
	switch {
	case none:
		c.bad("listen", "neither http nor https has an address, so nobody could come in", "give one of them an address, or remove the lines")
	case l.HTTP != nil && len(l.HTTP) == 0 && !withTLS && !unknown:
		c.bad("listen.http", "is an empty list, and no site has tls, so nobody could come in", "give it an address, or a site tls")
	case len(l.HTTPS) > 0 && !withTLS && !unknown:
		c.bad("listen.https", "has no certificate to show: no site has tls", "give a site tls, such as tls: {self_signed: true}, or remove the line")
	}
	if !l.HTTP3 {
		return
	}
	isUnix := func(a string) bool { return strings.HasPrefix(a, "unix:") }
	switch {
	case !withTLS && !unknown, l.HTTPS != nil && len(l.HTTPS) == 0:
		c.bad("listen.http3", "needs TLS", "give a site tls and leave listen.https an address, or remove the line")
	case len(l.HTTPS) > 0 && !slices.ContainsFunc(l.HTTPS, func(a string) bool { return !isUnix(a) }):
		c.bad("listen.http3", "needs an address that is no unix socket under listen.https", "add one, such as ':443', or remove the line")
	}
}

// brokenTLS reports whether nobody can tell which sites have tls.
func (r *report) brokenTLS() bool {
	for p := range r.broken {
		if p == "sites" || strings.HasPrefix(p, "sites[") && (strings.HasSuffix(p, ".tls") || strings.HasSuffix(p, "]")) {
			return true
		}
	}
	return false
}

func (c *checker) trust() {
	t := &c.policy.Trust
	c.believed(t.Proxies, "trust.proxies")
	c.believed(t.ProxyProtocol, "trust.proxy_protocol")
	if t.Header == "" {
		return
	}
	switch {
	case !isToken(t.Header):
		c.bad("trust.header", quote(t.Header)+" is not the name of a header", `write it like "x-forwarded-for" or "cf-connecting-ip"`)
	case len(t.Proxies) == 0 && c.written("trust.header"):
		c.bad("trust.header", "nobody's header is believed, because trust.proxies names nobody", "name the proxies in front of the door in trust.proxies")
	}
}

// believed refuses prefixes so wide that anybody could be inside.
func (c *checker) believed(prefixes []Prefix, path string) {
	for i, p := range prefixes {
		if !p.IsValid() {
			continue
		}
		least, at := 8, itemPath(path, i)
		if p.Addr().Is6() {
			least = 16
		}
		switch {
		case p.Bits() == 0:
			c.bad(at, quote(p.String())+" is everybody: any visitor could claim any address, and every limit, list and log would believe it", "name the addresses of your proxies")
		case p.Bits() < least:
			c.bad(at, quote(p.String())+" is too wide: whoever is inside can claim any address", "name the addresses of your proxies; /"+strconv.Itoa(least)+" is the widest")
		}
	}
}

func (c *checker) acme() {
	a := &c.policy.ACME
	if a.Directory != "" && !isURL(a.Directory, "https") {
		c.bad("acme.directory", quote(a.Directory)+" is not an https URL", "write it like https://acme.internal/directory")
	}
	if a.Email != "" && !isMail(a.Email) {
		c.bad("acme.email", quote(a.Email)+" is not a mail address", "write it like ops@shop.example")
	}
	for i, s := range c.policy.Sites {
		if s.TLS != nil && s.TLS.ACME && !a.Agree {
			c.bad(itemPath("sites", i)+".tls.acme", "needs your agreement to the terms of service of the ACME server", "read them, then write acme: {agree: true} beside sites")
			return
		}
	}
}

// rest checks admin, data and refusals.
func (c *checker) rest() {
	c.admin()
	r := &c.policy.Refusals
	if r.Contact != "" && !isMail(r.Contact) && !isURL(r.Contact, "http", "https", "mailto", "tel") {
		c.bad("refusals.contact", quote(r.Contact)+" is neither a mail address nor a URL", "write it like help@shop.example or https://shop.example/help")
	}
	if r.StatusURL != "" && !isURL(r.StatusURL, "http", "https") {
		c.bad("refusals.status_url", quote(r.StatusURL)+" is not a URL", "write it like https://status.shop.example")
	}
	if d := c.policy.Cache.Disk.Path; d != "" && !filepath.IsAbs(d) {
		c.bad("cache.disk.path", quote(d)+" is not a full path", "write it like /var/lib/stormdoor/cache")
	}
}

func (c *checker) admin() {
	a := c.policy.Admin.Listen
	if a == "" || a == "off" || c.report.isBroken("admin.listen") {
		return
	}
	where, err := parseListen(a)
	if err != nil {
		c.wrong("admin.listen", err)
		return
	}
	if slices.Contains(slices.Concat(c.policy.Listen.HTTP, c.policy.Listen.HTTPS), where) && !strings.HasSuffix(where, ":0") {
		c.bad("admin.listen", quote(a)+" is taken: visitors come in there", "take another port")
		return
	}
	if isOpenToOthers(where) {
		c.bad("admin.listen", quote(a)+adminIsOpen, adminHint)
	}
}

const (
	adminIsOpen = " can be reached from other machines, and there is no password: it tells about visitors and can change the door"
	adminHint   = `listen on "127.0.0.1:2112" or "unix:/run/stormdoor/admin.sock", and let a proxy or SSH with a login in front`
)

func isOpenToOthers(where string) bool {
	host, _, err := net.SplitHostPort(where)
	return err == nil && !isLoopback(host) && !strings.HasPrefix(where, "unix:")
}

// CheckAdmin returns what is wrong with an address for the admin listener that no policy file names, such as one of the
// command line: it keeps to the rules of admin.listen.
func CheckAdmin(listen string) error {
	if listen == "off" {
		return nil
	}
	where, err := parseListen(listen)
	if err != nil {
		return err
	}
	if isOpenToOthers(where) {
		return errors.New(quote(listen) + adminIsOpen + "; " + adminHint)
	}
	return nil
}

func isURL(s string, schemes ...string) bool {
	u, err := url.Parse(s)
	return err == nil && slices.Contains(schemes, u.Scheme) && (u.Host != "" || u.Opaque != "") && !strings.ContainsAny(s, " \t\n\"<>")
}

func isMail(s string) bool {
	user, host, ok := strings.Cut(s, "@")
	_, err := parseName(host)
	return ok && user != "" && err == nil && !strings.ContainsAny(user, " \t\n\"<>:@")
}
