package seclang

import "strconv"

// slot is the place of a TX variable whose name is known when the rule set is compiled.
type slot int32

// captureSlots are the slots of TX:0 to TX:10, which captures fill.
const captureSlots = 11

// txNames gives names their slots.
type txNames struct {
	byName map[string]slot
	names  []string
}

func newTXNames() txNames {
	n := txNames{byName: map[string]slot{}}
	for i := range captureSlots {
		n.slotOf(strconv.Itoa(i))
	}
	return n
}

// slotOf returns the slot of a name in lower case.
func (n *txNames) slotOf(name string) slot {
	s, ok := n.byName[name]
	if !ok {
		s = slot(len(n.names))
		n.byName[name] = s
		n.names = append(n.names, name)
	}
	return s
}

type txKind uint8

const (
	unset txKind = iota
	number
	words
)

// txValue is the value of a TX variable. Numbers stay numbers while rules only count with them.
type txValue struct {
	kind txKind
	n    int
	s    string
}

// valueOf returns the value that s stands for: a number if it is the plain decimal form of one.
func valueOf(s string) txValue {
	if len(s) > 0 && len(s) < 10 && (s[0] != '0' || len(s) == 1) {
		n := 0
		for i := range len(s) {
			if s[i] < '0' || s[i] > '9' {
				return txValue{kind: words, s: s}
			}
			n = n*10 + int(s[i]-'0')
		}
		return txValue{kind: number, n: n}
	}
	return txValue{kind: words, s: s}
}

// integer is the value as a number, as the language's operators take it: what is no number counts as 0.
func (v txValue) integer() int {
	if v.kind == number {
		return v.n
	}
	n, _ := strconv.Atoi(v.s)
	return n
}

// text is the value as text.
func (t *Transaction) text(v txValue) string {
	if v.kind == number {
		return t.arena.number(v.n)
	}
	return v.s
}

// txVars are the TX variables of a transaction: those with a slot, and those whose names came up on the way.
type txVars struct {
	slots  []txValue
	others []otherTX
	index  map[string]int // of others, once there are many
}

type otherTX struct {
	name  string
	value txValue
}

// manyOthers is how many variables without a slot are looked through one by one.
const manyOthers = 16

func (x *txVars) get(s slot) txValue { return x.slots[s] }

func (x *txVars) reset(initial []txValue) {
	x.slots = append(x.slots[:0], initial...)
	x.others = x.others[:0]
	clear(x.index)
}

// other returns the variable without a slot of that name, nil if there is none.
func (x *txVars) other(name string) *otherTX {
	if len(x.others) <= manyOthers {
		for i := range x.others {
			if x.others[i].name == name {
				return &x.others[i]
			}
		}
		return nil
	}
	if i, ok := x.index[name]; ok {
		return &x.others[i]
	}
	return nil
}

// at returns the place of the variable, which it makes if need be.
func (x *txVars) at(names *txNames, name string) *txValue {
	if s, ok := names.byName[name]; ok {
		return &x.slots[s]
	}
	if o := x.other(name); o != nil {
		return &o.value
	}
	x.others = append(x.others, otherTX{name: name})
	if n := len(x.others); n > manyOthers {
		if x.index == nil {
			x.index = map[string]int{}
		}
		if n == manyOthers+1 {
			for i := range x.others {
				x.index[x.others[i].name] = i
			}
		}
		x.index[name] = n - 1
	}
	return &x.others[len(x.others)-1].value
}

// eachTX calls do for the variables that a target without a plain key selects: those with slots first.
func (t *Transaction) eachTX(g *target, do func(name string, value txValue)) {
	names := t.rules.program.tx.names
	for _, i := range g.slots {
		if v := t.tx.slots[i]; v.kind != unset {
			do(names[i], v)
		}
	}
	for i := range t.tx.others {
		o := &t.tx.others[i]
		if o.value.kind != unset && g.takes(o.name) {
			do(o.name, o.value)
		}
	}
}

// TX returns the variable of that name ("blocking_inbound_anomaly_score") as text, and whether it is set. The text is
// valid until Close.
func (t *Transaction) TX(name string) (string, bool) {
	if s, ok := t.rules.program.tx.byName[name]; ok {
		v := t.tx.slots[s]
		return t.text(v), v.kind != unset
	}
	if o := t.tx.other(name); o != nil {
		return t.text(o.value), o.value.kind != unset
	}
	return "", false
}
