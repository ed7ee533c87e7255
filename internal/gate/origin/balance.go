package origin

import (
	"math"

	"stormdoor/policy"
)

// candidate is an origin that may be chosen, as the balance sees it.
type candidate struct {
	member *member
	// weight is at least 1; busy is how many forwards the origin has in flight.
	weight int
	busy   int64
	// seed tells origins apart for client_hash.
	seed uint64
}

// leastConnections returns the index of the candidate with the fewest forwards in flight for its weight. turn decides
// between equals: it should be another number each time, so that equals take turns.
func leastConnections(cs []candidate, turn uint32) int {
	n := len(cs)
	best := int(turn % uint32(n))
	for i := 1; i < n; i++ {
		j := (int(turn%uint32(n)) + i) % n
		// The forward to be placed counts as well, so that an idle origin of weight 2 comes before one of weight 1.
		if (cs[j].busy+1)*int64(cs[best].weight) < (cs[best].busy+1)*int64(cs[j].weight) {
			best = j
		}
	}
	return best
}

// roundRobin returns the index of the candidate whose turn it is, by smooth weighted round robin (nginx): among weights
// 5, 1, 1 the turns are a a b a c a a. The turns are kept in the members; the caller serialises the calls.
func roundRobin(cs []candidate) int {
	best, total := 0, 0
	for i := range cs {
		m := cs[i].member
		m.turn += cs[i].weight
		total += cs[i].weight
		if m.turn > cs[best].member.turn {
			best = i
		}
	}
	cs[best].member.turn -= total
	return best
}

// clientHash returns the index of the candidate for a client's bucket by weighted rendezvous hashing (Schindelhauer and
// Schomaker, SPAA'05): when a candidate goes, only its own clients move, and they spread over the rest.
func clientHash(cs []candidate, bucket uint32) int {
	best, most := 0, math.Inf(-1)
	for i := range cs {
		u := (float64(mix(cs[i].seed^uint64(bucket)*0x9e3779b97f4a7c15)>>11) + 0.5) / (1 << 53) // in (0, 1)
		if score := -float64(cs[i].weight) / math.Log(u); score > most {
			best, most = i, score
		}
	}
	return best
}

// mix spreads the bits of x (the finaliser of SplitMix64).
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// choose picks one of the candidates, at least one.
func (p *Pool) choose(cs []candidate, bucket uint32) int {
	if len(cs) == 1 {
		return 0
	}
	switch p.balance {
	case policy.RoundRobin:
		p.turns.Lock()
		defer p.turns.Unlock()
		return roundRobin(cs)
	case policy.ClientHash:
		return clientHash(cs, bucket)
	}
	return leastConnections(cs, p.turn.Add(1))
}
