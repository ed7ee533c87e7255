package stormdoor

import (
	"errors"
	"strconv"
	"sync/atomic"

	"stormdoor/flow"
	"stormdoor/internal/gate/answer"
	"stormdoor/internal/gate/cache"
	"stormdoor/internal/gate/client"
	"stormdoor/internal/gate/leak"
	"stormdoor/internal/gate/limit"
	"stormdoor/internal/gate/listen"
	"stormdoor/internal/gate/lists"
	"stormdoor/internal/gate/origin"
	"stormdoor/internal/gate/rule"
	"stormdoor/internal/gate/site"
	"stormdoor/internal/gate/waf"
	"stormdoor/policy"
)

// Deployment is what is in force. It is immutable and replaced whole; a request ends under the deployment it began with.
type Deployment struct {
	Stable *Edition
}

// Edition is one policy, compiled: everything that the path needs to serve a request. It is immutable but for the
// health of its origins.
type Edition struct {
	policy  *policy.Policy
	reader  *client.Reader
	sites   *site.Table
	chain   *flow.Chain
	lists   *lists.Stage
	limits  *limit.Stage
	waf     *waf.Stage
	leaks   *leak.Stage
	answers *answer.Answers
	pools   map[*policy.Site]*origin.Pool
	routes  map[*policy.Route]*origin.Pool
	// siteCache and routeCache hold the rules of the cache; nil where it is off.
	siteCache  map[*policy.Site]*cache.Rules
	routeCache map[*policy.Route]*cache.Rules
	// altSvc tells visitors over TLS of HTTP/3 (RFC 7838); "" without it.
	altSvc string
	// queues bound how many requests each limit holds back at once.
	queues map[string]*queue
	// perClient names the limits that count by the client's address.
	perClient map[string]bool
}

// compile turns a policy, with its defaults, into an edition. It opens and reads the files that the policy names and
// connects to nobody. Every part is tried, so that the error, a *policy.Errors, names all that is wrong and where.
func (d *Door) compile(p *policy.Policy) (*Edition, error) {
	e := &Edition{policy: p, altSvc: altSvc(p), pools: map[*policy.Site]*origin.Pool{}, routes: map[*policy.Route]*origin.Pool{}, perClient: map[string]bool{}, queues: map[string]*queue{},
		siteCache: map[*policy.Site]*cache.Rules{}, routeCache: map[*policy.Route]*cache.Rules{}}
	for i := range p.Limits {
		e.queues[p.Limits[i].Name] = &queue{most: int64(p.Limits[i].MaxQueue)}
		e.perClient[p.Limits[i].Name] = p.Limits[i].By == policy.ByClient
	}
	var errs []error
	try := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	var err error
	var before *Edition
	options := client.Options{Secret: d.secret, Notice: d.undeclared}
	if now := d.deployed.Load(); now != nil {
		before = now.Stable
		options.Before = before.reader
	}
	e.reader, err = client.New(p.Trust, p.Geo, options)
	try(err)
	e.sites, err = site.New(p.Sites)
	try(err)
	e.answers, err = answer.New(p.Refusals)
	try(err)
	e.lists, err = lists.New(p.Lists, lists.Options{Trusted: p.Trust.Proxies})
	try(err)
	if err == nil {
		d.sayAside(e.lists.Aside())
	}
	e.limits, err = limit.New(p, d.store, limit.Options{Secret: d.secret})
	try(err)
	rules, err := rule.New(p.Rules, rule.Options{Notice: d.ruleAside})
	try(err)
	e.waf, err = waf.New(p, waf.Options{Before: before.firewall(), Held: &d.heldBodies, Turns: d.turns, Shadows: d.shadows})
	try(err)
	e.leaks = leak.New(p, before.watch())
	if len(errs) == 0 {
		e.chain = flow.NewChain(stages(e.lists, rules, e.limits, e.waf), d.stageFailed(p.OnError))
	}
	for i := range p.Sites {
		try(e.addPools(d, policy.Item("sites", i), &p.Sites[i], before))
		e.addCache(&p.Sites[i])
	}
	if len(errs) > 0 {
		e.close()
		return nil, p.Locate(errors.Join(errs...))
	}
	return e, nil
}

// altSvc is the field that tells of HTTP/3, "" where it is not served.
func altSvc(p *policy.Policy) string {
	port, err := strconv.ParseUint(httpsPort(p.Listen.HTTPS), 10, 16)
	if err != nil || !p.Listen.HTTP3 || !hasTLS(p) {
		return ""
	}
	return listen.AltSvc(uint16(port))
}

// queue counts the requests that one limit holds back.
type queue struct {
	most    int64
	waiting atomic.Int64
}

