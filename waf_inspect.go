package stormdoor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"stormdoor/flow"
	"stormdoor/internal/gate/answer"
	"stormdoor/internal/gate/waf"
	"stormdoor/policy"
)

// Inspection is what the firewall alone makes of a request, whatever the other stages say.
type Inspection struct {
	ID     string     `json:"id,omitempty"`
	Time   *time.Time `json:"time,omitempty"` // of a recent request
	Site   string     `json:"site"`
	Route  string     `json:"route,omitempty"`
	Method string     `json:"method"`
	Host   string     `json:"host"`
	Path   string     `json:"path"`
	Clean  string     `json:"clean_path"`
	Query  string     `json:"query,omitempty"`
	waf.Examination
	// Refused says that it refuses the request, or would if it did more than count.
	Refused bool        `json:"refused"`
	Status  int         `json:"status,omitempty"`
	Reason  flow.Reason `json:"reason,omitempty"`
	// Noted says that it would refuse, and only counts.
	Noted bool   `json:"noted,omitempty"`
	By    string `json:"by,omitempty"` // the heaviest rule
	// Unread says why the request is none for the firewall: it breaks the protocol, and the door refuses it before.
	Unread string `json:"unread,omitempty"`
	// Forgotten says that the request's body or cookies are not kept, so that what they held is told as the log has it.
	Forgotten bool `json:"forgotten,omitempty"`
}

// ErrFirewallOff is returned where the policy has the firewall off for the request's site or route.
var ErrFirewallOff = errors.New("the policy has the firewall off there: write waf: {mode: count} or block")

// Inspect asks the firewall about a request that nobody has made. Nothing is counted.
func (d *Door) Inspect(_ context.Context, q Question) (Inspection, error) {
	req, c, err := q.request()
	if err != nil {
		return Inspection{}, err
	}
	v := d.facts(c, req, d.now())
	if v.site == nil {
		return Inspection{}, fmt.Errorf("no site of the policy claims the host %q", v.outcome.Facts.Host)
	}
	return v.inspection(q.Body)
}

// inspection asks the firewall about the request of a visit.
func (v *visit) inspection(body []byte) (Inspection, error) {
	f := &v.outcome.Facts
	in := Inspection{Site: f.Site, Route: f.Route, Method: f.Method, Host: f.Host, Path: f.Path.Raw, Clean: f.Path.Clean, Query: f.Query}
	in.Examination = v.edition.waf.Examine(f, body)
	if in.Mode == policy.WAFOff && in.OpenAPI == nil {
		return in, fmt.Errorf("%s %s%s: %w", f.Method, f.Host, f.Path.Raw, ErrFirewallOff)
	}
	in.conclude(in.Verdict)
	return in, nil
}

func (in *Inspection) conclude(v flow.Verdict) {
	in.Refused, in.Reason, in.By, in.Noted = v.Action >= flow.Challenge, v.Reason, v.Rule, v.Dry
	if in.Status = v.Status; in.Refused && in.Status == 0 {
		in.Status = answer.Status(v.Reason)
	}
}

// InspectRecent asks the firewall about a request that was refused or noted a short while ago, by its reference; ok is false
// when the door does not remember it. Bodies, cookies and credentials are not kept: what was found in them is told as it was
// written down then.
func (d *Door) InspectRecent(id flow.RequestID) (in Inspection, ok bool, err error) {
	o, ok := d.recent.Find(id)
	if !ok {
		return in, false, nil
	}
	v := &visit{door: d, edition: d.deployed.Load().Stable, outcome: o}
	if in, err = v.inspection(nil); err != nil {
		return in, true, err
	}
	in.ID, in.Time = id.String(), &o.Facts.Arrived
	known := map[string]bool{}
	for _, m := range in.Matches {
		for _, value := range m.Values {
			known[fmt.Sprint(m.Rule, value.Field)] = true
		}
	}
	if o.Found == nil {
		return in, true, nil
	}
	for _, m := range o.Found.Matches {
		if m.Rule == 0 { // what the site's document says, which may be about the body
			if in.OpenAPI != nil {
				in.OpenAPI.Recall(m, o.Verdict.Reason, o.Dry.Reason)
			}
			continue
		}
		if m.Field == "" || known[fmt.Sprint(m.Rule, m.Field)] || m.Rule/1000 == 949 {
			continue
		}
		in.Forgotten = true
		in.Matches = append(in.Matches, waf.Recalled(m))
	}
	if in.Forgotten {
		in.Score, in.Threshold, in.Scores = o.Found.Score, o.Found.Threshold, nil
	}
	switch {
	case o.Stage == waf.Name:
		in.conclude(o.Verdict)
	case o.DryStage == waf.Name:
		in.conclude(o.Dry)
	}
	return in, true, nil
}
