package stormdoor

import (
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"stormdoor/flow"
	"stormdoor/internal/gate/origin"
	"stormdoor/internal/gate/origin/admission"
)

// Admin serves metrics, health, the state of the origins and explanations. It belongs on a loopback address or a unix
// socket; it answers only requests that name such a host, so that no web page can reach it through a visitor's browser.
//
//	GET  /metrics          for Prometheus
//	GET  /healthz          200 while the door takes requests, 503 while it stops
//	GET  /status           sites and origins, JSON
//	GET  /explain?id=REF   a recent request, JSON
//	GET  /waf/explain?id=REF  what the firewall found in a recent request, JSON
//	GET  /waf/exclusions   how the exclusions are doing, JSON
//	GET  /waf/shadow       how the rule set on trial compares, JSON
//	POST /purge            forgets stored answers; takes a Purge, JSON
func (d *Door) Admin() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", d.metrics.Handler())
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if d.stopping.Load() {
			http.Error(w, "stopping", http.StatusServiceUnavailable)
			return
		}
		w.Write([]byte("ok\n"))
	})
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, d.status()) })
	mux.HandleFunc("GET /explain", d.explainHTTP)
	mux.HandleFunc("GET /waf/explain", d.inspectHTTP)
	mux.HandleFunc("GET /waf/exclusions", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, d.Exclusions()) })
	mux.HandleFunc("GET /waf/shadow", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, d.Shadow()) })
	mux.HandleFunc("POST /purge", d.purgeHTTP)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !local(r.Host) {
			http.Error(w, "the admin listener answers only to localhost and loopback addresses as host", http.StatusMisdirectedRequest)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func local(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	a, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || host == "" || err == nil && a.IsLoopback()
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the reader has gone
}

func (d *Door) explainHTTP(w http.ResponseWriter, r *http.Request) {
	ref := r.FormValue("id")
	id, ok := flow.ParseRequestID(ref)
	if !ok {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": "id must be a reference of 16 characters, as refusals show it"})
		return
	}
	x, ok := d.ExplainRecent(r.Context(), id)
	if !ok {
		writeJSON(w, http.StatusNotFound, map[string]string{"error": "this door does not remember " + ref + ": it was let pass, or it was too long ago"})
		return
	}
	writeJSON(w, http.StatusOK, x)
}

func (d *Door) inspectHTTP(w http.ResponseWriter, r *http.Request) {
	ref := r.FormValue("id")
	id, ok := flow.ParseRequestID(ref)
	if !ok {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": "id must be a reference of 16 characters, as refusals show it"})
		return
	}
	in, ok, err := d.InspectRecent(id)
	switch {
	case !ok:
		writeJSON(w, http.StatusNotFound, map[string]string{"error": "this door does not remember " + ref + ": it was let pass, or it was too long ago"})
	case err != nil:
		writeJSON(w, http.StatusConflict, map[string]string{"error": err.Error()})
	default:
		writeJSON(w, http.StatusOK, in)
	}
}

// statusOf is what /status tells of one site or route.
type statusOf struct {
	Site    string                `json:"site"`
	Route   string                `json:"route,omitempty"`
	Hot     bool                  `json:"hot"`
	Origins []origin.OriginStatus `json:"origins"`
	// Admission is left out where the policy turns it off.
	Admission *admission.Status `json:"admission,omitempty"`
}

func (d *Door) status() []statusOf {
	out := []statusOf{}
	now := d.now()
	d.deployed.Load().Stable.eachPool(func(site, route string, p *origin.Pool) {
		s := statusOf{Site: site, Route: route, Hot: p.Hot(now), Origins: p.Status()}
		if g := p.Gate(); g != nil {
			admission := g.Status()
			s.Admission = &admission
		}
		out = append(out, s)
	})
	return out
}
