package seclang

import (
	"regexp"
	"strconv"
	"strings"
)

// effect is a non-disruptive action: it takes place at each match of its rule, or of its link of a chain.
type effect interface {
	apply(t *Transaction, r *rule)
}

// setVar is the action setvar, on TX.
type setVar struct {
	name   macro
	slot   slot // if name is constant
	value  macro
	remove bool
}

func (e *setVar) apply(t *Transaction, r *rule) {
	var at *txValue
	if e.name.constant() {
		at = &t.tx.slots[e.slot]
	} else {
		at = t.tx.at(&t.rules.program.tx, t.arena.lower(e.name.expand(t, r)))
	}
	if e.remove {
		*at = txValue{}
		return
	}
	if n, ok := e.step(t); ok {
		*at = txValue{kind: number, n: at.integer() + n}
		return
	}
	at.assign(e.value.expand(t, r))
}

// step is how far a value such as "+%{tx.critical_anomaly_score}" counts; false if it must be taken as text.
func (e *setVar) step(t *Transaction) (int, bool) {
	tokens := e.value.tokens
	if len(tokens) != 2 || tokens[1].v == nil || !tokens[1].v.tx || len(tokens[0].text) != 1 {
		return 0, false
	}
	value := t.tx.get(tokens[1].slot)
	if value.kind != number {
		return 0, false
	}
	switch tokens[0].text[0] {
	case '+':
		return value.n, true
	case '-':
		return -value.n, true
	}
	return 0, false
}

// assign sets the variable as setvar does: "+n" and "-n" count from the present value, anything else replaces it. A
// value that cannot be counted from, or to, stays as it is.
func (v *txValue) assign(s string) {
	if s == "" || s[0] != '+' && s[0] != '-' {
		*v = valueOf(s)
		return
	}
	n := 0
	if len(s) > 1 {
		var err error
		if n, err = strconv.Atoi(s[1:]); err != nil {
			if !strings.HasPrefix(s[1:], "tx.") { // a variable without a value stands there by its name
				*v = txValue{kind: words, s: s}
			}
			return
		}
	}
	if v.kind == words && v.s != "" {
		if _, err := strconv.Atoi(v.s); err != nil {
			return
		}
	}
	if s[0] == '-' {
		n = -n
	}
	*v = txValue{kind: number, n: v.integer() + n}
}

// setEnv is the action setenv. It sets ENV for the rules, never the process's environment.
type setEnv struct {
	name  string
	value macro
}

func (e *setEnv) apply(t *Transaction, r *rule) {
	value := e.value.expand(t, r)
	folded := strings.ToLower(e.name)
	for i := range t.fields[environment] {
		if f := &t.fields[environment][i]; f.folded == folded {
			f.value = value
			return
		}
	}
	t.fields[environment] = append(t.fields[environment], field{key: e.name, folded: folded, value: value})
}

// control is the action ctl for settings of the transaction.
type control struct {
	set    func(t *Transaction, phase int)
	before int // the last phase in which it may still take place
}

func (e *control) apply(t *Transaction, _ *rule) {
	if t.phase <= e.before {
		e.set(t, t.phase)
	}
}

// removeRules is ctl:ruleRemoveById, ByTag and ByMsg.
type removeRules struct {
	which  selection
	places bitset // worked out when all rules are known
}

func (e *removeRules) apply(t *Transaction, _ *rule) {
	if t.removed == nil {
		t.removed = newBitset(len(t.rules.program.heads))
	}
	t.removed.union(e.places)
	t.anyRemoved = true
}

// removeTargets is ctl:ruleRemoveTargetById, ByTag and ByMsg.
type removeTargets struct {
	which  selection
	places bitset
	v      *variable
	except exception
}

func (e *removeTargets) apply(t *Transaction, _ *rule) {
	t.targetsRemoved = append(t.targetsRemoved, e)
}

// selection names rules.
type selection struct {
	from, to int // ids, if to > 0
	tag, msg string
}

func (s *selection) has(r *rule) bool {
	switch {
	case s.to > 0:
		return s.from <= r.info.ID && r.info.ID <= s.to
	case s.tag != "":
		for _, tag := range r.info.Tags {
			if tag == s.tag {
				return true
			}
		}
		return false
	}
	return s.msg != "" && r.info.Message == s.msg
}

// places is where the selected rules stand among the heads.
func (s *selection) places(heads []head) bitset {
	set := newBitset(len(heads))
	for i := range heads {
		if r := heads[i].rule; r != nil && s.has(r) {
			set.add(i)
		}
	}
	return set
}

// exceptionOf compiles a key of an exception: text, an expression between slashes, or empty for all.
func exceptionOf(key string, isRegexp bool) (exception, error) {
	if !isRegexp {
		return exception{key: strings.ToLower(key)}, nil
	}
	re, err := regexp.Compile(key)
	return exception{re: re}, err
}

// bitset is a set of small numbers.
type bitset []uint64

func newBitset(n int) bitset { return make(bitset, (n+63)/64) }

func (b bitset) add(i int)      { b[i/64] |= 1 << (i % 64) }
func (b bitset) has(i int) bool { return b[i/64]&(1<<(i%64)) != 0 }

func (b bitset) union(other bitset) {
	for i := range other {
		b[i] |= other[i]
	}
}
