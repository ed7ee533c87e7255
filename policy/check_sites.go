package policy

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// siteNames are the names that limits may refer to.
type siteNames struct {
	sites  []string
	routes map[string][]string // by site; a site without routes has an entry too
	all    []string            // the routes of all sites
	known  bool                // false when a name could not be read: then nobody can tell what does not exist
}

// sites checks the sites and returns their names.
func (c *checker) sites() siteNames {
	names := siteNames{routes: map[string][]string{}, known: !c.report.broken["sites"]}
	owner, named := map[string]string{}, map[string]string{}
	for i := range c.policy.Sites {
		s, path := &c.policy.Sites[i], itemPath("sites", i)
		c.hosts(s, path, owner)
		name := s.title()
		if name == "" || c.report.isBroken(path+".name") || c.report.isBroken(path+".hosts[0]") || c.report.broken[path+".routes"] {
			names.known = false
		} else {
			names.sites = append(names.sites, name)
			c.name(path+".name", s.Name)
			c.twice(named, name, path+".name", "site", "give one of the sites another name")
		}
		names.routes[name] = c.routes(s, path)
		names.all = append(names.all, names.routes[name]...)
		c.originsOf(s, path)
		c.tls(s, path)
		c.health(s, path)
		c.openAPI(s, path)
		c.ignoredQuery(s.Cache.IgnoreQuery, path+".cache.ignore_query")
		for j := range s.Routes {
			c.ignoredQuery(s.Routes[j].Cache.IgnoreQuery, itemPath(path+".routes", j)+".cache.ignore_query")
		}
		c.admission(&s.Admission, path+".admission")
	}
	for path := range c.report.broken {
		if strings.HasPrefix(path, "sites[") && strings.HasSuffix(path, ".name") {
			names.known = false
		}
	}
	return names
}

func (c *checker) admission(a *Admission, path string) {
	if a.VouchedHeader != "" && !isToken(a.VouchedHeader) {
		c.bad(path+".vouched_header", quote(a.VouchedHeader)+" is no name of a header", `write it like "x-signed-in"`)
	}
	if name := strings.TrimSuffix(a.VouchedCookie, "*"); a.VouchedCookie != "" && !isToken(name) {
		c.bad(path+".vouched_cookie", quote(a.VouchedCookie)+" is no name of a cookie", `give the name alone, or its beginning with "*" at the end`)
	}
	if a.Off && (a.MaxInFlight != 0 || a.VouchedHeader != "" || a.VouchedCookie != "") {
		c.bad(path+".off", "leaves the other fields of admission without meaning", "remove them, or remove off")
	}
}

// title is the site's name: its own, or its first host.
func (s *Site) title() string {
	if s.Name == "" && len(s.Hosts) > 0 {
		return s.Hosts[0]
	}
	return s.Name
}

func (r *Route) title() string {
	if r.Name == "" {
		return r.Path
	}
	return r.Name
}

// twice reports name when it was seen before under the same kind of thing.
func (c *checker) twice(seen map[string]string, name, path, what, hint string) {
	if first, ok := seen[name]; ok {
		c.bad(path, fmt.Sprintf("there is another %s with the name %s%s", what, quote(name), c.line(first)), hint)
		return
	}
	seen[name] = path
}

// name checks the name that a thing has in verdicts, logs and metrics.
func (c *checker) name(path, name string) {
	bad := func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && !strings.ContainsRune("._-/*:+", r)
	}
	if strings.ContainsFunc(name, bad) || len(name) > 100 {
		c.bad(path, quote(name)+" is not a name", "a name is made of letters, digits and . _ - / * : +, at most 100")
	}
}

func (c *checker) hosts(s *Site, path string, owner map[string]string) {
	for j, h := range s.Hosts {
		at := itemPath(path+".hosts", j)
		if h == "" || c.report.isBroken(at) {
			continue
		}
		switch first, taken := owner[h]; {
		case !taken:
			owner[h] = at
		case strings.HasPrefix(first, path+"."):
			c.bad(at, quote(h)+" is there twice", "keep one")
		default:
			c.bad(at, "the host "+quote(h)+" belongs to another site already"+c.line(first), "leave it in one of them")
		}
	}
}

