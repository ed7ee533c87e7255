package stormdoor

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"stormdoor/flow"
	"stormdoor/internal/gate/waf"
	"stormdoor/internal/wire"
)

// Question is a request that has not been made, to be explained.
type Question struct {
	// URL is absolute: its scheme says whether TLS is used, its host which site is asked.
	URL    string
	Method string // "" stands for GET
	Header []flow.Field
	// Client is the peer of the imagined connection. The zero Addr stands for 192.0.2.1, an address that nobody has.
	Client netip.Addr
	// Body is what is sent, for the firewall.
	Body []byte
}

// request is the request that the question is about, and the connection on which it would come.
func (q Question) request() (*wire.Request, *wire.Conn, error) {
	u, err := url.Parse(q.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, nil, fmt.Errorf("%q is not an absolute URL such as https://shop.example/cart", q.URL)
	}
	if q.Method == "" {
		q.Method = "GET"
	}
	if !q.Client.IsValid() {
		q.Client = netip.AddrFrom4([4]byte{192, 0, 2, 1})
	}
	req := &wire.Request{Proto: flow.HTTP11, Method: q.Method, Target: u.RequestURI(), Scheme: u.Scheme, Authority: u.Host}
	req.Header.Add("Host", u.Host)
	for _, f := range q.Header {
		req.Header.Add(f.Name, f.Value)
	}
	if req.Length = int64(len(q.Body)); req.Length > 0 && !req.Header.Has("Content-Length") {
		req.Header.Add("Content-Length", strconv.FormatInt(req.Length, 10))
	}
	return req, &wire.Conn{Peer: netip.AddrPortFrom(q.Client, 1), TLS: u.Scheme == "https"}, nil
}

// Explanation is what the door makes of a request.
type Explanation struct {
	ID   string    `json:"id,omitempty"`
	Time time.Time `json:"time"`
	Site string    `json:"site"`
	// Hosts are those that sites claim, in the policy's order, where none claims the one asked for; at most 20, of HostsInAll.
	Hosts      []string    `json:"hosts,omitempty"`
	HostsInAll int         `json:"hosts_in_all,omitempty"`
	Route      string      `json:"route,omitempty"`
	Method     string      `json:"method"`
	Host       string      `json:"host"`
	Path       flow.Path   `json:"path"`
	Query      string      `json:"query,omitempty"`
	Client     string      `json:"client"`
	Key        string      `json:"key"`
	Proxied    bool        `json:"proxied,omitempty"`
	Country    string      `json:"country,omitempty"`
	Network    uint32      `json:"network,omitempty"`
	JA4        string      `json:"ja4,omitempty"`
	Hot        bool        `json:"hot"`
	Steps      []Explained `json:"steps"`
	Cache      string      `json:"cache,omitempty"`
	// Cost is what the origin has of its route and of all that is in flight, in words; "" without admission.
	Cost    string        `json:"cost,omitempty"`
	Result  string        `json:"result"`
	Reason  flow.Reason   `json:"reason,omitempty"`
	Meaning string        `json:"meaning,omitempty"`
	Do      string        `json:"do,omitempty"`
	Ended   *ExplainedEnd `json:"ended,omitempty"`
}

// mostHosts bounds how many hosts an explanation names.
const mostHosts = 20

// Explained is what one stage says.
type Explained struct {
	Stage   string      `json:"stage"`
	Action  string      `json:"action"`
	Reason  flow.Reason `json:"reason,omitempty"`
	Rule    string      `json:"rule,omitempty"`
	Dry     bool        `json:"dry_run,omitempty"`
	Delay   string      `json:"delay,omitempty"`
	RetryIn string      `json:"retry_in,omitempty"`
	Decided bool        `json:"decided,omitempty"`
	Error   string      `json:"error,omitempty"`
	// Found is what an inspection found.
	Found *flow.Findings `json:"found,omitempty"`
}

// ExplainedEnd is how a request that was really made has ended.
type ExplainedEnd struct {
	Status int         `json:"status"`
	Took   string      `json:"took"`
	Origin string      `json:"origin,omitempty"`
	Cache  string      `json:"cache,omitempty"`
	End    flow.Reason `json:"end,omitempty"`
	// Priority and Level are the place in the order for the origin, "" when nobody had to wait.
	Priority string `json:"priority,omitempty"`
	Level    uint8  `json:"level,omitempty"`
	Error    string `json:"error,omitempty"`
}

// Explain asks every stage about a request that nobody has made, and spends from no limit.
func (d *Door) Explain(ctx context.Context, q Question) (Explanation, error) {
	req, c, err := q.request()
	if err != nil {
		return Explanation{}, err
	}
	v := d.facts(c, req, d.now())
	return v.edition.explain(ctx, v.outcome.Facts), nil
}

// ExplainRecent explains a request that was refused or failed a short while ago, by the reference in its answer. ok is
// false when the door does not remember it: it may be too long ago, or it was let pass.
func (d *Door) ExplainRecent(ctx context.Context, id flow.RequestID) (x Explanation, ok bool) {
	o, ok := d.recent.Find(id)
	if !ok {
		return x, false
	}
	x = d.deployed.Load().Stable.explain(ctx, o.Facts)
	x.found(o.Found)
	x.ID = id.String()
	x.Ended = &ExplainedEnd{Status: o.Status, Took: o.Took.String(), Origin: o.Origin, Cache: string(o.Cache), End: o.End, Error: o.Err,
		Priority: o.Priority, Level: o.Level}
	x.conclude(o.Verdict, o.End)
	return x, true
}

