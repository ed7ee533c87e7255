package policy

import (
	"fmt"
	"io"
	"strings"
)

// Describe writes what will be in force, defaults included, for people. A small policy takes less than 40 lines. Errors of
// w are dropped: give it a buffer or a terminal.
func (p *Policy) Describe(w io.Writer) {
	q := p.WithDefaults()
	d := describer{w}
	d.door(q)
	for i := range q.Sites {
		d.site(&q.Sites[i])
	}
	d.judges(q)
	d.around(q)
}

type describer struct{ w io.Writer }

// line writes one line: a word for the subject, and a sentence about it.
func (d describer) line(indent int, subject, format string, args ...any) {
	fmt.Fprintf(d.w, "%s%s %s\n", strings.Repeat("  ", indent), subject, fmt.Sprintf(format, args...))
}

func (d describer) door(p *Policy) {
	l := p.Listen
	switch {
	case len(l.HTTP) == 0:
		d.line(0, "http", "off")
	default:
		d.line(0, "http", "on %s", strings.Join(l.HTTP, ", "))
	}
	if len(l.HTTPS) > 0 {
		versions := "HTTP/1.1 and HTTP/2"
		if l.HTTP3 {
			versions = "HTTP/1.1, HTTP/2 and HTTP/3"
		}
		d.line(0, "https", "on %s, %s", strings.Join(l.HTTPS, ", "), versions)
	}
	d.line(0, "connections", "at most %d, of one client %d", l.MaxConnections, l.MaxConnectionsPerClient)
}

func (d describer) site(s *Site) {
	d.line(0, "site "+s.Name+":", "%s", anyHost(s.Hosts))
	if len(s.Origins) > 0 {
		d.line(1, "origins", "%s%s", origins(s.Origins), balance(s))
	}
	if h := s.Health; h != nil {
		d.line(1, "health", "GET %s every %s, good is %s within %s", h.Path, h.Every, h.Status, h.Timeout)
	}
	if t := s.TLS; t != nil {
		d.line(1, "tls", "%s", certificate(t))
	} else {
		d.line(1, "tls", "none: clear text only")
	}
	if s.MaxBody > 0 {
		d.line(1, "bodies", "up to %s", s.MaxBody)
	}
	d.admission(&s.Admission)
	for i := range s.Routes {
		d.route(&s.Routes[i], s)
	}
}

// admission tells what differs from the default.
func (d describer) admission(a *Admission) {
	switch {
	case a.Off:
		d.line(1, "admission", "off: every request goes to the origins at once")
		return
	case a.MaxInFlight > 0:
		d.line(1, "admission", "at most %d in flight to the origins", a.MaxInFlight)
	}
	for _, v := range []struct{ what, name string }{{"field", a.VouchedHeader}, {"cookie", a.VouchedCookie}} {
		if v.name != "" {
			d.line(1, "signed in", "by the origin's %s %s", v.what, v.name)
		}
	}
}

func anyHost(hosts []string) string {
	if len(hosts) == 1 && hosts[0] == "*" {
		return "every host that no other site claims"
	}
	return strings.Join(hosts, ", ")
}

func origins(all []Origin) string {
	words := make([]string, len(all))
	for i, o := range all {
		words[i] = o.URL
		if o.Weight != 1 {
			words[i] += fmt.Sprintf(" (weight %d)", o.Weight)
		}
	}
	return strings.Join(words, ", ")
}

func balance(s *Site) string {
	if len(s.Origins) < 2 {
		return ""
	}
	return map[Balance]string{LeastConnections: ", the least busy one", RoundRobin: ", in turn", ClientHash: ", always the same for a client"}[s.Balance]
}

func certificate(t *TLS) string {
	out := "certificate from " + t.Certificate
	switch {
	case t.ACME:
		out = "certificate by ACME"
	case t.SelfSigned:
		out = "self-signed certificate, for trying out only"
	}
	if t.Redirect == nil || *t.Redirect {
		out += ", clear text is redirected"
	}
	if t.HSTS > 0 {
		out += ", HSTS for " + t.HSTS.String()
	}
	return out
}