func (c *checker) originsOf(s *Site, path string) {
	c.origins(s.Origins, path+".origins")
	own := len(s.Routes) > 0
	for i := range s.Routes {
		c.origins(s.Routes[i].Origins, itemPath(path+".routes", i)+".origins")
		own = own && len(s.Routes[i].Origins) > 0
	}
	if len(s.Origins) == 0 && !own && !c.embedded && !c.written(path+".origins") {
		c.bad(path+".origins", "is missing", "a site needs origins, such as ['http://127.0.0.1:3000'], or routes that each have their own")
	}
}

func (c *checker) origins(origins []Origin, path string) {
	seen := map[string]string{}
	for i, o := range origins {
		at := itemPath(path, i)
		if o.URL == "" || c.report.isBroken(at) {
			continue
		}
		network, address, tls, _, err := o.Address()
		if err != nil {
			c.wrong(at+".url", err)
			continue
		}
		if first, ok := seen[o.URL]; ok {
			c.bad(at+".url", "the origin "+quote(o.URL)+" is there twice"+c.line(first), "keep one, and give it a weight if it should get more")
		}
		seen[o.URL] = at + ".url"
		if port, loops := c.ownListener(network, address); loops {
			c.bad(at+".url", quote(o.URL)+" is this door itself: it listens on "+quote(port), "name the server behind the door")
		}
		c.pair(o.Certificate, o.Key, at)
		for _, f := range []struct{ name, value string }{{"ca", o.CA}, {"certificate", o.Certificate}, {"key", o.Key}, {"server_name", o.ServerName}} {
			if f.value != "" && !tls {
				c.bad(at+"."+f.name, "has no meaning for "+quote(o.URL)+", which is without TLS", "remove it, or use https:// or h2://")
			}
		}
		if _, err := parseName(o.ServerName); err != nil && o.ServerName != "" {
			if _, err := netip.ParseAddr(o.ServerName); err != nil {
				c.bad(at+".server_name", quote(o.ServerName)+" is not the name of a host", `write it like "shop.internal"`)
			}
		}
	}
}

// pair checks that a certificate and its key come together.
func (c *checker) pair(certificate, key, path string) {
	switch {
	case certificate != "" && key == "":
		c.bad(path+".key", "is missing", "a certificate needs the file with its private key")
	case certificate == "" && key != "":
		c.bad(path+".certificate", "is missing", "a key needs the file with its certificate")
	}
}

// ownListener reports whether an origin's address is one that the door says it listens on.
func (c *checker) ownListener(network, address string) (listener string, loops bool) {
	listeners := slices.Concat(c.policy.Listen.HTTP, c.policy.Listen.HTTPS)
	for _, l := range listeners[:min(len(listeners), 2*maxShort)] {
		path, isUnix := strings.CutPrefix(l, "unix:")
		if isUnix || network == "unix" {
			if isUnix && network == "unix" && path == address {
				return l, true
			}
			continue
		}
		lh, lp, err := net.SplitHostPort(l)
		oh, op, err2 := net.SplitHostPort(address)
		if err != nil || err2 != nil || lp != op {
			continue
		}
		everywhere := lh == "" || lh == "0.0.0.0" || lh == "::"
		if lh == oh || isLoopback(oh) && (everywhere || lh == "localhost" || oh == "localhost" && isLoopback(lh)) {
			return l, true
		}
	}
	return "", false
}

func isLoopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

func (c *checker) routes(s *Site, path string) (names []string) {
	seen, paths := map[string]string{}, map[string]string{}
	for i := range s.Routes {
		r, at := &s.Routes[i], itemPath(path+".routes", i)
		c.path(r.Path, at+".path")
		c.methods(r.Methods, at+".methods")
		if r.Path == "" || c.report.isBroken(at+".path") {
			continue
		}
		if r.Name != "" {
			c.name(at+".name", r.Name)
		}
		names = append(names, r.title())
		c.twice(seen, r.title(), at+".name", "route of this site", "give one of the routes another name")
		methods := r.Methods
		if len(methods) == 0 {
			methods = []string{""}
		}
		for _, m := range methods {
			if m == "" && len(r.Methods) > 0 {
				continue // reported as blank
			}
			if first, ok := paths[m+" "+r.Path]; ok {
				c.bad(at+".path", "another route of this site has the path "+quote(r.Path)+" and the same methods"+c.line(first), "make them one, or let them differ in methods")
			}
			paths[m+" "+r.Path] = at + ".path"
		}
	}
	return names
}