// addPools makes the pool of origins of the site that stands at the path at, and one for each route that has origins or
// timeouts of its own. Where the edition before has a pool for the same site and route, the new one goes on where that
// one is.
func (e *Edition) addPools(d *Door, at string, s *policy.Site, before *Edition) error {
	base := origin.Config{
		Site: s.Name, Origins: s.Origins, Balance: s.Balance, Health: s.Health, Hosts: s.Hosts, Timeouts: s.Timeouts, MaxBody: s.MaxBody,
		PreserveHost: s.PreserveHost == nil || *s.PreserveHost, Token: d.token, Secret: d.secret, Log: d.log, Now: d.now,
		Admission: s.Admission, Clients: d.clients, Lag: d.lag, Visits: d.visitsOf(s, e.policy.Data),
	}
	var errs []error
	if len(s.Origins) > 0 {
		base.Before = before.poolOf(s.Name, "")
		pool, err := origin.New(base)
		if err != nil {
			errs = append(errs, policy.At(at, err))
		} else {
			e.pools[s] = pool
			base.Gate = pool.Gate() // the routes to the same origins share what those can do
		}
	}
	broken := len(errs) > 0
	for i := range s.Routes {
		r := &s.Routes[i]
		if len(r.Origins) == 0 && (broken || r.Timeouts == s.Timeouts && r.MaxBody == s.MaxBody) {
			continue
		}
		c := base
		c.Before = before.poolOf(s.Name, r.Name)
		c.Timeouts, c.MaxBody = r.Timeouts, r.MaxBody // the defaults have filled in the site's
		if len(r.Origins) > 0 {
			c.Origins, c.Gate = r.Origins, nil
		}
		pool, err := origin.New(c)
		if err != nil {
			errs = append(errs, policy.Of("route "+r.Name, policy.Item(at+".routes", i), err))
			continue
		}
		e.routes[r] = pool
	}
	return errors.Join(errs...)
}

// poolOf finds the pool of a site and route by their names, "" for the site's own; nil when there is none.
func (e *Edition) poolOf(site, route string) (found *origin.Pool) {
	if e == nil {
		return nil
	}
	e.eachPool(func(s, r string, p *origin.Pool) {
		if s == site && r == route {
			found = p
		}
	})
	return found
}

// pool is where a request goes: the route's own origins, else the site's. nil when the site has none.
func (e *Edition) pool(s *policy.Site, r *policy.Route) *origin.Pool {
	if r != nil {
		if p := e.routes[r]; p != nil {
			return p
		}
	}
	return e.pools[s]
}

// eachPool calls f for every pool with the name of its site and route.
func (e *Edition) eachPool(f func(site, route string, p *origin.Pool)) {
	for s, p := range e.pools {
		f(s.Name, "", p)
	}
	for i := range e.policy.Sites {
		for j := range e.policy.Sites[i].Routes {
			r := &e.policy.Sites[i].Routes[j]
			if p := e.routes[r]; p != nil {
				f(e.policy.Sites[i].Name, r.Name, p)
			}
		}
	}
}

// close gives back what the edition holds; requests under way end as they began.
func (e *Edition) close() {
	e.eachPool(func(_, _ string, p *origin.Pool) { p.Close() })
	if e.reader != nil {
		e.reader.Close()
	}
}

// stageFailed says what follows when a stage could not tell, and says so in the log, at most once a second.
func (d *Door) stageFailed(on policy.OnError) func(string, error) flow.Verdict {
	var v flow.Verdict
	if on == policy.OnErrorRefuse {
		v = flow.Verdict{Action: flow.Refuse, Reason: flow.StageFailed}
	}
	return func(stage string, err error) flow.Verdict {
		d.faults.Add(1)
		d.seldom(func() {
			d.log.Error("a stage could not judge a request", "stage", stage, "error", err, "then", string(on))
		})
		return v
	}
}

// sayAside tells of rows of list files that are not in force because they would hit whom no list should.
func (d *Door) sayAside(a lists.Aside) {
	if a.Count == 0 {
		return
	}
	rows := make([]string, 0, len(a.Rows))
	for _, r := range a.Rows {
		rows = append(rows, r.String())
	}
	d.log.Warn("rows of refuse lists were put aside", "count", a.Count, "first", rows)
}

func (d *Door) undeclared(u client.Undeclared) {
	d.log.Warn("there seems to be a proxy in front of the door that the policy does not declare; its visitors are not told apart, and it is not limited as one visitor until you declare it under trust.proxies",
		"peer", u.Peer.String(), "header", u.Header, "visitors_seen", u.Clients, "since", u.Since)
}

func (d *Door) ruleAside(rule, message string) {
	d.log.Error("a rule failed", "rule", rule, "what", message)
}

// firewall is the edition's firewall; nil for no edition.
func (e *Edition) firewall() *waf.Stage {
	if e == nil {
		return nil
	}
	return e.waf
}
