package match

import "fmt"

// A Matcher answers for some patterns of a set. Many goroutines may use it at once.
type Matcher struct {
	text *reading // of the value as UTF-8, for all patterns; raw ones in it take ASCII only
	raw  *reading // of the value as bytes, for the raw ones; nil if there are none
}

// Subset returns a matcher for the patterns with these indices. It panics if one is out of range. Matchers for the same
// patterns are one.
func (s *Set) Subset(patterns []int) *Matcher {
	asked, raw := s.Hits(), s.Hits()
	for _, i := range patterns {
		if i < 0 || i >= s.size {
			panic(fmt.Sprintf("match: pattern %d of %d", i, s.size))
		}
		asked.Set(i)
		if s.raw.Has(i) {
			raw.Set(i)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.matchers[string(asked.key())]; m != nil {
		return m
	}
	m := &Matcher{text: s.reading(s.text, asked)}
	if !raw.Empty() {
		m.raw = s.reading(s.bytes, raw)
	}
	s.matchers[string(asked.key())] = m
	return m
}

// Budget is what scans may still spend. The scans of one request share one, and count it down.
type Budget struct {
	// Work is in bytes that lead from one known state to another, each 1 to 3 ns. A scan takes at least the length of
	// its value.
	Work int
	// Built counts up what of the work was spent on building states, which later scans find.
	Built int
	// States is how often what follows a state may still be built, each 1 to 4 us, so that more values like these are
	// scanned quickly. Values that need more than that are scanned steadily.
	States int
	// Both has short values that were scanned quickly scanned steadily too, so that both ways know them.
	Both bool
}

// What a request's budget should be, unless the caller knows better.
const (
	FreshStates = 16
	Unlimited   = int(^uint(0) >> 2)
)

// Extent tells how much of a value a scan has seen.
type Extent uint8

const (
	Whole   Extent = iota // all of it, or what was enough to know all hits
	Partial               // the budget's work ran out: the hits are true, and there may be more
)

// Match adds to hits those of the patterns wanted that value matches; wanted and hits must be as long as [Set.Hits] makes
// them, and wanted may hold patterns that are not the matcher's. It keeps nothing of value. It ends early, as Partial,
// soon after the budget's work is spent.
func (m *Matcher) Match(value []byte, wanted Bits, budget *Budget, hits Bits) Extent {
	s := scan{value: value, hits: hits, asked: wanted, budget: budget}
	how := m.text.scan(&s)
	if s.wide && m.raw != nil && how != exhausted {
		how = m.raw.scan(&s)
	}
	if how == exhausted {
		return Partial
	}
	return Whole
}

// Patterns returns the matcher's patterns. The caller must not change them.
func (m *Matcher) Patterns() Bits { return m.text.asked }

// Warm builds the states that the values need, and keeps them for good.
func (m *Matcher) Warm(values [][]byte) {
	m.text.warm(values)
	if m.raw != nil {
		m.raw.warm(values)
	}
}

// Keep keeps the states that scans have built so far for good, in all matchers: after a load that let typical requests
// pass, with a budget for as many states as they need.
func (s *Set) Keep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.matchers {
		m.text.keep()
		if m.raw != nil {
			m.raw.keep()
		}
	}
}