func (e *Edition) explain(ctx context.Context, f flow.Facts) Explanation {
	x := Explanation{Time: f.Arrived, Site: f.Site, Route: f.Route, Method: f.Method, Host: f.Host, Path: f.Path, Query: f.Query,
		Client: f.Client.String(), Key: f.Key.String(), Proxied: f.Proxied, Country: f.Country, Network: f.Network, JA4: f.JA4, Hot: f.Hot}
	var final flow.Verdict
	if f.Site == "" {
		final = flow.Verdict{Action: flow.Refuse, Reason: flow.SiteUnknown}
		for _, s := range e.sites.All() {
			x.HostsInAll += len(s.Policy.Hosts)
			x.Hosts = append(x.Hosts, s.Policy.Hosts[:min(len(s.Policy.Hosts), mostHosts-len(x.Hosts))]...)
		}
		x.conclude(final, "")
		return x
	}
	for _, s := range e.chain.Explain(ctx, &f) {
		v := s.Verdict
		step := Explained{Stage: s.Stage, Action: v.Action.String(), Reason: v.Reason, Rule: v.Rule, Dry: v.Dry, Decided: s.Decided, Found: v.Found}
		if v.Delay > 0 {
			step.Delay = v.Delay.String()
		}
		if v.RetryIn > 0 {
			step.RetryIn = v.RetryIn.String()
		}
		if s.Err != nil {
			step.Error = s.Err.Error()
		}
		if s.Decided {
			final = v
		}
		x.Steps = append(x.Steps, step)
	}
	if final.Action < flow.Challenge {
		x.Cache, x.Cost = e.explainCache(&f), e.explainCost(&f)
	}
	x.conclude(final, "")
	return x
}

// found tells what was found when the request was made: its body is not kept, so that no stage can find it again.
func (x *Explanation) found(f *flow.Findings) {
	for i := range x.Steps {
		if x.Steps[i].Stage == waf.Name && f != nil {
			x.Steps[i].Found = f
		}
	}
}

// conclude says in words what follows, from the verdict or from how the request ended.
func (x *Explanation) conclude(v flow.Verdict, end flow.Reason) {
	x.Result, x.Reason = "forwarded to the site's origin", v.Reason
	switch {
	case v.Action >= flow.Challenge:
		x.Result = v.Action.String() + "d"
		if v.Action == flow.Hangup {
			x.Result = "hung up on"
		}
	case end != "":
		x.Result, x.Reason = "let pass, and ended by "+string(end), end
	case v.Action == flow.Admit:
		x.Result = "let pass without asking further"
	}
	for _, r := range flow.Reasons {
		if r.Reason == x.Reason {
			x.Meaning, x.Do = r.Meaning, r.Do
		}
	}
}

// String writes the explanation for a person.
func (x Explanation) String() string {
	var b strings.Builder
	line := func(name, format string, a ...any) {
		fmt.Fprintf(&b, "%-9s "+format+"\n", append([]any{name}, a...)...)
	}
	if x.ID != "" {
		line("request", "%s at %s", x.ID, x.Time.UTC().Format(time.RFC3339))
	}
	line("asked", "%s %s%s", x.Method, x.Host, x.Path.Raw)
	if x.Path.Clean != x.Path.Raw {
		line("", "clean path %s", x.Path.Clean)
	}
	if x.Path.Script != x.Path.Clean {
		line("", "script path %s", x.Path.Script)
	}
	site := x.Site
	if site == "" {
		site = "none claims this host"
		if len(x.Hosts) > 0 {
			site += "; there are " + strings.Join(x.Hosts, ", ")
		}
		if more := x.HostsInAll - len(x.Hosts); more > 0 {
			site += fmt.Sprintf(" and %d more", more)
		}
	}
	if x.Route != "" {
		site += ", route " + x.Route
	}
	line("site", "%s", site)
	client := x.Client + ", counted as " + x.Key
	if x.Country != "" {
		client += ", country " + x.Country
	}
	if x.Network != 0 {
		client += fmt.Sprintf(", network AS%d", x.Network)
	}
	line("client", "%s", client)
	if x.Hot {
		line("origin", "in trouble: limits that act while hot are acting")
	}
	for _, s := range x.Steps {
		line(s.Stage, "%s", s.String())
		if s.Found == nil {
			continue
		}
		for _, m := range s.Found.Matches {
			if m.Rule == 0 {
				line("", "%s: %s, there is %q", m.Field, m.Message, m.Value)
				continue
			}
			line("", "%d %s: %s in %q", m.Rule, m.Field, m.Message, m.Value)
		}
	}
	if x.Cache != "" {
		line("cache", "%s", x.Cache)
	}
	if x.Cost != "" {
		line("cost", "%s", x.Cost)
	}
	line("result", "%s", x.Result)
	if x.Ended != nil && x.Ended.Priority != "" {
		line("order", "no free place at the origin: priority %s, level %d of 12", x.Ended.Priority, x.Ended.Level+1)
	}
	if x.Ended != nil {
		line("ended", "status %d after %s %s", x.Ended.Status, x.Ended.Took, x.Ended.Error)
	}
	if x.Meaning != "" {
		line("why", "%s: %s", x.Reason, x.Meaning)
		line("to do", "%s", x.Do)
	}
	return b.String()
}

// String writes one stage's word.
func (s Explained) String() string {
	if s.Error != "" {
		return "could not tell: " + s.Error
	}
	out := s.Action
	if s.Action == flow.Continue.String() {
		out = "nothing against it"
	}
	if s.Delay != "" {
		out = "held back for " + s.Delay
	}
	if s.Rule != "" {
		out += " by " + s.Rule
	}
	if s.Reason != "" {
		out += " (" + string(s.Reason) + ")"
	}
	if s.RetryIn != "" {
		out += ", again in " + s.RetryIn
	}
	if s.Dry {
		out += ", on a dry run: only noted"
	}
	if s.Decided {
		out += "  <- this decides"
	}
	return out
}
