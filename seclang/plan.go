package seclang

import (
	"slices"
	"strings"

	"stormdoor/seclang/internal/match"
	"stormdoor/seclang/internal/transform"
)

// phasePlan is how a phase is evaluated. Rules behind a gate are evaluated only on values in which their pattern was
// found; the others always.
type phasePlan struct {
	always     []int32 // places, rising
	firstGated int32   // the place of the first rule behind a gate
	gated      bool    // there are such rules
	ones       []oneClass
	lists      []listClass
}

// oneClass is the class of a variable that holds one value.
type oneClass struct {
	one   single
	class *class
}

// listClass is the classes of the fields of a collection, or of their keys.
type listClass struct {
	from  collection
	names bool
	other *class            // of the keys that no target names; nil: nothing looks at them
	byKey map[string]*class // folded keys that a target names, or leaves out
}

// class is a kind of values that the same patterns are looked for in, each in some form.
type class struct {
	id    uint32 // of the class, within the rule set
	parts []part
	minds minded        // in any form
	steps []transform.T // the distinct transformations of nodes
	nodes []node        // forms, as a tree: 0 is the value as it is, and parents stand before their children
}

// part is the automaton for those patterns of a class that are in one set, and where their bits are.
type part struct {
	matcher  *match.Matcher
	from, to int // words
}

// node is a form of a value: what a transformation makes of another form.
type node struct {
	parent  int
	step    int     // in class.steps
	watches []watch // by bit
	minds   minded  // what watches are for
}

// minded tells which patterns concern a rule where they are found, and which where they are not. A pattern may be both.
type minded struct{ found, missing match.Bits }

func newMinded(words int) minded {
	return minded{found: make(match.Bits, words), missing: make(match.Bits, words)}
}

// add adds what o minds.
func (m *minded) add(o *minded) {
	for i := range m.found {
		m.found[i] |= o.found[i]
		m.missing[i] |= o.missing[i]
	}
}

// wanted puts into w the patterns that are to be looked for, and reports whether there are any.
func (m *minded) wanted(w match.Bits) bool {
	var all uint64
	for i := range w {
		w[i] = m.found[i] | m.missing[i]
		all |= w[i]
	}
	return all != 0
}

// concerned reports whether a value in which these patterns were found concerns a rule.
func (m *minded) concerned(hits match.Bits) bool {
	for i, word := range hits {
		if word&m.found[i]|m.missing[i]&^word != 0 {
			return true
		}
	}
	return false
}

// watch tells which rule a pattern belongs to.
type watch struct {
	bit, place, target int32
	negated            bool
}

// plan works out how the phases are evaluated.
func (p *program) plan(r, beside *Ruleset) (err error) {
	p.number()
	live := fold(r)
	g := &planner{program: p, byPattern: map[match.Pattern]int{}}
	for i := range p.heads {
		if h := p.heads[i].rule; h != nil && live.has(i) {
			g.rule(h)
			r.alike.learn(h)
		}
	}
	if g.sets, err = patternSets(g.patterns, beside); err != nil {
		return err
	}
	r.shared.sets, p.words = g.sets, wordsOf(g.sets)
	g.bits = make([]int, len(g.patterns))
	for i, pattern := range g.patterns {
		g.bits[i], _ = bitOf(g.sets, pattern)
	}
	for phase := range g.wants {
		g.build(&p.phases[phase], g.wants[phase])
	}
	return nil
}

// planPlainly has every rule evaluated always, on all its values.
func (p *program) planPlainly() {
	p.number()
	p.begins = p.emptyTX()
	for i := range p.heads {
		if r := p.heads[i].rule; r != nil {
			r.collects = true
			phase := &p.phases[r.info.Phase]
			phase.always = append(phase.always, int32(i))
		}
	}
}

// number tells the rules their places.
func (p *program) number() {
	for i := range p.heads {
		if h := p.heads[i].rule; h != nil {
			h.place = i
		}
	}
}

// emptyTX is the TX variables before any rule: captures are empty, not unset.
func (p *program) emptyTX() []txValue {
	values := make([]txValue, len(p.tx.names))
	for i := range captureSlots {
		values[i].kind = words
	}
	return values
}

// planner collects the patterns of rules and builds the classes.
type planner struct {
	program   *program
	patterns  []match.Pattern
	byPattern map[match.Pattern]int
	wants     [6][]want // by phase
	sets      []patternSet
	bits      []int // of the patterns
	classes   uint32
}

// want is one pattern wanted in one form of one target's values.
type want struct {
	pattern int
	rule    *rule
	target  int
	forms   []transform.T
}

// rule puts a rule behind a gate if it can be, and otherwise among those that are always evaluated.
func (g *planner) rule(r *rule) {
	phase := &g.program.phases[r.info.Phase]
	r.collects = collects(r)
	pattern, sure, ok := gateOf(r)
	if !ok {
		phase.always = append(phase.always, int32(r.place))
		return
	}
	if !phase.gated {
		phase.gated, phase.firstGated = true, int32(r.place)
	}
	r.gated, r.sure = true, sure && !r.capture
	id, known := g.byPattern[pattern]
	if !known {
		id = len(g.patterns)
		g.byPattern[pattern] = id
		g.patterns = append(g.patterns, pattern)
	}
	for target := range r.targets {
		first := len(r.transforms)
		if r.multiMatch {
			first = 0
		}
		for n := first; n <= len(r.transforms); n++ {
			g.wants[r.info.Phase] = append(g.wants[r.info.Phase], want{pattern: id, rule: r, target: target, forms: r.transforms[:n]})
		}
	}
}

