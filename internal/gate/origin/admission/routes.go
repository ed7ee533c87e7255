package admission

import (
	"math"
	"math/bits"
	"time"
)

// Sizes of what is remembered of routes. A route here is what is learned from traffic: a method and the shape of a path.
const (
	routeSets  = 64
	routeWays  = 4
	routeCount = routeSets*routeWays + 1 // and one for all that has no place of its own

	cleanShare   = 8               // an answer tells the service time when at most this part of what is healthy was in flight
	cleanLeast   = 3               // and always when so few were
	learnedFrom  = 3               // answers from which a service time is believed
	learnedMost  = 256             // the newest answer counts for at least one in so many
	learnedAgain = 16              // answers that what was learned anew stands for
	relearnFrom  = 8               // answers of late from which a service time is learned anew
	relearnSpan  = 2 * time.Second // routes without an answer for so long keep their service time
	clipAt       = 8               // times the mean: what is beyond it counts as this much

	rareLoad     = 0.05        // forwards in flight of all other routes that no place is kept for
	weightHalves = time.Minute // the use of a route halves in this time when its place is wanted
	nameMost     = 48          // bytes of a route's name that are kept for /status
)

// other is the index of the place that all routes without one of their own share.
const other = 0

// route is what is known of one route.
type route struct {
	tag      uint64
	inFlight int
	n        uint32  // clean answers, up to learnedMost
	mean     float64 // seconds: service time, from clean answers
	sum      float64 // seconds: what answers took in all, those of each window before the limiter's present one counting half,
	answers  float64 // how many they are
	window   uint32  // and which window was the last
	spread   float64 // seconds: mean distance from the mean
	load     float64 // forwards in flight, a moving average
	loadAt   time.Duration
	weight   float64 // uses, aged
	usedAt   time.Duration
	forwards uint64 // answers of the origin since the route has its place,
	hits     uint64 // and of the cache
	times    quantiles
	name     [nameMost]byte
	named    uint8
}

// routes learns what each route costs the origin: a table of fixed size whose places go to the routes that are used
// most. It has no clock and no lock.
type routes struct {
	all      [routeCount]route
	window   uint32  // the limiter's present one
	inFlight int     // of all together
	load     float64 // its moving average
	loadAt   time.Duration
}

// find returns the place of a route, other when it has none.
func (r *routes) find(tag uint64) int {
	base := setOf(tag)
	for i := base; i < base+routeWays; i++ {
		if r.all[i].tag == tag {
			return i
		}
	}
	return other
}

// place gives a route a place if there is one: a free one, or that of the least used route of its set, unless that is
// used more than a newcomer is. So random paths only displace each other.
func (r *routes) place(now time.Duration, of Route) int {
	base := setOf(of.Tag)
	least := base
	for i := base; i < base+routeWays; i++ {
		if r.all[i].weight*halves(now-r.all[i].usedAt, weightHalves) < r.all[least].weight*halves(now-r.all[least].usedAt, weightHalves) {
			least = i
		}
	}
	old := &r.all[least]
	if old.inFlight > 0 || old.weight*halves(now-old.usedAt, weightHalves) > 2 {
		return other
	}
	*old = route{tag: of.Tag, usedAt: now, loadAt: now}
	old.named = uint8(len(append(append(append(old.name[:0], of.Method...), ' '), of.Path[:min(len(of.Path), nameMost-len(of.Method)-1)]...)))
	return least
}

// setOf is the index of the first place of a tag's set.
func setOf(tag uint64) int {
	i, _ := bits.Mul64(tag, routeSets)
	return 1 + int(i)*routeWays
}

// service is what a route takes when nobody waits, and its standard deviation; ok is false while it is not known.
func (r *routes) service(i int) (mean, spread time.Duration, ok bool) {
	t := &r.all[i]
	if t.n < learnedFrom {
		return 0, 0, false
	}
	return seconds(t.mean), seconds(math.Sqrt(t.spread)), true
}

// expected is what a request is likely to cost: the route's service time, or that of all other routes.
func (r *routes) expected(i int) time.Duration {
	if r.all[i].n > 0 {
		return seconds(r.all[i].mean)
	}
	return seconds(r.all[other].mean)
}

// enter counts a forward in.
func (r *routes) enter(now time.Duration, i int) {
	r.settle(now, i)
	r.inFlight++
	r.all[i].inFlight++
}

// leave counts a forward out.
func (r *routes) leave(now time.Duration, i int) {
	r.settle(now, i)
	r.inFlight--
	r.all[i].inFlight--
}

// settle brings the moving averages of what is in flight up to now.
func (r *routes) settle(now time.Duration, i int) {
	t := &r.all[i]
	t.load = follow(t.load, t.inFlight, now-t.loadAt)
	r.load = follow(r.load, r.inFlight, now-r.loadAt)
	t.loadAt, r.loadAt = now, now
}

// follow is a moving average after it stood at a value for so long.
func follow(average float64, value int, span time.Duration) float64 {
	return average + (float64(value)-average)*(1-halves(span, 5*time.Second))
}

// learn takes an answer: taken while so few were in flight that it did not have to wait, or less the queueing that
// others saw at the same time, if that was measured.
func (r *routes) learn(now time.Duration, i int, took time.Duration, clean bool, queue time.Duration) {
	t := &r.all[i]
	t.weight = t.weight*halves(now-t.usedAt, weightHalves) + 1
	t.usedAt = now
	t.forwards++
	t.times.add(took)
	if t.window != r.window {
		left := math.Exp2(-float64(r.window - t.window))
		t.window, t.sum, t.answers = r.window, left*t.sum, left*t.answers
	}
	t.sum += took.Seconds()
	t.answers++
	if !clean {
		if t.n >= learnedFrom || queue < 0 {
			return
		}
		took = max(took-queue, took/clipAt)
	}
	x := took.Seconds()
	if t.n >= learnedFrom {
		x = min(x, clipAt*t.mean+overload.Seconds())
	}
	t.n = min(t.n+1, learnedMost)
	part := 1 / float64(t.n)
	off := x - t.mean
	t.mean += off * part
	t.spread += (off*(x-t.mean) - t.spread) * part // Welford, "Note on a method for calculating corrected sums", 1962
}

// relearn takes what answers took of late for the service time: the origin has become slower, or faster, or nothing was known.
// Routes that have few of them are taken to have become so in the same proportion.
func (r *routes) relearn(now time.Duration, factor float64) {
	for i := range r.all {
		t := &r.all[i]
		enough := t.window == r.window && t.answers >= relearnFrom
		if enough && (t.n < learnedFrom || t.mean <= 0) {
			t.mean, t.spread, t.n = t.sum/t.answers, 0, learnedFrom
			continue
		}
		if factor == asItCame || t.n == 0 || t.mean <= 0 || now-t.usedAt > relearnSpan {
			continue
		}
		own := factor
		if enough {
			own = t.sum / t.answers / t.mean
		}
		t.mean *= own
		t.spread *= own * own
		t.n = min(t.n, learnedAgain)
	}
}

// most is how many forwards of a route may be in flight where the limit is: the rest is what the other routes have lately
// used twice over, at most half. A route that hangs can so not take the places of those that don't, and a site that has
// but one route keeps them all.
func (r *routes) most(i, limit int) int {
	others := r.load - r.all[i].load
	if others < rareLoad {
		return limit
	}
	return max(1, limit-min(int(2*others)+2, limit/2))
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
