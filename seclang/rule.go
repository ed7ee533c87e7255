package seclang

import (
	"regexp"
	"strings"

	"stormdoor/seclang/internal/operator"
	"stormdoor/seclang/internal/transform"
)

// rule is a compiled rule, or a link of a chain.
type rule struct {
	info       *Rule
	head       *rule // the first of the chain; itself if it is
	place      int   // of a head: its index in program.heads
	targets    []target
	test       test
	argument   macro // of the operator
	negated    bool
	operator   string // as written, with its "@"
	transforms []transform.T
	multiMatch bool
	capture    bool
	message    macro
	logData    macro
	effects    []effect
	gated      bool  // evaluated only on the hits of its pattern
	sure       bool  // a hit is a match
	collects   bool  // of a head: something in the chain looks at MATCHED_VARS
	next       *rule // of the chain

	// What follows is of heads only, and happens once the whole chain has matched.
	action   Action
	allow    allowance
	status   int
	location macro
	goTo     int // the place to go on at; 0: the next
}

// target is what a rule looks at.
type target struct {
	v      *variable
	key    string         // folded unless the variable compares with case
	re     *regexp.Regexp // in place of key
	prefix string         // with which a key begins that re matches
	whole  bool           // re asks for nothing but the prefix
	count  bool
	slot   slot   // of TX:key
	slots  []slot // of TX:/re/ and of all TX: those that it may be about
	except []exception
}

// exception is a part of a variable that a target leaves out.
type exception struct {
	key string // in lower case; empty: all of the variable
	re  *regexp.Regexp
}

func (e *exception) covers(keyInLowerCase string) bool {
	if e.re != nil {
		return e.re.MatchString(keyInLowerCase)
	}
	return e.key == "" || e.key == keyInLowerCase
}

// takes reports whether the target's expression, if it has one, matches a key.
func (g *target) takes(key string) bool {
	return g.re == nil || strings.HasPrefix(key, g.prefix) && (g.whole || g.re.MatchString(key))
}

// selects reports whether the target's selector takes a field; exceptions do not count.
func (g *target) selects(f *field) bool {
	switch {
	case g.re != nil:
		return g.takes(f.folded)
	case g.key != "":
		return g.key == f.folded
	}
	return true
}

// leavesOut reports whether one of the exceptions covers a key.
func leavesOut(except []exception, key string) bool {
	if len(except) == 0 {
		return false
	}
	key = strings.ToLower(key)
	for i := range except {
		if except[i].covers(key) {
			return true
		}
	}
	return false
}

// test is a rule's operator: one of the two, or none if the rule always matches.
type test struct {
	compare comparison
	op      operator.Operator
}

// comparison is an operator on numbers.
type comparison uint8

const (
	noComparison comparison = iota
	equal
	greaterOrEqual
	greater
	lessOrEqual
	less
)

var comparisons = map[string]comparison{"eq": equal, "ge": greaterOrEqual, "gt": greater, "le": lessOrEqual, "lt": less}

func (c comparison) holds(value, limit int) bool {
	switch c {
	case equal:
		return value == limit
	case greaterOrEqual:
		return value >= limit
	case greater:
		return value > limit
	case lessOrEqual:
		return value <= limit
	default:
		return value < limit
	}
}

// allowance is how far an allow action reaches.
type allowance uint8

const (
	noAllowance allowance = iota
	allowPhase
	allowRequest
	allowAll
)

// property is %{RULE.name}.
func (r *rule) property(t *Transaction, name string) string {
	info := r.head.info
	switch name {
	case "id":
		return t.arena.number(info.ID)
	case "msg":
		return r.message.expand(t, r)
	case "logdata":
		return r.logData.expand(t, r)
	case "rev":
		return r.info.Revision
	case "severity":
		if r.info.Severity == NoSeverity {
			return ""
		}
		return t.arena.number(int(r.info.Severity))
	}
	return "rule." + name
}

// program is what the rules of a set have become.
type program struct {
	infos  []*Rule
	heads  []head
	tx     txNames
	begins []txValue    // the TX variables at the start of a transaction
	phases [6]phasePlan // by number; 0 is unused
	words  int          // of the bits of all patterns
}

// head is a rule or a marker, in the order of the text.
type head struct {
	rule   *rule
	marker string
}