func (d describer) route(r *Route, s *Site) {
	var words []string
	if len(r.Methods) > 0 {
		words = append(words, strings.Join(r.Methods, ", "))
	}
	if r.Name != r.Path {
		words = append(words, r.Path)
	}
	if len(r.Origins) > 0 {
		words = append(words, "to "+origins(r.Origins))
	}
	if r.MaxBody != s.MaxBody {
		words = append(words, "with bodies up to "+r.MaxBody.String())
	}
	if r.Timeouts != s.Timeouts {
		words = append(words, "with its own timeouts")
	}
	if len(words) == 0 {
		words = append(words, "as the site")
	}
	d.line(1, "route "+r.Name+":", "%s", strings.Join(words, " "))
}

func (d describer) judges(p *Policy) {
	for i := range p.Lists {
		l := &p.Lists[i]
		d.line(0, "list "+l.Name+":", "%s %s%s", l.Action, members(l), dry(l.DryRun))
	}
	for i := range p.Limits {
		d.line(0, "limit "+p.Limits[i].Name+":", "%s", p.Limits[i].sentence())
	}
	if len(p.Limits) == 0 {
		d.line(0, "limits", "none, not even the default one")
	}
	for _, r := range p.Rules {
		then := string(r.Then)
		if r.Then == RuleRefuses {
			then = fmt.Sprintf("refuse with %d", r.Status)
		}
		if r.Then == RuleHangsUp {
			then = "hang up"
		}
		d.line(0, "rule "+r.Name+":", "%s when %s%s", then, short(r.When), dry(r.DryRun))
	}
	d.waf(p)
	d.openAPI(p)
	if p.OnError == OnErrorRefuse {
		d.line(0, "on error", "a request that a stage could not judge is refused")
	}
}

// waf says what the firewall does, unless it is off everywhere.
func (d describer) waf(p *Policy) {
	var places []string
	for i := range p.Sites {
		s := &p.Sites[i]
		if s.WAF != WAFOff {
			places = append(places, fmt.Sprintf("%ss on %s", s.WAF, s.Name))
		}
		for j := range s.Routes {
			if r := &s.Routes[j]; r.WAF != s.WAF {
				places = append(places, fmt.Sprintf("%s on %s, route %s", r.WAF, s.Name, r.Name))
			}
		}
	}
	if len(places) == 0 {
		return
	}
	w := &p.WAF
	d.line(0, "waf", "%s, by %s, %s", strings.Join(places, ", "), w.rules(), w.bodies())
	if n := len(w.Exclude); n > 0 {
		d.line(1, "excluded", "%d", n)
	}
	if w.Shadow != nil {
		shadow := w.Shadow.Rules(*w)
		d.line(1, "in the shadow", "%s, by up to %d %% of a processor", shadow.rules(), w.Shadow.Processor)
	}
}

// openAPI says which sites are held to a document, and of which the messages are known.
func (d describer) openAPI(p *Policy) {
	for i := range p.Sites {
		s := &p.Sites[i]
		if s.Protobuf != "" {
			d.line(0, "protobuf", "messages of %s by %s", s.Name, s.Protobuf)
		}
		if s.OpenAPI == nil {
			continue
		}
		o, other := s.OpenAPI, ""
		for j := range s.Routes {
			if r := &s.Routes[j]; r.OpenAPI != o.Mode {
				other += fmt.Sprintf(", %s on route %s", r.OpenAPI, r.Name)
			}
		}
		d.line(0, "openapi", "%s by %s on %s%s; unknown paths: %s, unknown parameters: %s", o.Mode, o.File, s.Name, other, o.Unknown, o.UnknownParameters)
	}
}

// bodies says how much of bodies is inspected.
func (w *WAF) bodies() string {
	switch w.OverBody {
	case OverPrefix:
		return "the first " + w.InspectBody.String() + " of bodies"
	case OverRefused:
		return "bodies up to " + w.InspectBody.String() + ", and no longer ones are let in"
	}
	return "bodies of any length, " + w.InspectBody.String() + " at once"
}

// rules says by what a firewall judges.
func (w *WAF) rules() string {
	if w.CoreRuleSet != nil && !*w.CoreRuleSet {
		return "your rules"
	}
	what := fmt.Sprintf("the OWASP Core Rule Set at paranoia level %d, from a score of %d", w.Paranoia, w.Threshold)
	if w.OwnRules == nil || *w.OwnRules {
		what = "the door's own rules and " + what
	}
	return what
}