// path checks a path pattern: exact, or a prefix with "*" at its end.
func (c *checker) path(p, at string) {
	hint := `write it like "/login" or "/api/*"`
	exact := strings.TrimSuffix(p, "*")
	switch {
	case p == "" || c.report.isBroken(at):
	case p[0] != '/':
		c.bad(at, quote(p)+` does not begin with "/"`, hint)
	case strings.Contains(exact, "*"):
		c.bad(at, quote(p)+` has a "*" that is not at its end`, hint)
	case strings.ContainsAny(p, "?#"):
		c.bad(at, quote(p)+" has a query, and paths are matched without it", "remove what begins with ? or #")
	case strings.Contains(p, "%"):
		c.bad(at, quote(p)+" is percent-encoded, and paths are matched decoded", "write the characters themselves")
	case strings.Contains(p, "//"), strings.Contains(p+"/", "/./"), strings.Contains(p+"/", "/../"), strings.Contains(p, `\`):
		c.bad(at, quote(p)+" never matches: paths are matched without //, /./, /../ and backslashes", hint)
	}
}

func (c *checker) methods(methods []string, at string) {
	if len(methods) > maxShort {
		c.bad(at, fmt.Sprintf("has more than %d entries", maxShort), "leave the methods out to mean all of them")
		return
	}
	for i, m := range methods {
		switch {
		case m == "":
		case !isToken(m):
			c.bad(itemPath(at, i), quote(m)+" is not a method", "write it like GET or POST")
		case m != strings.ToUpper(m):
			c.bad(itemPath(at, i), quote(m)+" is not a method as browsers send it: case counts", "did you mean "+quote(strings.ToUpper(m))+"?")
		case slices.Contains(methods[:i], m):
			c.bad(itemPath(at, i), quote(m)+" is there twice", "keep one")
		}
	}
}

func (c *checker) tls(s *Site, path string) {
	t, at := s.TLS, path+".tls"
	if t == nil || c.report.isBroken(at) {
		return
	}
	var sources []string
	for _, f := range []struct {
		name  string
		given bool
	}{{"certificate", t.Certificate != "" || t.Key != ""}, {"acme", t.ACME}, {"self_signed", t.SelfSigned}} {
		if f.given {
			sources = append(sources, f.name)
		}
	}
	switch {
	case len(sources) == 0 && !c.report.brokenUnder(at):
		c.bad(at, "does not say where the certificate comes from", "give certificate and key, or acme: true, or self_signed: true")
	case len(sources) > 1:
		c.bad(at, "has more than one source for the certificate: "+list(sources, "and"), "keep one")
	}
	c.pair(t.Certificate, t.Key, at)
	if !t.ACME {
		return
	}
	for j, h := range s.Hosts {
		_, err := netip.ParseAddr(h)
		if strings.Contains(h, "*") || err == nil {
			c.bad(itemPath(path+".hosts", j), "no certificate can be obtained by ACME for "+quote(h), "name the hosts one by one, or give certificate and key")
		}
	}
}

func (c *checker) health(s *Site, path string) {
	h, at := s.Health, path+".health"
	if h == nil {
		return
	}
	if h.Path != "" && (h.Path[0] != '/' || strings.ContainsAny(h.Path, "# ")) {
		c.bad(at+".path", quote(h.Path)+" is not a path", `write it like "/healthz"`)
	}
	if h.Host != "" {
		if _, err := parseName(h.Host); err != nil {
			if _, err := parseHostPort(h.Host); err != nil {
				c.bad(at+".host", quote(h.Host)+" is not the name of a host", `write it like "shop.example"`)
			}
		}
	}
	if h.Status != "" {
		if _, _, err := statusRange(h.Status); err != nil {
			c.wrong(at+".status", err)
		}
	}
}

// ignoredQuery checks names of parameters, some with "*" at their end.
func (c *checker) ignoredQuery(names []string, path string) {
	for i, n := range names {
		at := itemPath(path, i)
		switch exact := strings.TrimSuffix(n, "*"); {
		case n == "" || c.report.isBroken(at):
		case exact == "":
			c.bad(at, quote(n)+" would ignore the whole query", "name the parameters, such as utm_*")
		case strings.ContainsAny(exact, "*&=?# "):
			c.bad(at, quote(n)+" is not the name of a parameter", `write it as it stands in the URL before "=", or with "*" at its end`)
		}
	}
}
