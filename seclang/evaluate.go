package seclang

import (
	"strconv"

	"stormdoor/seclang/internal/operator"
	"stormdoor/seclang/internal/transform"
)

// What a byte costs, in units of Cost.Work (1 to 3 ns): measured.
const (
	workTransform = 1
	workOperator  = 16 // an expression with its captures, by the standard library
	workDoubt     = 10 // what Options.Doubt does
	workShort     = 4  // being read by an automaton in a short value, all states of which it knows
)

// rule evaluates a rule with its chain, and reports whether it matched. hits are the values that its gate has found; a
// rule without a gate looks at all its values.
func (t *Transaction) rule(r *rule, hits []hit) bool {
	t.fields[matchedVars], t.collecting = t.fields[matchedVars][:0], r.collects
	first := len(t.values)
	t.message, t.logData, t.confirmed, t.excused, t.lost, t.counted = "", "", false, false, false, 0
	matched := t.link(r, hits)
	for link := r.next; matched && link != nil; link = link.next {
		t.lost, t.confirmed, t.counted = t.lost || !t.confirmed, false, 0
		matched = t.link(link, nil)
	}
	if !matched {
		t.values = t.values[:first]
		return false
	}
	t.record(r, first)
	if !t.confirmed {
		return false
	}
	if r.allow != noAllowance && t.mode == On {
		t.allow = r.allow
	}
	if r.action != Pass {
		t.interrupt(r)
	}
	return true
}

// link evaluates one rule of a chain: its effects take place at each match.
func (t *Transaction) link(r *rule, hits []hit) bool {
	if r.test.op == nil && r.test.compare == noComparison {
		t.sent = ""
		t.matched(r, Value{})
		return true
	}
	if r.gated {
		return t.linkHits(r, hits)
	}
	matched := false
	for i := range r.targets {
		if t.target(r, &r.targets[i]) {
			matched = true
		}
	}
	return matched
}

// linkHits evaluates the values that the gate has found, which are transformed already.
func (t *Transaction) linkHits(r *rule, hits []hit) bool {
	matched := false
	for i := range hits {
		h := &hits[i]
		g := &r.targets[h.target]
		if t.overspent() {
			break
		}
		if t.exempt(r, g.v, h.key) || t.confirmed && h.from == argsNested {
			continue
		}
		ok := true
		t.sent = t.sentOf(g, h)
		t.doubted = t.doubts(r)
		switch {
		case r.multiMatch:
			ok = t.multiMatch(r, g.v, h.key, h.value)
		case r.sure && !t.start.Places:
			t.matched(r, Value{Variable: g.v.name, Key: h.key, Value: h.value})
		default:
			ok = t.value(r, g.v, h.key, h.value)
		}
		matched = ok || matched
	}
	t.doubted = false
	return matched
}

// sentOf is the value of a hit as it was sent.
func (t *Transaction) sentOf(g *target, h *hit) string {
	switch {
	case g.v.from == nil:
		return t.singles[g.v.one]
	case g.v.names:
		return h.key
	}
	return t.fields[h.from][h.index].value
}

// doubts reports whether a match of a rule in the value at hand is to have no consequences.
func (t *Transaction) doubts(r *rule) bool {
	if t.rules.doubt == nil || r.next != nil || r.head != r {
		return false
	}
	t.cost.Work += workDoubt * int64(len(t.sent))
	return t.rules.doubt(r.info, t.sent)
}

// exempt reports whether a ctl action has taken the value out of the rule's targets.
func (t *Transaction) exempt(r *rule, v *variable, key string) bool {
	for _, e := range t.targetsRemoved {
		if e.v == v && e.places.has(r.head.place) && leavesOut([]exception{e.except}, key) {
			return true
		}
	}
	return false
}

