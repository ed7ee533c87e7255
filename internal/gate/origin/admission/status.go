package admission

import (
	"cmp"
	"slices"
	"time"
)

// routesShown is how many routes a Status tells of: the dearest.
const routesShown = 20

// Status is what a gate tells an operator.
type Status struct {
	// Limit is how many forwards may be in flight, InFlight how many are; Sending counts those whose visitor is still
	// sending the body, Waiting those who wait for their turn.
	Limit    int `json:"limit"`
	InFlight int `json:"in_flight"`
	Sending  int `json:"sending"`
	Waiting  int `json:"waiting"`
	// Queueing is how long, in seconds, requests waited in the origin of late; more than 0.02 is overload.
	Queueing float64 `json:"queueing"`
	// Late is how late, in seconds, the door itself was of late: its machine had no time for it. It is no fault of the origin, and
	// does not count as queueing.
	Late float64 `json:"late"`
	// Admitted and Refused count since the start, by priority: "" is for those that found a free place.
	Admitted map[string]uint64 `json:"admitted"`
	Refused  map[string]uint64 `json:"refused,omitempty"`
	// Routes are what was learned of the routes that cost the origin the most.
	Routes []RouteStatus `json:"routes"`
}

// RouteStatus is what was learned of a route. Times are in seconds.
type RouteStatus struct {
	// Route is an example of the route's requests: method and path.
	Route    string `json:"route"`
	InFlight int    `json:"in_flight"`
	// Service is what the route takes when nobody waits; P50 and P95 are of all its answers.
	Service float64 `json:"service"`
	P50     float64 `json:"p50"`
	P95     float64 `json:"p95"`
	// Forwards counts the answers of the origin and Hits those of the cache, since the route is remembered.
	Forwards uint64 `json:"forwards"`
	Hits     uint64 `json:"hits"`

	load float64
}

// Status returns how the gate is.
func (g *Gate) Status() Status {
	now := g.since(g.now())
	g.mu.Lock()
	defer g.mu.Unlock()
	d := &g.desk
	s := Status{Limit: d.limiter.most(), InFlight: d.inFlight, Sending: d.lent, Waiting: d.line.n, Queueing: max(0, d.limiter.queue).Seconds(), Late: d.limiter.own.Seconds(),
		Admitted: map[string]uint64{}, Refused: map[string]uint64{}}
	for p := range Excess + 1 {
		if n := g.admitted[p].Load(); n > 0 {
			s.Admitted[p.String()] = n
		}
		if n := g.refused[p].Load(); n > 0 {
			s.Refused[p.String()] = n
		}
	}
	s.Routes = d.routes.dearest(now)
	return s
}

// dearest are the routes that have the most forwards in flight of late.
func (r *routes) dearest(now time.Duration) []RouteStatus {
	all := []RouteStatus{}
	for i := range r.all {
		t := &r.all[i]
		if i == other || t.n == 0 {
			continue
		}
		s := t.status()
		s.load = follow(t.load, t.inFlight, now-t.loadAt)
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b RouteStatus) int { return cmp.Or(cmp.Compare(b.load, a.load), cmp.Compare(a.Route, b.Route)) })
	return all[:min(len(all), routesShown)]
}

func (t *route) status() RouteStatus {
	return RouteStatus{Route: string(t.name[:t.named]), InFlight: t.inFlight, Service: t.mean,
		P50: t.times.at(0.5).Seconds(), P95: t.times.at(0.95).Seconds(), Forwards: t.forwards, Hits: t.hits}
}

// Route returns what was learned of the route; ok is false while it has no place of its own.
func (g *Gate) Route(r Route) (s RouteStatus, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	t := &g.desk.routes.all[g.desk.routes.find(r.Tag)]
	return t.status(), t.tag == r.Tag && t.n > 0
}

// Hit notes that the cache has answered for the route.
func (g *Gate) Hit(r Route) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := g.desk.routes.find(r.Tag); i != other {
		g.desk.routes.all[i].hits++
	}
}
