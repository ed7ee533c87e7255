package seclang

import (
	"cmp"
	"slices"

	"stormdoor/seclang/internal/match"
	"stormdoor/seclang/internal/transform"
)

// hit is a value in which the pattern of a rule was found.
type hit struct {
	place  int32 // of the rule
	target int32
	from   collection
	index  int32  // of the field
	key    string // of the value
	value  string // in the form that the rule looks at; of a multiMatch rule, as it came
}

// order is the order in which a rule without a gate would come to the values.
func (h hit) order(o hit) int {
	return cmp.Or(cmp.Compare(h.place, o.place), cmp.Compare(h.target, o.target), cmp.Compare(h.from, o.from),
		cmp.Compare(h.index, o.index))
}

// scan looks for the patterns of a phase in all values, and leaves the hits in t.hits.
func (t *Transaction) scan(p *phasePlan) {
	t.hits = t.hits[:0]
	for i := range p.ones {
		c := &p.ones[i]
		if t.overspent() {
			break
		}
		t.scanValue(c.class, t.singles[c.one], hit{})
	}
	for i := range p.lists {
		l := &p.lists[i]
		for j := range t.fields[l.from] {
			f := &t.fields[l.from][j]
			c, named := l.byKey[f.folded]
			if !named {
				c = l.other
			}
			if c == nil {
				continue
			}
			if t.overspent() {
				break
			}
			h := hit{from: l.from, index: int32(j), key: f.key}
			if l.names {
				t.scanValue(c, f.key, h)
			} else {
				t.scanValue(c, f.value, h)
			}
		}
	}
	slices.SortFunc(t.hits, hit.order)
	t.hits = slices.CompactFunc(t.hits, func(a, b hit) bool { return a.order(b) == 0 })
}

// overspent reports whether the budget is spent, and then sees to what follows.
func (t *Transaction) overspent() bool {
	b, c := &t.start.Budget, &t.cost
	if !c.Exceeded && (b.Bytes > 0 && c.Bytes > b.Bytes || b.Fields > 0 && c.Fields > b.Fields || b.Work > 0 && c.Work+max(c.Cold, 0) > b.Work) {
		t.exceed()
	}
	return c.Exceeded
}

func (t *Transaction) exceed() {
	t.cost.Exceeded = true
	if t.start.Budget.Over == OverRefuse {
		t.refuse(Interruption{Action: Deny, Status: 413})
	}
}

// form is a distinct form of the value that is scanned.
type form struct {
	value  string
	same   uint64 // the steps of the class that leave it as it is, by bit
	looked bool   // same is known
}

// scanValue looks for the patterns of a class in a value: in each distinct form once.
func (t *Transaction) scanValue(c *class, value string, at hit) {
	t.cost.Fields++
	t.cost.Bytes += int64(len(value))
	if work, ok := t.rules.clean.Has(c.id, value); ok {
		t.cost.Work += int64(work)
		return
	}
	before := t.cost.Work
	t.loud = false
	mark := t.arena.mark()
	t.forms = append(t.forms[:0], form{value: value})
	t.formOf = append(t.formOf[:0], 0)
	for i := 1; i < len(c.nodes); i++ {
		t.formOf = append(t.formOf, t.formFor(c, &c.nodes[i]))
	}
	for k := range t.forms {
		t.look(c, k, at)
	}
	if !t.loud {
		t.arena.release(mark)
		if !t.cost.Exceeded {
			t.rules.clean.Add(c.id, value, int32(t.cost.Work-before))
		}
	}
}

// formFor returns the index in t.forms of the form that a node looks at.
func (t *Transaction) formFor(c *class, n *node) uint16 {
	parent := t.formOf[n.parent]
	from := &t.forms[parent]
	if !from.looked {
		from.same, from.looked = c.identities(from.value), true
	}
	if from.same>>n.step&1 == 1 {
		return parent
	}
	value := t.transform(c.steps[n.step], from.value)
	for k := range t.forms {
		if t.forms[k].value == value {
			return uint16(k)
		}
	}
	t.forms = append(t.forms, form{value: value})
	return uint16(len(t.forms) - 1)
}

// identities tells which steps of the class leave a value as it is.
func (c *class) identities(value string) (same uint64) {
	var present [4]uint64
	transform.Present(&present, bytesOf(value))
	for i, step := range c.steps {
		if step.Identity(&present) {
			same |= 1 << i
		}
	}
	return same
}

// look scans one form of a value, for the patterns that rules look for in this form, and notes the hits of the nodes that
// have it.
func (t *Transaction) look(c *class, k int, at hit) {
	minds := &c.minds
	if len(t.forms) > 1 {
		minds = &t.minds
		clear(minds.found)
		clear(minds.missing)
		for i := range c.nodes {
			if int(t.formOf[i]) == k {
				minds.add(&c.nodes[i].minds)
			}
		}
	}
	if !minds.wanted(t.wanted) {
		return
	}
	t.find(c, t.forms[k].value, minds)
	if !minds.concerned(t.bits) {
		return
	}
	t.loud = true
	for i := range c.nodes {
		if int(t.formOf[i]) == k {
			t.note(&c.nodes[i], t.forms[k].value, at)
		}
	}
}

// find puts into t.bits which of the patterns wanted are in a value. What it charges does not depend on which states the automata
// have: building them is not charged, and neither is which of two ways they take for a short value.
func (t *Transaction) find(c *class, value string, minds *minded) {
	clear(t.bits)
	left := match.Unlimited
	if bound := t.start.Budget.Work; bound > 0 {
		left = int(max(bound-t.cost.Work-max(t.cost.Cold, 0), 0))
	}
	t.budget.Work, t.budget.Built = left, 0
	extent := match.Whole
	for i := range c.parts {
		part := &c.parts[i]
		if part.matcher.Match(bytesOf(value), t.wanted[part.from:part.to], &t.budget, t.bits[part.from:part.to]) == match.Partial {
			extent = match.Partial
		}
	}
	spent := left - t.budget.Work
	charged := spent - t.budget.Built
	if len(value) <= match.QuickLength {
		charged = workShort * len(value)
	}
	t.cost.Work += int64(charged)
	t.cost.Cold += int64(spent - charged)
	if extent == match.Partial { // what was not looked for was not missing
		t.exceed()
		for i := range t.bits {
			t.bits[i] |= minds.missing[i]
		}
	}
}

// note adds the hits of a node.
func (t *Transaction) note(n *node, value string, at hit) {
	for i := range n.watches {
		w := &n.watches[i]
		if t.bits.Has(int(w.bit)) == w.negated {
			continue
		}
		r := t.rules.program.heads[w.place].rule
		g := &r.targets[w.target]
		h := at
		h.place, h.target, h.value = w.place, w.target, value
		if r.multiMatch {
			h.value = t.forms[0].value
		}
		if g.v.from != nil {
			if !g.selects(&t.fields[at.from][at.index]) {
				continue
			}
		}
		if !leavesOut(g.except, h.key) {
			t.hits = append(t.hits, h)
		}
	}
}