// target evaluates one target of a rule that has no gate.
func (t *Transaction) target(r *rule, g *target) bool {
	v := g.v
	if g.count {
		return t.number(r, g, t.count(r, g))
	}
	matched := false
	test := func(key, value string) {
		if !leavesOut(g.except, key) && !t.exempt(r, v, key) && t.transformed(r, v, key, value) {
			matched = true
		}
	}
	switch {
	case v.tx:
		matched = t.txTarget(r, g, test) || matched
	case v.rule:
		test(g.key, r.property(t, g.key))
	case v.compute != nil:
		test("", v.compute(t))
	case v.from == nil:
		test("", t.singles[v.one])
	default:
		for _, c := range v.from {
			for i := range len(t.fields[c]) { // matches may add to MATCHED_VARS, which this is not about
				if f := t.fields[c][i]; g.selects(&f) {
					if v.names {
						test(f.key, f.key)
					} else {
						test(f.key, f.value)
					}
				}
			}
		}
	}
	return matched
}

// txTarget evaluates a target on TX.
func (t *Transaction) txTarget(r *rule, g *target, test func(key, value string)) (matched bool) {
	if g.key == "" {
		t.txNow = t.txNow[:0]
		t.eachTX(g, func(name string, value txValue) { t.txNow = append(t.txNow, field{key: name, value: t.text(value)}) })
		for i := range t.txNow { // as they are now: matches may change them
			test(t.txNow[i].key, t.txNow[i].value)
		}
		return false // test knows
	}
	value := t.tx.get(g.slot)
	if value.kind == unset || leavesOut(g.except, g.key) || t.exempt(r, g.v, g.key) {
		return false
	}
	if value.kind == number && r.test.compare != noComparison && len(r.transforms) == 0 {
		return t.number(r, &target{v: g.v, key: g.key}, value.n)
	}
	return t.transformed(r, g.v, g.key, t.text(value))
}

// number evaluates a rule on a number.
func (t *Transaction) number(r *rule, g *target, n int) bool {
	if r.test.compare == noComparison || len(r.transforms) > 0 {
		return t.transformed(r, g.v, g.key, t.arena.number(n))
	}
	if r.test.compare.holds(n, t.limit(r)) == r.negated {
		return false
	}
	t.sent = ""
	t.matched(r, Value{Variable: g.v.name, Key: g.key, Value: t.arena.number(n)})
	return true
}

// limit is the argument of a comparison.
func (t *Transaction) limit(r *rule) int {
	if len(r.argument.tokens) == 1 {
		if k := &r.argument.tokens[0]; k.v != nil && k.v.tx {
			if value := t.tx.get(k.slot); value.kind == number {
				return value.n
			}
		}
	}
	n, _ := strconv.Atoi(r.argument.expand(t, r))
	return n
}

// count is the number of values that a target counts.
func (t *Transaction) count(r *rule, g *target) int {
	n := 0
	add := func(key string) {
		if !leavesOut(g.except, key) && !t.exempt(r, g.v, key) {
			n++
		}
	}
	switch v := g.v; {
	case v.tx && g.key != "":
		if t.tx.get(g.slot).kind != unset {
			add(g.key)
		}
	case v.tx:
		t.eachTX(g, func(name string, _ txValue) { add(name) })
	case v.from != nil:
		for _, c := range v.from {
			if c == argsNested {
				continue
			}
			for i := range t.fields[c] {
				if f := &t.fields[c][i]; g.selects(f) {
					add(f.key)
				}
			}
		}
	default:
		add("")
	}
	return n
}

// transformed evaluates a rule on a value as it came.
func (t *Transaction) transformed(r *rule, v *variable, key, value string) bool {
	if !v.tx && t.overspent() { // scores are still judged
		return false
	}
	t.sent = value
	if r.multiMatch {
		return t.multiMatch(r, v, key, value)
	}
	for _, step := range r.transforms {
		value = t.transform(step, value)
	}
	return t.value(r, v, key, value)
}

// multiMatch evaluates a rule on a value and on each form that its transformations make of it.
func (t *Transaction) multiMatch(r *rule, v *variable, key, value string) bool {
	matched := t.value(r, v, key, value)
	for _, step := range r.transforms {
		next := t.transform(step, value)
		if next != value && step.Counts(bytesOf(value)) {
			matched = t.value(r, v, key, next) || matched
		}
		value = next
	}
	return matched
}

// transform applies one transformation. The result is value itself if nothing changes.
func (t *Transaction) transform(step transform.T, value string) string {
	t.cost.Work += workTransform * int64(len(value))
	src := bytesOf(value)
	out := step.Apply(t.arena.freeFor(len(src)), src)
	if len(out) == len(src) && (len(out) == 0 || &out[0] == &src[0]) {
		return value
	}
	return t.arena.keep(out)
}

