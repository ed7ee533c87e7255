package client

import (
	"fmt"
	"strings"
)

// sessionCookies are names that frameworks and applications give to the cookie of a session. A "*" at the end stands
// for any end. Cookies that hold the session itself, encrypted anew with each answer (laravel_session), are left out:
// they name nobody for longer than one request.
var sessionCookies = []string{
	"PHPSESSID", "JSESSIONID", "SESSION", "ASP.NET_SessionId", "connect.sid", "ci_session", // platforms
	"session", "sessionid", "session_id", "sid", "SID", "_session_id", // frameworks and custom code
	"__Host-session", "__Secure-session", "__Host-sid", "__Secure-sid", "__Host-SID",
	"next-auth.session-token", "__Secure-next-auth.session-token", "authjs.session-token", "__Secure-authjs.session-token",
	"wordpress_logged_in_*", "oc_sessionPassphrase", "MoodleSession*", "_gitlab_session", "i_like_gitea",
	"grafana_session", "MMAUTHTOKEN",
}

// cookieNames is a set of cookie names that says fast that a name is not in it.
type cookieNames struct {
	exact    map[string]struct{}
	prefixes []string
	lengths  uint64    // bit n: an exact name has n bytes, bit 63: or more
	first    [256]bool // some name or prefix begins with this byte
}

func newCookieNames(names []string) (*cookieNames, error) {
	c := &cookieNames{exact: make(map[string]struct{}, len(names))}
	for _, n := range names {
		bare := strings.TrimSuffix(n, "*")
		if bare == "" || strings.ContainsAny(bare, " \t;,=\"*") {
			return nil, fmt.Errorf("session cookie %q is no name of a cookie: give the name alone, or its beginning with \"*\" at the end", n)
		}
		c.first[bare[0]] = true
		if bare != n {
			c.prefixes = append(c.prefixes, strings.Clone(bare))
			continue
		}
		c.exact[strings.Clone(n)] = struct{}{}
		c.lengths |= 1 << min(len(n), 63)
	}
	return c, nil
}

func (c *cookieNames) has(name string) bool {
	if name == "" || !c.first[name[0]] {
		return false
	}
	if c.lengths>>min(len(name), 63)&1 == 1 {
		if _, ok := c.exact[name]; ok {
			return true
		}
	}
	for _, p := range c.prefixes {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

// value returns the value of the first pair of a Cookie field whose name is in the set and whose value is not empty
// (RFC 6265, section 4.2.1), or "".
func (c *cookieNames) value(field string) string {
	for field != "" {
		pair := field
		if i := strings.IndexByte(field, ';'); i >= 0 {
			pair, field = field[:i], field[i+1:]
		} else {
			field = ""
		}
		pair = trim(pair)
		if pair == "" || !c.first[pair[0]] {
			continue
		}
		if i := strings.IndexByte(pair, '='); i > 0 && i+1 < len(pair) && c.has(pair[:i]) {
			return pair[i+1:]
		}
	}
	return ""
}