func dry(run bool) string {
	if run {
		return " (dry run: only noted)"
	}
	return ""
}

func short(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > 80 {
		return string(r[:80]) + "…"
	}
	return s
}

func members(l *List) string {
	var words []string
	count := func(n int, one, many string) {
		switch {
		case n == 1:
			words = append(words, "1 "+one)
		case n > 1:
			words = append(words, fmt.Sprint(n, " ", many))
		}
	}
	count(len(l.Addresses), "address or prefix", "addresses and prefixes")
	count(len(l.Networks), "network", "networks")
	if len(l.Countries) > 0 {
		words = append(words, "countries "+strings.Join(l.Countries, " "))
	}
	if l.File != "" {
		words = append(words, "those in "+l.File)
	}
	return strings.Join(words, ", ")
}

// sentence says what a limit does, after defaults.
func (l *Limit) sentence() string {
	per := map[LimitKey]string{ByClient: "each client", ByCredential: "each credential", ByHost: "each host", ByPath: "each path", ByJA4: "each JA4 fingerprint"}[l.By]
	if name, ok := strings.CutPrefix(string(l.By), "header:"); ok {
		per = "each value of the header " + name
	}
	what := map[Charge]string{ChargeRequests: "requests/", ChargeBytes: "/", ChargeOriginTime: " of origin time/", ChargeInspection: " of inspection/"}[l.Charge]
	amount, time, _ := strings.Cut(l.Rate.Text(l.Charge), "/")
	if l.Charge == ChargeRequests {
		amount += " "
	}
	out := per + " " + amount + what + time + ", burst " + l.Burst.Text(l.Charge)
	if where := l.where(); where != "" {
		out += ", only " + where
	}
	if l.While == Hot {
		out += ", only while the origin is in trouble"
	}
	switch l.Over {
	case OverThrottle:
		out += ": hold back for up to " + l.MaxWait.String() + ", then refuse with 429"
	case OverQueue:
		out += fmt.Sprintf(": let up to %d wait for up to %s, then refuse with 429", l.MaxQueue, l.MaxWait)
	default:
		out += ": refuse with 429"
	}
	return out + dry(l.DryRun)
}

func (l *Limit) where() string {
	var words []string
	for _, w := range []struct {
		what  string
		names []string
	}{{"", l.Methods}, {"on ", l.Paths}, {"on the route ", l.Routes}, {"on the site ", l.Sites}} {
		if len(w.names) > 0 {
			words = append(words, w.what+list(w.names, "or"))
		}
	}
	return strings.Join(words, " ")
}

func (d describer) around(p *Policy) {
	t := p.Trust
	if len(t.Proxies) > 0 {
		d.line(0, "trust", "%s from %s", t.Header, prefixes(t.Proxies))
	}
	if len(t.ProxyProtocol) > 0 {
		d.line(0, "trust", "a PROXY header from %s", prefixes(t.ProxyProtocol))
	}
	if len(t.Proxies)+len(t.ProxyProtocol) == 0 {
		d.line(0, "trust", "nobody: the other end of a connection is the client")
	}
	if g := p.Geo; g != (Geo{}) {
		d.line(0, "geo", "%s", strings.TrimSpace(g.Country+" "+g.Network))
	}
	access := "refusals and failures only"
	if p.Log.Access > 0 {
		access = fmt.Sprintf("refusals, failures and %v %% of the rest", p.Log.Access*100)
	}
	to := "standard error"
	if p.Log.File != "" {
		to = p.Log.File
	}
	d.line(0, "log", "to %s: %s, at most %s/s", to, access, p.Log.MaxRate)
	switch p.Admin.Listen {
	case "off":
		d.line(0, "admin", "off")
	default:
		d.line(0, "admin", "on %s", p.Admin.Listen)
	}
	d.line(0, "data", "in %s", p.Data)
}

func prefixes(all []Prefix) string {
	const shown = 4
	words := make([]string, 0, shown)
	for i, p := range all {
		if i == shown {
			words = append(words, fmt.Sprintf("%d more", len(all)-shown))
			break
		}
		words = append(words, p.String())
	}
	return strings.Join(words, ", ")
}
