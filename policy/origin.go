package policy

import (
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

const originHint = `write it like "http://127.0.0.1:3000", "https://shop.internal", "h2c://127.0.0.1:3000" or "unix:/run/shop.sock"`

// originSchemes are the schemes of an origin's URL.
var originSchemes = [...]struct {
	name       string
	port       string // the default
	tls, http2 bool
}{
	{"http", "80", false, false},
	{"https", "443", true, false},
	{"h2c", "80", false, true},
	{"h2", "443", true, true},
}

// Address takes the origin's URL apart: the network ("tcp" or "unix") and the address to dial, whether to speak TLS, and
// whether to speak HTTP/2 from the first byte (https agrees on a version by ALPN instead). A missing port is the scheme's:
// 80 or 443. The error says what is wrong with the URL.
func (o Origin) Address() (network, address string, tls, http2 bool, err error) {
	if path, ok := strings.CutPrefix(o.URL, "unix+h2c:"); ok {
		return unixAddress(o.URL, path, true)
	}
	if path, ok := strings.CutPrefix(o.URL, "unix:"); ok {
		return unixAddress(o.URL, path, false)
	}
	bad := func(msg, hint string) (string, string, bool, bool, error) {
		return "", "", false, false, &valueError{quote(o.URL) + " " + msg, hint}
	}
	u, err := url.Parse(o.URL)
	if err != nil || !strings.Contains(o.URL, "://") {
		if _, err := parseHostPort(o.URL); err == nil {
			return bad("has no scheme", "did you mean "+quote("http://"+o.URL)+"?")
		}
		return bad("is not the URL of an origin", originHint)
	}
	if u.User != nil { // not quoted whole: messages end up in logs
		return "", "", false, false, &valueError{quote(u.Redacted()) + " holds a user or a password, which the door does not send", "remove it"}
	}
	for _, s := range originSchemes {
		if s.name != u.Scheme {
			continue
		}
		if u.Path != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.HasSuffix(o.URL, "#") {
			return bad("has a path, and an origin has none: requests keep the path that the visitor asked for", "did you mean "+quote(u.Scheme+"://"+u.Host)+"?")
		}
		hostport := u.Host
		if u.Port() == "" {
			hostport = strings.TrimSuffix(hostport, ":") + ":" + s.port
		}
		address, err = parseHostPort(hostport)
		if err != nil {
			return bad("is not the URL of an origin", originHint)
		}
		return "tcp", address, s.tls, s.http2, nil
	}
	return bad("has a scheme that is none of http, https, h2c, h2, unix and unix+h2c", originHint)
}

func unixAddress(whole, path string, http2 bool) (string, string, bool, bool, error) {
	if len(path) < 2 || path[0] != '/' || strings.HasPrefix(path, "//") || strings.HasSuffix(path, "/") {
		return "", "", false, false, &valueError{quote(whole) + " does not name a socket by its full path", `write it like "unix:/run/shop.sock"`}
	}
	return "unix", path, false, http2, nil
}

// parseHostPort checks "host:port" with a port from 1 to 65535 and returns it with the host in its one spelling.
func parseHostPort(s string) (string, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return "", err
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || !isDigits(port) {
		return "", &valueError{quote(s) + " has no port from 1 to 65535", ""}
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return net.JoinHostPort(a.Unmap().String(), port), nil
	}
	if host, err = parseName(host); err != nil {
		return "", err
	}
	return net.JoinHostPort(host, port), nil
}

// statusRange reads "200-399" or "204".
func statusRange(s string) (low, high int, err error) {
	from, to, ok := strings.Cut(s, "-")
	if !ok {
		to = from
	}
	low, high = statusNumber(from), statusNumber(to)
	if low == 0 || high < low {
		return 0, 0, &valueError{quote(s) + " is not a range of statuses from 100 to 599", `write it like "200-399" or "204"`}
	}
	return low, high, nil
}

func statusNumber(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil || !isDigits(s) || n < 100 || n > 599 {
		return 0
	}
	return n
}

// StatusRange returns the first and the last good status, the default's (200 to 399) when Status is "".
func (h Health) StatusRange() (low, high int, err error) {
	if h.Status == "" {
		return 200, 399, nil
	}
	return statusRange(h.Status)
}
