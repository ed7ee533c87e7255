package admission

import (
	"math"
	"math/bits"
)

const (
	crowdClasses = 2 * 14 // half octaves, up to limitMost
	crowdLeast   = 3      // answers on either side, and
	crowdFewer   = 0.3    // how much fewer were in flight with the one side, for a finding
	crowdSure    = 0.1    // how far the time that either side took may be off by chance, as a part of it
)

// crowds sums up answers by how many were in flight with them, in two ways: when the request was sent, which is what it waits for in an
// origin that serves one after the other; and at most then or when it was answered, which is what it waits for in one that works
// on all of them in turns. Requests come as chance has it, so that this is an experiment that nobody had to make.
type crowds struct{ sent, most crowdTable }

type crowdTable [crowdClasses]crowdSum

// crowdSum is the sum of n answers: the seconds that they took and that they should have taken, how many were in flight with each, and
// the products of those seconds.
type crowdSum struct{ n, took, service, crowd, tookTook, tookService, serviceService float64 }

func sumOf(a answer, crowd int) crowdSum {
	took, service := a.took.Seconds(), a.service.Seconds()
	return crowdSum{1, took, service, float64(crowd), took * took, took * service, service * service}
}

func (c *crowds) add(a answer) {
	c.sent.add(a, max(a.flying, 1))
	c.most.add(a, max(a.flying, a.left, 1))
}

// follow takes a further window in, beside which older ones count half as much as they did.
func (c *crowds) follow(w *crowds) {
	c.sent.follow(&w.sent)
	c.most.follow(&w.most)
}

// slower reports whether answers took longer than they should whether many or few were in flight: then they did not wait for each other.
func (c *crowds) slower() bool { return c.sent.slower() && c.most.slower() }

func (t *crowdTable) add(a answer, crowd int) {
	octave := bits.Len(uint(crowd)) - 1
	class := 2*octave + int(uint(crowd)<<1>>octave&1)
	t[min(class, crowdClasses-1)].add(sumOf(a, crowd), 1)
}

func (t *crowdTable) follow(w *crowdTable) {
	for i := range t {
		s := &t[i]
		s.add(*s, -0.5)
		s.add(w[i], 1)
	}
}

// slower compares the fourth of the answers that had the fewest beside them with the rest.
func (t *crowdTable) slower() bool {
	var few, many crowdSum
	for _, s := range t {
		many.add(s, 1)
	}
	for i, enough := 0, max(crowdLeast, many.n/4); i < len(t) && few.n < enough; i++ {
		few.add(t[i], 1)
		many.add(t[i], -1)
	}
	if few.n < crowdLeast || many.n < crowdLeast {
		return false
	}
	fewer := 1 - few.mean(few.crowd)/many.mean(many.crowd)
	return fewer >= crowdFewer && 1-few.part(&many) <= elastic*fewer && few.sure() && many.sure()
}

// add adds u, so many times.
func (s *crowdSum) add(u crowdSum, times float64) {
	s.n += times * u.n
	s.took += times * u.took
	s.service += times * u.service
	s.crowd += times * u.crowd
	s.tookTook += times * u.tookTook
	s.tookService += times * u.tookService
	s.serviceService += times * u.serviceService
}

// sure reports whether the ratio is no chance: of requests whose cost varies much on one route it takes many to tell.
func (s *crowdSum) sure() bool {
	r := s.ratio()
	spread := s.tookTook - 2*r*s.tookService + r*r*s.serviceService // of what they took around the ratio, squared
	return math.Sqrt(max(0, spread)) <= crowdSure*s.took
}

// mean is one of the sums for each answer.
func (s *crowdSum) mean(of float64) float64 { return of / s.n }

// ratio is how many times as long as they should these answers took, and surplus how many seconds longer.
func (s *crowdSum) ratio() float64   { return s.took / s.service }
func (s *crowdSum) surplus() float64 { return (s.took - s.service) / s.n }

// part is what part of the waits of u those of s were, by the estimate that finds less: ratios are right where the origin works in turns, and
// differences where it serves one after the other, and either is led astray when the one side asked for other routes than the other.
func (s *crowdSum) part(u *crowdSum) float64 {
	return min(s.ratio()/u.ratio(), s.surplus()/u.surplus())
}
