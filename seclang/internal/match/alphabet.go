package match

import (
	"encoding/binary"
	"slices"
	"unicode"
)

// An alphabet divides the runes into classes: two runes of one class are the same to every instruction of a program,
// so an automaton needs one column a class.
type alphabet struct {
	classes int
	pages   [(unicode.MaxRune + 1) >> 8]uint16 // page number of rune>>8
	page    [][256]uint16                      // class of a rune within its page
	first   []rune                             // the smallest rune of each class
}

// class returns the class of r, which is a rune that UTF-8 decoding can give.
func (a *alphabet) class(r rune) uint16 { return a.page[a.pages[r>>8]][r&0xff] }

// runeSets collects the distinct sets of runes that a program's instructions accept, each as sorted pairs lo, hi.
type runeSets struct {
	sets [][]rune
	id   map[string]uint32
}

// add returns the number of the set made of the ranges in pairs, which need not be sorted. Ranges above top are cut off.
func (s *runeSets) add(pairs []rune, top rune) uint32 {
	set := normalise(pairs, top)
	key := make([]byte, 0, 4*len(set))
	for _, r := range set {
		key = binary.LittleEndian.AppendUint32(key, uint32(r))
	}
	if id, ok := s.id[string(key)]; ok {
		return id
	}
	if s.id == nil {
		s.id = map[string]uint32{}
	}
	id := uint32(len(s.sets))
	s.id[string(key)], s.sets = id, append(s.sets, set)
	return id
}

// normalise returns the ranges sorted, joined and cut off at top.
func normalise(pairs []rune, top rune) []rune {
	type span struct{ lo, hi rune }
	spans := make([]span, 0, len(pairs)/2)
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i] <= top {
			spans = append(spans, span{pairs[i], min(pairs[i+1], top)})
		}
	}
	slices.SortFunc(spans, func(a, b span) int { return int(a.lo - b.lo) })
	var out []rune
	for _, s := range spans {
		if n := len(out); n > 0 && s.lo <= out[n-1]+1 {
			out[n-1] = max(out[n-1], s.hi)
			continue
		}
		out = append(out, s.lo, s.hi)
	}
	return out
}

// divide returns the coarsest alphabet of the runes 0 to top that respects all sets, and the members of each set as a
// bit map over the classes.
func (s *runeSets) divide(top rune) (*alphabet, []Bits) {
	type edge struct {
		at  rune
		set int
	}
	edges := []edge{{top + 1, -1}}
	for i, set := range s.sets {
		for j := 0; j < len(set); j += 2 {
			edges = append(edges, edge{set[j], i}, edge{set[j+1] + 1, i})
		}
	}
	slices.SortStableFunc(edges, func(a, b edge) int { return int(a.at - b.at) })

	a := &alphabet{}
	bySets := map[string]uint16{} // the sets that hold a class, as bytes
	var holders [][]byte
	inside := make([]byte, (len(s.sets)+7)/8)
	var spans []rune // first rune and class of each run of runes, alternating
	for i, at := 0, rune(0); at <= top; {
		for ; i < len(edges) && edges[i].at == at; i++ {
			inside[edges[i].set/8] ^= 1 << (edges[i].set % 8)
		}
		class, ok := bySets[string(inside)]
		if !ok {
			class = uint16(a.classes)
			a.classes++
			bySets[string(inside)], holders = class, append(holders, slices.Clone(inside))
			a.first = append(a.first, at)
		}
		spans = append(spans, at, rune(class))
		at = edges[i].at
	}
	a.fill(spans, top)

	members := make([]Bits, len(s.sets))
	for i := range members {
		members[i] = NewBits(a.classes)
		for c, h := range holders {
			if h[i/8]>>(i%8)&1 == 1 {
				members[i].Set(c)
			}
		}
	}
	return a, members
}

// fill builds the look-up table from the runs in spans. Equal pages are stored once.
func (a *alphabet) fill(spans []rune, top rune) {
	seen := map[[256]uint16]uint16{}
	var page [256]uint16
	at := 0
	for p := rune(0); p<<8 <= top; p++ {
		for i := range page {
			for at+2 < len(spans) && spans[at+2] <= p<<8+rune(i) {
				at += 2
			}
			page[i] = uint16(spans[at+1])
		}
		id, ok := seen[page]
		if !ok {
			id = uint16(len(a.page))
			seen[page], a.page = id, append(a.page, page)
		}
		a.pages[p] = id
	}
}
