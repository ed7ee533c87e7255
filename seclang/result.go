package seclang

import "stormdoor/seclang/internal/parse"

// Action is what an interruption asks for.
type Action uint8

const (
	Pass Action = iota
	Deny
	Drop     // close the connection without an answer
	Redirect // to Interruption.Location
)

func (a Action) String() string { return [...]string{"pass", "deny", "drop", "redirect"}[a] }

// Interruption is the decision of a rule to end the exchange. The zero value is none.
type Interruption struct {
	Action   Action
	Status   int    // as the rule says; 0: the rule names none (drop)
	Rule     int    // the rule's id; 0: a limit of the rule set or the budget, not a rule
	Location string // of a redirect
}

// Refuses reports whether there is an interruption at all.
func (i Interruption) Refuses() bool { return i.Action != Pass }

// Severity is a rule's severity: 0 EMERGENCY to 7 DEBUG; NoSeverity if the rule names none.
type Severity int8

// NoSeverity is the severity of a rule that names none.
const NoSeverity Severity = -1

var severities = []string{"EMERGENCY", "ALERT", "CRITICAL", "ERROR", "WARNING", "NOTICE", "INFO", "DEBUG"}

func (s Severity) String() string {
	if s < 0 || int(s) >= len(severities) {
		return ""
	}
	return severities[s]
}

// Rule describes a rule of a rule set. The caller must not change it.
type Rule struct {
	ID       int // 0: the rule has none
	File     string
	Line     int
	Phase    int
	Severity Severity
	Message  string // as written, macros not expanded
	Version  string
	Revision string
	Tags     []string
	Log      bool // a match belongs into the log (action log, nolog)
	Audit    bool // a match belongs into the audit log
}

// Match is a rule that matched. Its strings are valid until the transaction is closed: clone what is to live longer.
type Match struct {
	Rule    *Rule
	Message string // macros expanded; only of rules that log
	Data    string // the rule's logdata, expanded; only of rules that log
	Values  []Value
	Doubted bool   // see Options.Doubt and Excuser: nothing follows from it
	Excused bool   // an Excuser has taken a value of it back
	Counted int    // how often its effects took place: for each value, with a chain for each of its last link
	Action  Action // what the rule asks for, whether or not the mode lets it
}

// Value is a value that a rule matched.
type Value struct {
	Variable string // ARGS, REQUEST_HEADERS, …
	Key      string // the parameter's or header's name, as sent; empty where a variable has no keys
	Value    string // after the rule's transformations
	// Start and End are where the operator matched within Value; both 0 if the operator matches no particular place, and
	// without Start.Places where the rule does not need to know.
	Start, End int
	// Sent is the value before the rule's transformations; empty for what the engine has counted.
	Sent string

	by *rule
}

// Cost is what a transaction has spent.
type Cost struct {
	Bytes  int64 // bytes of values looked at, each value once
	Fields int64 // values looked at
	// Work is what the rule set needs for the exchange once its automata know values like these, in bytes that they, transformations
	// and operators read: about CPU time in nanoseconds. It follows from the exchange and the rule set alone, whatever came before.
	Work int64
	// Cold is what scans took beyond Work, in the same unit: states that were built, of which later exchanges have the use, and
	// the longer way through short values with states that were not. It is below zero if little of a value was enough.
	Cold int64
	// Exceeded is set once the budget was spent. What then happens is Budget.Over.
	Exceeded bool
}

// Budget bounds what a transaction may spend; Work bounds Cost.Work and Cost.Cold together. A zero field is no bound.
type Budget struct {
	Bytes, Fields, Work int64
	Over                Over
}

// Over is what happens when a budget is spent.
type Over uint8

const (
	// OverStop ends the inspection: no further value is looked at, rules judge by what was found so far, and
	// Cost.Exceeded tells the caller.
	OverStop Over = iota
	// OverRefuse interrupts the exchange with status 413.
	OverRefuse
)

func pos(info *Rule) parse.Pos { return parse.Pos{File: info.File, Line: info.Line} }
