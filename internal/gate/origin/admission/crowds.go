package admission

import "math/bits"

const (
	crowdClasses = 2 * 14 // half octaves, up to limitMost
	crowdLeast   = 3      // answers on either side, and
	crowdFewer   = 0.3    // how much fewer were in flight with the one side, for a finding
)

// crowds sums up answers by how many were in flight with them, in two ways: when the request was sent, which is what it waits for in an
// origin that serves one after the other; and at most then or when it was answered, which is what it waits for in one that works
// on all of them in turns. Requests come as chance has it, so that this is an experiment that nobody had to make.
type crowds struct{ sent, most crowdTable }

type crowdTable [crowdClasses]crowdSum

// crowdSum is the sum of n answers: the seconds that they took and that they should have taken, and how many were in flight with each.
type crowdSum struct{ n, took, service, crowd float64 }

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
	t[min(class, crowdClasses-1)].plus(crowdSum{1, a.took.Seconds(), a.service.Seconds(), float64(crowd)})
}

func (t *crowdTable) follow(w *crowdTable) {
	for i := range t {
		s := &t[i]
		s.n, s.took, s.service, s.crowd = s.n/2, s.took/2, s.service/2, s.crowd/2
		s.plus(w[i])
	}
}

// slower compares the fourth of the answers that had the fewest beside them with the rest.
func (t *crowdTable) slower() bool {
	var few, many crowdSum
	for _, s := range t {
		many.plus(s)
	}
	for i, enough := 0, max(crowdLeast, many.n/4); i < len(t) && few.n < enough; i++ {
		few.plus(t[i])
		many.minus(t[i])
	}
	if few.n < crowdLeast || many.n < crowdLeast {
		return false
	}
	fewer := 1 - few.mean(few.crowd)/many.mean(many.crowd)
	return fewer >= crowdFewer && 1-few.part(&many) <= elastic*fewer
}

func (s *crowdSum) plus(t crowdSum) {
	s.n, s.took, s.service, s.crowd = s.n+t.n, s.took+t.took, s.service+t.service, s.crowd+t.crowd
}

func (s *crowdSum) minus(t crowdSum) {
	s.n, s.took, s.service, s.crowd = s.n-t.n, s.took-t.took, s.service-t.service, s.crowd-t.crowd
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
