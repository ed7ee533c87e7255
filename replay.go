package stormdoor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"stormdoor/flow"
	"stormdoor/internal/gate/client"
	"stormdoor/internal/gate/limit"
	"stormdoor/internal/gate/lists"
	"stormdoor/internal/gate/rule"
	"stormdoor/internal/gate/site"
	"stormdoor/internal/gate/waf"
	"stormdoor/internal/loop/tape"
	"stormdoor/internal/wire"
	"stormdoor/policy"
	"stormdoor/state"
)

// ReplayOptions adjust a replay. The zero value is useful.
type ReplayOptions struct {
	// Site is the name of the site that every line is for, whatever host it names. "": the site of the line's host, and
	// in a log without hosts the policy's only site.
	Site string
	// Hot replays only as if the origins had been in trouble all the time. Otherwise quiet times are replayed, and beside
	// them such trouble when the policy has anything that acts only then.
	Hot bool
	// GoodPeak is the most requests in a minute for which a client still counts as a good visitor. 0: DefaultGoodPeak.
	GoodPeak int
	// MaxClients is how many clients are remembered. 0: a million, which takes about 100 MB.
	MaxClients int
	// Progress is called now and then, in the goroutine of Replay. nil: nobody is told.
	Progress func(ReplayProgress)
}

// ReplayProgress is how far a replay is.
type ReplayProgress struct {
	Requests int64
	// Read and Total count the bytes of the log's file. Total is 0 when it is not known.
	Read, Total int64
}

// pause is how many lines are judged between two looks at ctx and two calls of Progress.
const pause = 4096

// Replay judges the requests of an access log by the policy in force, each at the time that the log gives. It counts in
// tables of its own, so the door and its visitors notice nothing. The same log and policy give the same report.
//
// A request that would have been refused costs its client no bytes and no origin time; one that would have passed costs
// what the log says. What the log does not know, a rule cannot see: fields other than User-Agent and Referer, TLS
// fingerprints, credentials. A site with TLS is taken to have been asked over TLS.
//
// When the log breaks off or ctx ends, the report tells of what was read and the error says why.
func (d *Door) Replay(ctx context.Context, log *tape.Log, o ReplayOptions) (Report, error) {
	r := &replay{log: log, o: o, counts: map[*policy.Site]*int64{}}
	if err := log.Next(&r.entry); err != nil {
		if err == io.EOF {
			err = errors.New("the access log holds no request")
		}
		return Report{}, err
	}
	if err := r.prepare(d.Policy()); err != nil {
		return Report{}, err
	}
	err := r.run(ctx)
	if errors.Is(err, errAmbiguous) {
		return Report{}, err
	}
	return r.report(err), err
}

// errAmbiguous marks a log that does not tell which site it is of.
var errAmbiguous = errors.New("name the one that the log is of (--site NAME)")

// replay is one replay under way. It reuses all that a request needs, so that a line costs no allocation.
type replay struct {
	log    *tape.Log
	o      ReplayOptions
	reader *client.Reader
	sites  *site.Table
	given  *site.Site // ReplayOptions.Site
	only   *site.Site // the policy's only site
	cases  []*replayCase

	entry   tape.Entry
	scratch flow.Facts // owns the memory of the header
	conn    wire.Conn
	request wire.Request
	outcome flow.Outcome

	visitors    visitors
	requests    int64
	first, last time.Time
	hosts       bool // a line with a host has been read
	counts      map[*policy.Site]*int64
	unknown     int64
	site        *policy.Site // of the line before, and where it is counted
	count       *int64
}

// replayCase is one way in which the time of the log could have gone: with the origins well, or in trouble. Each has a
// table of its own.
type replayCase struct {
	hot      bool
	chain    *flow.Chain
	limits   *limit.Stage // those of the chain
	table    *state.Memory
	passed   int64
	tally    tally
	failures int64
	failure  string // the first one
}

