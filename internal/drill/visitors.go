package drill

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// Sample is one request of a good visitor.
type Sample struct {
	Kind string
	// At is when it was asked, in Unix nanoseconds; Took until its answer was complete.
	At   int64
	Took time.Duration
	// Failed says in a word why the visitor was not served: "" when it was; a refusal's reason, "late", "status 502",
	// "reset" or "timeout" otherwise.
	Failed string
}

// promptly is how long a visitor waits gladly. An answer after it counts as late, which is not served.
const promptly = time.Second

// givesUp is when a visitor gives up.
const givesUp = 4 * time.Second

// VisitorsSpec says whom the drill invites.
type VisitorsSpec struct {
	// Clear and Secure are where the door listens, without and with TLS.
	Clear, Secure string
	Seed          uint64
}

// Visitors is the part that plays the good visitors: people and programs whose service is what a drill is about.
type Visitors struct {
	ctx  context.Context
	spec VisitorsSpec

	mu      sync.Mutex
	samples []Sample
	crowd   context.CancelFunc
}

// Start lets the visitors come.
func (v *Visitors) Start(spec VisitorsSpec, _ *Nothing) error {
	v.spec = spec
	cast := newCast(v)
	for _, p := range cast.staying {
		go p.stay(v.ctx)
	}
	cast.begin(v.ctx, time.Second)
	go cast.arrive(v.ctx, 1)
	return nil
}

// Take tells what has happened since the last call.
func (v *Visitors) Take(_ Nothing, out *[]Sample) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	*out, v.samples = v.samples, nil
	return nil
}

// Crowd lets many times as many new visitors come, until it is called with 0: a link that many people follow at once. They
// are good visitors.
func (v *Visitors) Crowd(times int, _ *Nothing) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.crowd != nil {
		v.crowd()
		v.crowd = nil
	}
	if times > 0 {
		ctx, cancel := context.WithCancel(v.ctx)
		v.crowd = cancel
		go newComers(v, times).arrive(ctx, times)
	}
	return nil
}

func (v *Visitors) note(s Sample) {
	v.mu.Lock()
	v.samples = append(v.samples, s)
	v.mu.Unlock()
}

// rhythm is how many visits begin in each second: the requests that a real server had in its busiest two minutes of the
// day (NASA Kennedy Space Center, 1 August 1995; Internet Traffic Archive, freely redistributable).
var rhythm = [...]int{
	1, 2, 0, 3, 3, 0, 2, 5, 2, 0, 1, 8, 5, 4, 0, 1, 0, 2, 1, 4, 5, 0, 0, 4, 7, 2, 1, 5, 2, 1, 2, 0, 1, 1, 1, 2, 3, 1, 1, 2,
	2, 1, 4, 4, 1, 3, 4, 2, 5, 5, 4, 5, 7, 12, 8, 7, 3, 0, 0, 0, 0, 1, 2, 1, 3, 1, 1, 1, 3, 7, 3, 0, 0, 2, 2, 2, 0, 0, 2, 0,
	2, 0, 1, 5, 2, 2, 2, 2, 5, 2, 0, 0, 0, 1, 0, 2, 0, 0, 0, 1, 3, 5, 4, 4, 1, 3, 0, 2, 1, 1, 0, 2, 1, 0, 1, 0, 0, 1, 2, 0,
}

// cast is everybody who comes by.
type cast struct {
	visiting []*person // who comes, reads and goes
	staying  []*person // programs that ask all the time
	lot      *rand.Rand
}

func newCast(v *Visitors) *cast {
	c := &cast{lot: rand.New(rand.NewPCG(v.spec.Seed, 1))}
	address := 0
	next := func() int { address++; return address }
	for range 40 {
		c.visiting = append(c.visiting, newPerson(v, "browser", visitorAddr(next()), c.lot.Uint64(), browse))
	}
	for range 20 {
		c.visiting = append(c.visiting, newPerson(v, "customer", visitorAddr(next()), c.lot.Uint64(), shopping))
	}
	for range 12 {
		c.visiting = append(c.visiting, newPerson(v, "office", officeAddr(), c.lot.Uint64(), browse))
	}
	for i := range 8 {
		p := newPerson(v, "roaming", roamingAddr(i*64), c.lot.Uint64(), browse)
		p.roams = i*64 + 1
		c.visiting = append(c.visiting, p)
	}
	for _, k := range []struct {
		kind  string
		n     int
		every time.Duration
		visit func(context.Context, *person)
	}{
		{"app", 16, time.Second, useApp}, {"feed reader", 3, 2 * time.Second, readFeed}, {"monitor", 1, time.Second / 2, checkUp},
		{"crawler", 2, time.Second / 2, crawl}, {"package manager", 2, time.Second, fetchPackage},
		{"chat", 3, 0, chat}, {"events", 3, 0, follow},
	} {
		for range k.n {
			p := newPerson(v, k.kind, visitorAddr(next()), c.lot.Uint64(), k.visit)
			p.every = k.every
			c.staying = append(c.staying, p)
		}
	}
	return c
}

// newComers is a crowd of people whom nobody has seen before.
func newComers(v *Visitors, times int) *cast {
	c := &cast{lot: rand.New(rand.NewPCG(v.spec.Seed, 2))}
	for i := range 40 * times {
		c.visiting = append(c.visiting, newPerson(v, "newcomer", visitorAddr(1024+i), c.lot.Uint64(), browse))
	}
	return c
}

// begin lets everybody come once within the time: those of a drill are visitors who were there before the storm, and
// whoever is a customer has signed in.
func (c *cast) begin(ctx context.Context, within time.Duration) {
	for i, p := range c.visiting {
		go func() {
			if wait(ctx, within*time.Duration(i)/time.Duration(len(c.visiting))) {
				p.come(ctx)
			}
		}()
	}
}

// visitsPerArrival turns the rhythm of a quiet server into the drill's: about eight visits, sixty requests, a second.
const visitsPerArrival = 4

// arrive lets visits begin in the rhythm until ctx ends.
func (c *cast) arrive(ctx context.Context, times int) {
	begin := c.lot.IntN(len(rhythm))
	for i := 0; ; i++ {
		n := rhythm[(begin+i)%len(rhythm)] * visitsPerArrival * times
		pause := time.Second / time.Duration(n+1)
		for range n {
			if !wait(ctx, pause) {
				return
			}
			go c.visiting[c.lot.IntN(len(c.visiting))].come(ctx)
		}
		if !wait(ctx, pause) {
			return
		}
	}
}

// wait sleeps, and reports false when ctx has ended.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