// collects reports whether anything in a chain looks at MATCHED_VARS or MATCHED_VARS_NAMES.
func collects(r *rule) bool {
	is := func(v *variable) bool { return v != nil && slices.Contains(v.from, matchedVars) }
	for link := r; link != nil; link = link.next {
		for _, m := range link.macros() {
			if slices.ContainsFunc(m.tokens, func(k token) bool { return is(k.v) }) {
				return true
			}
		}
		if slices.ContainsFunc(link.targets, func(g target) bool { return is(g.v) }) {
			return true
		}
	}
	return false
}

// gateOf returns the pattern without which a rule cannot match (with which, if it is negated), and whether a hit needs no
// further look. There is none (ok is false) if the rule's values may change while the phase is evaluated.
func gateOf(r *rule) (p match.Pattern, sure, ok bool) {
	if r.test.op == nil || !r.argument.constant() || len(r.targets) == 0 || r.negated && r.multiMatch {
		return p, false, false
	}
	for i := range r.targets {
		if v := r.targets[i].v; r.targets[i].count || v.volatile || v.compute != nil {
			return p, false, false
		}
	}
	gate, ok := r.test.op.Gate()
	if !ok || r.negated && !gate.Exact {
		return p, false, false
	}
	// Counted repeats may make an automaton large. Where hits are looked at again anyway they need not be exact.
	p = match.Pattern{Expr: gate.Expr, Raw: gate.Raw, Superset: !r.negated && (!gate.Exact || strings.Contains(gate.Expr, "{"))}
	return p, gate.Exact && !p.Superset, true
}

// build makes the classes of a phase.
func (g *planner) build(p *phasePlan, wants []want) {
	for one := range singles {
		var mine []want
		for _, w := range wants {
			if v := w.rule.targets[w.target].v; v.from == nil && v.one == one {
				mine = append(mine, w)
			}
		}
		if len(mine) > 0 {
			p.ones = append(p.ones, oneClass{one: one, class: g.class(mine)})
		}
	}
	for from := range collections {
		for _, names := range []bool{false, true} {
			var mine []want
			for _, w := range wants {
				if v := w.rule.targets[w.target].v; slices.Contains(v.from, from) && v.names == names {
					mine = append(mine, w)
				}
			}
			if len(mine) > 0 {
				p.lists = append(p.lists, g.list(from, names, mine))
			}
		}
	}
}

// list makes the classes of a collection: one for each key that a target names or leaves out, and one for the others.
func (g *planner) list(from collection, names bool, wants []want) listClass {
	l := listClass{from: from, names: names, byKey: map[string]*class{}}
	keys := map[string]bool{}
	for _, w := range wants {
		target := &w.rule.targets[w.target]
		if target.key != "" {
			keys[target.key] = true
		}
		for _, e := range target.except {
			if e.re == nil && e.key != "" && !target.v.exact {
				keys[e.key] = true
			}
		}
	}
	others := slices.DeleteFunc(slices.Clone(wants), func(w want) bool { return w.rule.targets[w.target].key != "" })
	if len(others) > 0 {
		l.other = g.class(others)
	}
	for key := range keys {
		f := &field{key: key, folded: key}
		mine := slices.DeleteFunc(slices.Clone(wants), func(w want) bool {
			target := &w.rule.targets[w.target]
			return !target.selects(f) || leavesOut(target.except, key)
		})
		l.byKey[key] = g.class(mine)
	}
	return l
}

// class makes the class of values for wants; nil if there are none.
func (g *planner) class(wants []want) *class {
	if len(wants) == 0 {
		return nil
	}
	g.classes++
	words := wordsOf(g.sets)
	c := &class{id: g.classes, minds: newMinded(words), nodes: []node{{minds: newMinded(words)}}}
	ids := make([][]int, len(g.sets))
	for _, w := range wants {
		n := &c.nodes[c.node(w.forms, words)]
		bit := g.bits[w.pattern]
		n.watches = append(n.watches, watch{
			bit: int32(bit), place: int32(w.rule.place), target: int32(w.target), negated: w.rule.negated,
		})
		if w.rule.negated {
			n.minds.missing.Set(bit)
		} else {
			n.minds.found.Set(bit)
		}
		for i := range g.sets {
			if id, ok := g.sets[i].ids[g.patterns[w.pattern]]; ok {
				ids[i] = append(ids[i], id)
				break
			}
		}
	}
	for i := range c.nodes {
		slices.SortFunc(c.nodes[i].watches, func(a, b watch) int { return int(a.bit - b.bit) })
		c.minds.add(&c.nodes[i].minds)
	}
	for i := range ids {
		if len(ids[i]) > 0 {
			slices.Sort(ids[i])
			s := &g.sets[i]
			c.parts = append(c.parts, part{matcher: s.set.Subset(slices.Compact(ids[i])), from: s.word, to: s.word + s.words()})
		}
	}
	return c
}

// node returns the index of a form, which it adds if need be.
func (c *class) node(forms []transform.T, words int) int {
	at := 0
	for _, form := range forms {
		step := slices.Index(c.steps, form)
		if step < 0 {
			step = len(c.steps)
			c.steps = append(c.steps, form)
		}
		next := slices.IndexFunc(c.nodes[1:], func(n node) bool { return n.parent == at && n.step == step }) + 1
		if next == 0 {
			next = len(c.nodes)
			c.nodes = append(c.nodes, node{parent: at, step: step, minds: newMinded(words)})
		}
		at = next
	}
	return at
}
