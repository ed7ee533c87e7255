package stormdoor

import (
	"strings"
	"time"

	"stormdoor/flow"
	"stormdoor/internal/gate/cache"
	"stormdoor/internal/wire"
	"stormdoor/policy"
)

// cached answers a judged request from the cache, or lets an origin answer it. It returns what forward does.
func (d *Door) cached(ex wire.Exchange, v *visit) flow.Reason {
	o := &v.outcome
	verdict, stage := o.Verdict, o.Stage
	reason := d.cache.Serve(v.welcome(v.edition.dress(ex, v.site)), o, v.edition.cacheRules(v.site, v.route), v)
	if reason == "" { // where admission has refused, a stored answer has stood in
		o.Verdict, o.Stage = verdict, stage
	}
	if reason == "" && o.Attempts == 0 && (o.Cache == flow.CacheHit || o.Cache == flow.CacheStale || o.Cache == flow.CacheCollapsed) {
		if p := v.edition.pool(v.site, v.route); p != nil {
			p.Served(o)
		}
	}
	return reason
}

// Forward implements cache.Origin.
func (v *visit) Forward(ex wire.Exchange) flow.Reason { return v.door.watched(ex, v) }

// Later implements cache.Origin: a visit of nobody, with facts of its own, that is not recorded.
func (v *visit) Later() func(wire.Exchange) flow.Reason {
	later := &visit{door: v.door, edition: v.edition, site: v.site, route: v.route}
	f := &later.outcome.Facts
	*f = v.outcome.Facts
	f.Method, f.Host, f.Query = strings.Clone(f.Method), strings.Clone(f.Host), strings.Clone(f.Query)
	f.Path = flow.Path{Raw: strings.Clone(f.Path.Raw), Clean: strings.Clone(f.Path.Clean), Script: strings.Clone(f.Path.Script)}
	f.Visit = flow.Visit{} // nobody waits for it
	f.JA4, f.Country = strings.Clone(f.JA4), strings.Clone(f.Country)
	f.Header = flow.NewHeader(v.outcome.Facts.Header.Len())
	for field := range v.outcome.Facts.Header.All() {
		f.Header.Add(strings.Clone(field.Name), strings.Clone(field.Value))
	}
	return later.Forward
}

// busted says that a path is asked for under addresses without end.
func (d *Door) busted(site, path string) {
	d.seldom(func() {
		d.log.Warn("a path is asked for under ever new addresses (cache busting); parameters that have never changed its answer are ignored meanwhile", "site", site, "path", path)
	})
}

// diskFailed says that the cache's disk refuses something; visitors are served without it meanwhile.
func (d *Door) diskFailed(err error) {
	d.log.Warn("the cache goes on without its disk for a while", "error", err)
}

// cacheRules are the rules for the route, nil where the cache is off.
func (e *Edition) cacheRules(s *policy.Site, r *policy.Route) *cache.Rules {
	if r != nil {
		return e.routeCache[r]
	}
	return e.siteCache[s]
}

// addCache compiles what the policy says about the cache.
func (e *Edition) addCache(s *policy.Site) {
	e.siteCache[s] = compileCache(&s.Cache, s.Timeouts.Idle)
	for i := range s.Routes {
		r := &s.Routes[i]
		e.routeCache[r] = compileCache(&r.Cache, r.Timeouts.Idle)
	}
}

func compileCache(r *policy.CacheRules, idle policy.Duration) *cache.Rules {
	if r.Off != nil && *r.Off {
		return nil
	}
	return &cache.Rules{
		TTL: time.Duration(r.TTL), IgnoreQuery: r.IgnoreQuery, AnyCookies: r.IgnoreCookies != nil && *r.IgnoreCookies,
		StaleIfError: time.Duration(r.StaleIfError), Idle: time.Duration(idle),
	}
}

// cacheGauges tells in metrics what the cache holds, disk says whether some of it on disk.
func (d *Door) cacheGauges(disk bool) {
	d.metrics.Gauge("stormdoor_cache_bytes", "What the cache stores, in bytes.", nil, func() float64 { return float64(d.cache.Stats().Bytes) })
	d.metrics.Gauge("stormdoor_cache_resources", "How many addresses have stored answers.", nil, func() float64 { return float64(d.cache.Stats().Resources) })
	d.metrics.Gauge("stormdoor_cache_fetching_bytes", "What comes in from origins to be stored, in bytes.", nil, func() float64 { return float64(d.cache.Stats().UnderWay) })
	d.metrics.Gauge("stormdoor_cache_waiting", "Requests that wait for an answer which another request has asked for.", nil, func() float64 { return float64(d.cache.Stats().Waiting) })
	d.metrics.Gauge("stormdoor_cache_exploding_paths", "Paths that are asked for under so many different addresses that it must be cache busting.", nil, func() float64 { return float64(d.cache.Stats().Exploding) })
	d.metrics.Count("stormdoor_cache_collapsed_addresses_total", "Requests to such paths whose address was taken for the one without what has never changed an answer.", nil, func() float64 { return float64(d.cache.Stats().Collapsed) })
	d.metrics.Count("stormdoor_cache_evicted_total", "Addresses whose answers made room for others.", nil, func() float64 { return float64(d.cache.Stats().Evicted) })
	if disk {
		d.diskGauges()
	}
	d.metrics.Count("stormdoor_cache_refreshed_total", "Answers renewed while no visitor waited.", nil, func() float64 { return float64(d.cache.Stats().Refreshed) })
}

func (d *Door) diskGauges() {
	d.metrics.Gauge("stormdoor_cache_disk_bytes", "What the cache's files take on disk, in bytes.", nil, func() float64 { return float64(d.cache.Stats().Disk.Bytes) })
	d.metrics.Gauge("stormdoor_cache_disk_answers", "How many answers lie on disk.", nil, func() float64 { return float64(d.cache.Stats().Disk.Answers) })
	d.metrics.Count("stormdoor_cache_disk_hits_total", "Answers that came from disk.", nil, func() float64 { return float64(d.cache.Stats().Disk.Hits) })
	d.metrics.Count("stormdoor_cache_disk_written_total", "Answers that went to disk.", nil, func() float64 { return float64(d.cache.Stats().Disk.Written) })
	d.metrics.Count("stormdoor_cache_disk_lost_total", "Answers that should have gone to disk when it was full, slow or refused them.", nil, func() float64 { return float64(d.cache.Stats().Disk.Lost) })
	d.metrics.Count("stormdoor_cache_disk_failures_total", "Times that the disk refused something, was too slow, or had damaged what it was given.", nil, func() float64 { return float64(d.cache.Stats().Disk.Failures) })
}

// explainCache says whether the cache would be asked.
func (e *Edition) explainCache(f *flow.Facts) string {
	s := e.sites.Find(f.Host)
	if s == nil {
		return ""
	}
	if e.cacheRules(s.Policy, s.Route(f.Path.Clean, f.Method)) == nil {
		return "off for this site or route"
	}
	return cache.Interest(f.Method, f.Header, f.Length)
}
