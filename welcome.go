package stormdoor

import (
	"path/filepath"
	"strings"

	"stormdoor/flow"
	"stormdoor/internal/gate/origin"
	"stormdoor/internal/gate/origin/admission"
	"stormdoor/internal/wire"
	"stormdoor/policy"
)

// visitsOf are what signs the site's visit cookies, nil where it has none. The keys are the door's, in its data folder.
func (d *Door) visitsOf(s *policy.Site, data string) *admission.Visits {
	if !s.Admission.VisitCookie {
		return nil
	}
	if d.visits == nil {
		path := ""
		if data != "" {
			path = filepath.Join(data, "visits.json")
		}
		d.visits = admission.NewVisits(path, func(err error) { d.log.Warn("the keys of visit cookies are not kept", "why", err) })
	}
	return d.visits
}

// takeVisit takes the door's own cookie out of the request: for the cache, the firewall and the origin there is none.
func takeVisit(f *flow.Facts, req *wire.Request) {
	found := false
	for field := range req.Header.Values("Cookie") {
		found = found || strings.Contains(field, admission.VisitCookie+"=")
	}
	if !found {
		return
	}
	h := flow.NewHeader(req.Header.Len())
	for field := range req.Header.All() {
		if flow.EqualFold(field.Name, "Cookie") {
			var rest []string
			for pair := range strings.SplitSeq(field.Value, ";") {
				name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
				if name != admission.VisitCookie {
					rest = append(rest, strings.TrimSpace(pair))
				} else if f.Visit == (flow.Visit{}) {
					f.Visit = admission.ReadVisit(value)
				}
			}
			if field.Value = strings.Join(rest, "; "); field.Value == "" {
				continue
			}
		}
		h.Add(field.Name, field.Value)
	}
	req.Header, f.Header = h, h
}

// welcoming sets the visit cookie with pages that are for one visitor.
type welcoming struct {
	wire.Exchange
	v    *visit
	pool *origin.Pool
}

// welcome returns ex, or ex that welcomes who opens a page of a site with visit cookies.
func (v *visit) welcome(ex wire.Exchange) wire.Exchange {
	f := &v.outcome.Facts
	if !v.site.Admission.VisitCookie || !f.TLS || f.Method != "GET" || !admission.Navigates(f) {
		return ex
	}
	p := v.edition.pool(v.site, v.route)
	if p == nil {
		return ex
	}
	return welcoming{ex, v, p}
}

// Respond adds the cookie to a page of the origin's that no shared cache may store: what the door's own stores has none.
func (w welcoming) Respond(status int, h flow.Header, length int64) error {
	if status == 200 && w.v.outcome.Attempts > 0 && personal(h) {
		if cookie := w.pool.Welcome(&w.v.outcome.Facts); cookie != "" {
			h = h.Clone()
			h.Add("Set-Cookie", cookie)
		}
	}
	return w.Exchange.Respond(status, h, length)
}

// personal reports whether an answer is a page that no shared cache stores: it says so, or says nothing that storing could go by (RFC 9111,
// sections 3 and 4.2.2).
func personal(h flow.Header) bool {
	if !strings.HasPrefix(h.Get("Content-Type"), "text/html") {
		return false
	}
	silent := true
	for value := range h.Values("Cache-Control") {
		silent = false
		for directive := range strings.SplitSeq(value, ",") {
			name, _, _ := strings.Cut(strings.TrimSpace(directive), "=")
			if flow.EqualFold(name, "no-store") || flow.EqualFold(name, "private") {
				return true
			}
		}
	}
	return silent && !h.Has("Expires") && !h.Has("Last-Modified") && !h.Has("CDN-Cache-Control") && !h.Has("Surrogate-Control")
}