// value evaluates a rule's operator on a value in its last form.
func (t *Transaction) value(r *rule, v *variable, key, value string) bool {
	if r.test.compare != noComparison {
		n, _ := strconv.Atoi(value)
		if r.test.compare.holds(n, t.limit(r)) == r.negated {
			return false
		}
		t.matched(r, Value{Variable: v.name, Key: key, Value: value})
		return true
	}
	t.cost.Work += workOperator * int64(len(value))
	var captures *operator.Captures
	if r.capture || t.start.Places {
		captures = &t.captures
		captures.N, captures.Fingerprint = 0, ""
	}
	if r.test.op.Match(value, r.argument.expand(t, r), captures) == r.negated {
		return false
	}
	m := Value{Variable: v.name, Key: key, Value: value}
	if captures != nil {
		if r.capture {
			t.capture(value)
		}
		if captures.N > 0 && captures.Fingerprint == "" {
			m.Start, m.End = captures.At[0][0], captures.At[0][1]
		}
	}
	t.matched(r, m)
	return true
}

// capture sets TX:0 and what follows. Groups that the operator does not have keep their values.
func (t *Transaction) capture(value string) {
	for i := range t.captures.N {
		at := t.captures.At[i]
		s := ""
		if at[0] >= 0 {
			s = value[at[0]:at[1]]
		}
		t.tx.slots[i] = txValue{kind: words, s: s}
	}
	if s := t.captures.Fingerprint; s != "" {
		t.tx.slots[0] = txValue{kind: words, s: s}
	}
}

// matched notes a match of a link, sets MATCHED_VAR and its kin, and lets the link's effects take place.
func (t *Transaction) matched(r *rule, m Value) {
	t.singles[matchedVar], t.lastVariable, t.lastKey = m.Value, m.Variable, m.Key
	if t.collecting && m.Variable != "" {
		name := t.matchedName()
		t.fields[matchedVars] = append(t.fields[matchedVars], field{key: name, folded: t.arena.lower(name), value: m.Value})
	}
	m.by, m.Sent = r, t.sent
	t.values = append(t.values, m)
	excused := t.start.Excuser != nil && t.start.Excuser.Excuses(r.head.info, m.Variable, m.Key, m.Sent)
	t.excused = t.excused || excused
	if !t.doubted && !t.lost && !excused {
		t.confirmed = true
		t.counted++
		for _, e := range r.effects {
			e.apply(t, r)
		}
	}
	if r.head.info.Log && t.message == "" && t.logData == "" && (r.head != r || r.next == nil) {
		t.expandMessage(r)
	}
}

// expandMessage works out what the log says about a match, with the variables as they are now.
func (t *Transaction) expandMessage(r *rule) {
	t.message, t.logData = r.message.expand(t, r), r.logData.expand(t, r)
}

// record notes that a rule matched as a whole.
func (t *Transaction) record(r *rule, first int) {
	info := r.info
	if info.Severity != NoSeverity && t.confirmed {
		if now, _ := strconv.Atoi(t.singles[highestSeverity]); int(info.Severity) < now {
			t.singles[highestSeverity] = t.arena.number(int(info.Severity))
		}
	}
	if info.Log && r.next != nil && len(r.message.tokens) > 0 {
		t.expandMessage(r)
	}
	if info.ID > 0 && (info.Log || info.Audit || r.action != Pass) {
		t.matches = append(t.matches, Match{
			Rule: info, Message: t.message, Data: t.logData, Values: t.values[first:len(t.values):len(t.values)], Action: r.action, Doubted: !t.confirmed, Excused: t.excused, Counted: t.counted,
		})
	}
}

// interrupt ends the exchange by a rule, as far as the mode lets it.
func (t *Transaction) interrupt(r *rule) {
	it := Interruption{Action: r.action, Status: r.status, Rule: r.info.ID}
	if r.action == Redirect {
		it.Location = r.location.expand(t, r)
	}
	t.refuse(it)
}

func (t *Transaction) refuse(it Interruption) {
	switch {
	case t.mode == On:
		t.interruption = it
	case !t.would.Refuses():
		t.would = it
	}
}
