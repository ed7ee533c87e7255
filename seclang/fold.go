package seclang

import (
	"slices"
	"strings"
)

// folder works out what follows from the configuration alone. It walks the rules in the order in which they run, and
// knows at each the TX variables that have the same value in every transaction. A rule that looks at nothing else is
// run once, here: its effects become part of what transactions begin with, and the rule is gone. So are rules that can
// never match, and those that are always skipped.
type folder struct {
	program  *program
	t        *Transaction // holds the values that are known
	known    []bool       // by slot
	touched  []bool       // by slot: a rule that runs before has used it, so what it held at the start matters
	landings []int        // in this phase: the places at which rules that are not known go on
	removals []bitset     // rules that a ctl action of a rule that is not known removes
	live     bitset       // the rules that are left, by place
}

// fold sets what transactions begin with and returns the places of the rules that are left.
func fold(r *Ruleset) bitset {
	p := &r.program
	f := &folder{
		program: p, t: newTransaction(r), known: make([]bool, len(p.tx.names)), touched: make([]bool, len(p.tx.names)),
		live: newBitset(len(p.heads)),
	}
	p.begins = p.emptyTX()
	for i := range f.known {
		f.known[i] = i >= captureSlots
	}
	f.t.begin(Start{Mode: On})
	for phase := 1; phase <= 5; phase++ {
		goOn := 0
		f.landings = f.landings[:0]
		for i := range p.heads {
			if h := p.heads[i].rule; h != nil && h.info.Phase == phase && i >= goOn {
				goOn = max(goOn, f.rule(h))
			}
		}
	}
	p.begins = slices.Clone(f.t.tx.slots)
	return f.live
}

// rule looks at one rule and returns the place to go on at if it always skips.
func (f *folder) rule(r *rule) (goOn int) {
	if !f.testKnown(r) {
		f.keep(r)
		return 0
	}
	before := slices.Clone(f.t.tx.slots)
	whole := true
	for link := r; link != nil; link = link.next {
		whole = whole && f.testKnown(link) && f.effectsKnown(link)
	}
	var matched bool
	if whole {
		matched = f.t.rule(r, nil)
	} else {
		matched = f.t.link(r, nil)
	}
	changed := f.changed(before)
	switch {
	case !matched && (whole && len(changed) == 0 || !whole && r.next == nil):
		f.t.tx.slots = before
		return 0 // it never matches
	case whole && f.harmless(r, matched, changed):
		if matched {
			return r.goTo
		}
		return 0
	}
	f.t.tx.slots = before
	if !matched && !whole {
		return 0 // the head never matches, so nothing of the chain takes place
	}
	f.keep(r)
	return 0
}

// testKnown reports whether the outcome of a rule's test, without its chain, is known.
func (f *folder) testKnown(r *rule) bool {
	for i := range r.targets {
		g := &r.targets[i]
		if !g.v.tx || g.key == "" || !f.known[g.slot] {
			return false
		}
	}
	return f.macroKnown(&r.argument) && (r.test.op == nil || len(r.targets) > 0)
}

func (f *folder) macroKnown(m *macro) bool {
	for i := range m.tokens {
		if k := &m.tokens[i]; k.v != nil && (!k.v.tx || !f.known[k.slot]) {
			return false
		}
	}
	return true
}

func (f *folder) effectsKnown(r *rule) bool {
	for _, e := range r.effects {
		set, ok := e.(*setVar)
		if !ok || !set.name.constant() || !f.known[set.slot] || !f.macroKnown(&set.value) {
			return false
		}
	}
	return !r.capture
}

// changed lists the slots that differ from before.
func (f *folder) changed(before []txValue) []slot {
	var list []slot
	for i, v := range f.t.tx.slots {
		if v != before[i] {
			list = append(list, slot(i))
		}
	}
	return list
}

// harmless reports whether a rule whose outcome is known need not run: whether all that it does is in the values with
// which transactions begin.
func (f *folder) harmless(r *rule, matched bool, changed []slot) bool {
	if matched && (r.info.Log || r.info.Audit || r.info.Severity != NoSeverity || r.action != Pass || r.allow != noAllowance) {
		return false
	}
	for _, place := range f.landings {
		if place > r.place && (len(changed) > 0 || matched && place < r.goTo) {
			return false // r may be skipped itself
		}
	}
	for _, places := range f.removals {
		if places.has(r.place) && (len(changed) > 0 || matched && !f.allIn(places, r)) {
			return false
		}
	}
	for _, s := range changed {
		if f.touched[s] {
			return false
		}
	}
	return true
}

// allIn reports whether the rules that r skips are among places: then it does not matter whether r was removed with them.
func (f *folder) allIn(places bitset, r *rule) bool {
	for i := r.place + 1; i < r.goTo; i++ {
		if h := f.program.heads[i].rule; h != nil && h.info.Phase == r.info.Phase && !places.has(i) {
			return false
		}
	}
	return true
}

// keep leaves a rule to transactions, and forgets what it may change.
func (f *folder) keep(r *rule) {
	f.live.add(r.place)
	for link := r; link != nil; link = link.next {
		f.read(&link.argument)
		f.read(&link.message)
		f.read(&link.logData)
		for i := range link.targets {
			g := &link.targets[i]
			switch {
			case g.v.tx && g.key != "":
				f.touched[g.slot] = true
			case g.v.tx:
				for _, s := range g.slots {
					f.touched[s] = true
				}
			}
		}
		for _, e := range link.effects {
			f.effect(e)
		}
	}
	f.read(&r.location)
	if r.goTo > 0 {
		f.landings = append(f.landings, r.goTo)
	}
	if r.allow != noAllowance {
		f.landings = append(f.landings, len(f.program.heads))
	}
}

func (f *folder) effect(e effect) {
	switch e := e.(type) {
	case *setVar:
		f.read(&e.name)
		f.read(&e.value)
		if e.name.constant() {
			f.touched[e.slot], f.known[e.slot] = true, false
			return
		}
		prefix := ""
		if k := &e.name.tokens[0]; k.v == nil {
			prefix = strings.ToLower(k.text)
		}
		for i, name := range f.program.tx.names {
			if strings.HasPrefix(name, prefix) {
				f.touched[i], f.known[i] = true, false
			}
		}
	case *setEnv:
		f.read(&e.value)
	case *removeRules:
		f.removals = append(f.removals, e.places)
	case *removeTargets:
		f.removals = append(f.removals, e.places)
	}
}

func (f *folder) read(m *macro) {
	for i := range m.tokens {
		if k := &m.tokens[i]; k.v != nil && k.v.tx {
			f.touched[k.slot] = true
		}
	}
}
