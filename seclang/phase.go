package seclang

// evaluate runs the rules of a phase.
func (t *Transaction) evaluate(phase int) {
	t.phase = phase
	if t.allow == allowAll || t.allow == allowRequest && phase <= 2 {
		if phase == 2 && t.allow == allowRequest {
			t.allow = noAllowance
		}
		return
	}
	p := &t.rules.program.phases[phase]
	a := agenda{always: p.always}
	scanned, goOn := !p.gated, 0
	for !t.interruption.Refuses() || phase == 5 {
		if !scanned && a.reaches(p.firstGated) {
			if t.start.Observer == nil {
				t.scan(p)
			} else {
				t.observeScan(p)
			}
			a.hits, scanned = t.hits, true
		}
		place, hits, ok := a.next()
		if !ok || t.allow != noAllowance {
			break
		}
		if int(place) < goOn || t.anyRemoved && t.removed.has(int(place)) {
			continue
		}
		r, matched := t.rules.program.heads[place].rule, false
		if t.start.Observer == nil {
			matched = t.rule(r, hits)
		} else {
			matched = t.observeRule(r, hits)
		}
		if matched && r.goTo > 0 {
			goOn = r.goTo
		}
	}
	if t.allow == allowPhase {
		t.allow = noAllowance
	}
}

// agenda is what is left of a phase: the rules that are always evaluated, and those with hits, both in the order of the
// text.
type agenda struct {
	always []int32
	hits   []hit
}

// reaches reports whether no rule before the place is left.
func (a *agenda) reaches(place int32) bool { return len(a.always) == 0 || a.always[0] >= place }

// next takes the next rule, with its hits.
func (a *agenda) next() (place int32, hits []hit, ok bool) {
	switch {
	case len(a.always) > 0 && (len(a.hits) == 0 || a.always[0] < a.hits[0].place):
		place, a.always = a.always[0], a.always[1:]
		return place, nil, true
	case len(a.hits) == 0:
		return 0, nil, false
	}
	n := 1
	for n < len(a.hits) && a.hits[n].place == a.hits[0].place {
		n++
	}
	hits, a.hits = a.hits[:n], a.hits[n:]
	return hits[0].place, hits, true
}