// prepare compiles what judges. The first line has been read: the tables begin at its time. The secret of all hashes is
// zero, so that a replay repeats itself exactly: what shares a counter in a full table depends on it.
func (r *replay) prepare(p *policy.Policy) error {
	if r.o.GoodPeak <= 0 {
		r.o.GoodPeak = DefaultGoodPeak
	}
	if r.o.MaxClients <= 0 {
		r.o.MaxClients = 1_000_000
	}
	r.visitors = newVisitors(r.o.MaxClients)
	var err error
	if r.sites, err = site.New(p.Sites); err != nil {
		return err
	}
	if err = r.choose(r.o.Site); err != nil {
		return err
	}
	if r.reader, err = client.New(p.Trust, p.Geo, client.Options{}); err != nil {
		return err
	}
	l, err := lists.New(p.Lists, lists.Options{Trusted: p.Trust.Proxies})
	if err != nil {
		return err
	}
	rules, err := rule.New(p.Rules, rule.Options{})
	if err != nil {
		return err
	}
	firewall, err := waf.New(p, waf.Options{Held: new(atomic.Int64), Bare: true})
	if err != nil {
		return err
	}
	kinds := []bool{r.o.Hot}
	if !r.o.Hot && actsWhileHot(p) {
		kinds = []bool{false, true}
	}
	for _, hot := range kinds {
		if err := r.addCase(p, hot, l, rules, firewall); err != nil {
			return err
		}
	}
	return nil
}

// choose sets the site that lines without a host are for, and with a name all lines.
func (r *replay) choose(name string) error {
	all := r.sites.All()
	if len(all) == 1 {
		r.only = all[0]
	}
	if name == "" {
		return nil
	}
	for _, s := range all {
		if s.Policy.Name == name {
			r.given = s
			return nil
		}
	}
	return fmt.Errorf("the policy has no site %q: its sites are %s", name, siteNames(all))
}

// addCase makes the stages of one case. Those that have nothing to say, whatever comes, are left out because asking them
// takes longer than reading the line: stages without a list, rule or limit, and limits that act while hot in a case that
// never is.
func (r *replay) addCase(p *policy.Policy, hot bool, l *lists.Stage, rules *rule.Stage, firewall *waf.Stage) error {
	q := *p
	q.Limits = slices.DeleteFunc(slices.Clone(p.Limits), func(m policy.Limit) bool { return m.While == policy.Hot && !hot })
	if q.Limits == nil {
		q.Limits = []policy.Limit{} // nil would stand for the default one
	}
	table, err := state.NewMemory(int64(p.LimitTable.Memory), r.entry.Arrived)
	if err != nil {
		return fmt.Errorf("limit_table.memory: %w", err)
	}
	limits, err := limit.New(&q, table, limit.Options{})
	if err != nil {
		return err
	}
	speak := slices.DeleteFunc(stages(l, rules, limits, firewall), func(s flow.Stage) bool {
		return s == flow.Stage(l) && len(p.Lists) == 0 || s == flow.Stage(rules) && len(p.Rules) == 0 || s == flow.Stage(limits) && len(q.Limits) == 0 || s == flow.Stage(firewall) && firewall.Off()
	})
	c := &replayCase{hot: hot, limits: limits, table: table, tally: newTally()}
	c.chain = flow.NewChain(speak, c.failed(p.OnError))
	r.cases = append(r.cases, c)
	return nil
}

// failed counts what a stage could not judge, and says what the policy says of that.
func (c *replayCase) failed(on policy.OnError) func(string, error) flow.Verdict {
	var v flow.Verdict
	if on == policy.OnErrorRefuse {
		v = flow.Verdict{Action: flow.Refuse, Reason: flow.StageFailed}
	}
	return func(stage string, err error) flow.Verdict {
		if c.failures == 0 {
			c.failure = stage + ": " + err.Error()
		}
		c.failures++
		return v
	}
}

var wordHot = regexp.MustCompile(`\bhot\b`)

// actsWhileHot reports whether the policy can judge otherwise while an origin is in trouble.
func actsWhileHot(p *policy.Policy) bool {
	for i := range p.Limits {
		if p.Limits[i].While == policy.Hot {
			return true
		}
	}
	for i := range p.Rules {
		if wordHot.MatchString(p.Rules[i].When) {
			return true
		}
	}
	return false
}

func siteNames(all []*site.Site) string {
	var names []string
	for _, s := range all {
		names = append(names, s.Policy.Name)
	}
	return strings.Join(names, ", ")
}

// run judges line after line, from the one that has been read on, until the log or ctx ends.
func (r *replay) run(ctx context.Context) error {
	for {
		s, err := r.find()
		if err != nil {
			return err
		}
		r.judge(ctx, s)
		if r.requests%pause == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
			r.tell()
		}
		switch err := r.log.Next(&r.entry); {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

func (r *replay) tell() {
	if r.o.Progress == nil {
		return
	}
	p := ReplayProgress{Requests: r.requests}
	p.Read, p.Total = r.log.Progress()
	r.o.Progress(p)
}

// find returns the site that the line is for, nil when no site claims its host. A log without hosts has to be of one site;
// in one with hosts, a line without is a request without, which the door gives to the site "*".
func (r *replay) find() (*site.Site, error) {
	switch {
	case r.given != nil:
		return r.given, nil
	case r.entry.Host != "":
		r.hosts = true
	case r.only != nil:
		return r.only, nil
	case !r.hosts:
		return nil, fmt.Errorf("the log does not tell which hosts were asked for, and the policy has several sites (%s): %w",
			siteNames(r.sites.All()), errAmbiguous)
	}
	return r.sites.Find(r.entry.Host), nil
}

// judge asks the stages of each case about the line, and counts what they say.
func (r *replay) judge(ctx context.Context, s *site.Site) {
	e, f := &r.entry, &r.outcome.Facts
	r.facts(s)
	if r.requests == 0 || f.Arrived.Before(r.first) {
		r.first = f.Arrived
	}
	if f.Arrived.After(r.last) || r.requests == 0 {
		r.last = f.Arrived
	}
	r.requests++
	r.countSite(s)
	for _, c := range r.cases {
		c.limits.Expect(f) // main memory may work on it while it finds the visitor
	}
	minute := f.Arrived.Unix() / 60
	v := r.visitors.of(f.Key)
	v.seen(e, f.Path.Clean, minute)
	for i, c := range r.cases {
		c.judge(ctx, &r.outcome, e)
		if !c.tally.count(&r.outcome, minute) {
			c.passed++
		}
		r.visitors.touch(v, i, &r.outcome, c.tally.latest)
	}
}

// judge decides one request and settles it with what the log says it has cost.
func (c *replayCase) judge(ctx context.Context, o *flow.Outcome, e *tape.Entry) {
	o.Verdict, o.Stage, o.Dry, o.DryStage = flow.Verdict{}, "", flow.Verdict{}, ""
	o.Status, o.BytesOut, o.Took, o.OriginTime, o.Waited = 0, 0, 0, 0, 0
	o.Facts.Hot = c.hot
	if o.Facts.Site == "" {
		o.Verdict = flow.Verdict{Action: flow.Refuse, Reason: flow.SiteUnknown}
		return
	}
	// A log shows no proxies that the policy does not declare, so what the path makes of those is left out here.
	asked := c.chain.Decide(ctx, o)
	if o.Verdict.Action < flow.Challenge {
		o.Status, o.BytesOut, o.OriginTime = e.Status, e.Bytes, e.Took
		o.Waited, o.Took = o.Verdict.Delay, e.Took+o.Verdict.Delay
	}
	c.chain.Settle(o, asked)
}

// facts fills the facts of the line as the path fills those of a request.
func (r *replay) facts(s *site.Site) {
	e, f := &r.entry, &r.outcome.Facts
	e.Fill(&r.scratch)
	r.conn.Peer = netip.AddrPortFrom(e.Client, 1)
	r.conn.TLS = s != nil && s.Policy.TLS != nil
	q := &r.request
	q.Proto, q.Method, q.Target, q.Authority = e.Proto, e.Method, originForm(e.Target), e.Host
	q.Header, q.Length = r.scratch.Header, r.scratch.Length
	f.Arrived = e.Arrived
	r.reader.Fill(f, &r.conn, q)
	f.Site, f.Route = "", ""
	if s == nil {
		return
	}
	f.Site = s.Policy.Name
	if f.Host == "" {
		f.Host = anyHost(s.Policy)
	}
	if route := s.Route(f.Path.Clean, f.Method); route != nil {
		f.Route = route.Name
	}
}

// originForm takes an absolute form apart, as servers do. Other targets stay as they are.
func originForm(target string) string {
	if target[0] == '/' {
		return target
	}
	_, rest, ok := strings.Cut(target, "://")
	if !ok {
		return target
	}
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		return rest[i:]
	}
	return "/"
}

// anyHost is a host of the site, for a log that names none: its first without a wildcard, or else what its first is one of.
// RFC 6761 keeps host.invalid from being anybody's.
func anyHost(s *policy.Site) string {
	for _, h := range s.Hosts {
		if !strings.Contains(h, "*") {
			return h
		}
	}
	if len(s.Hosts) > 0 && s.Hosts[0] != "*" {
		return strings.TrimPrefix(s.Hosts[0], "*.")
	}
	return "host.invalid"
}

// countSite counts the request for its site. Lines of one site mostly follow each other.
func (r *replay) countSite(s *site.Site) {
	if s == nil {
		r.unknown++
		return
	}
	if s.Policy != r.site {
		n := r.counts[s.Policy]
		if n == nil {
			n = new(int64)
			r.counts[s.Policy] = n
		}
		r.site, r.count = s.Policy, n
	}
	*r.count++
}
