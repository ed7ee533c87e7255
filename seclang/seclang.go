// Package seclang answers: what do the rules of a SecLang rule set, such as the OWASP Core Rule Set, say about this
// exchange? Compile turns the text of a rule set into a Ruleset, and each exchange is judged by one Transaction of it.
// The package knows no HTTP server: its caller feeds the parts of the exchange in the order in which they come.
//
//	rules, err := seclang.Compile(fsys, seclang.Options{Directives: "Include crs-setup.conf\nInclude rules/*.conf"})
//	…
//	tx := rules.New(seclang.Start{ID: id, Arrived: now})
//	defer tx.Close()
//	tx.Connection(client, server)
//	tx.RequestLine("GET", "/index?id=1", "HTTP/1.1")
//	tx.RequestHeader("Host", "example.org")
//	if it := tx.RequestHeadersEnd(); it.Refuses() { … }
//	tx.RequestBody(piece)
//	if it := tx.RequestEnd(); it.Refuses() { … }
//	…
//	tx.Finish()
//
// How it is fast: what follows from the configuration alone is worked out by Compile. What is left is planned by kinds
// of values: each distinct form of a value (raw, decoded, …) is read once by one automaton for all patterns, and only
// rules whose pattern was there are evaluated, exactly, by the language's own semantics. The semantics are those of
// Coraza v3.8 with parameter names compared with case; the tests hold the two against each other.
package seclang

import (
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"stormdoor/seclang/internal/clean"
	"stormdoor/seclang/internal/parse"
)

// Options says what to compile. The zero value compiles nothing and lets everything pass.
type Options struct {
	// Directives is SecLang text; Include in it reads files of the file system given to Compile.
	Directives string
	// Name stands for Directives in the positions of errors. Empty means "directives".
	Name string
	// Beside is a rule set that stays in use beside this one, or nil. What both need alike is then kept once: a further
	// rule set that differs little takes little memory, and little time to compile.
	Beside *Ruleset
	// Nested looks also at what stands in the values of ARGS and XML in one more encoding (base64 of a text, percent
	// escapes), at a path that is written like no path, and at the document type declarations of XML bodies. Rules find
	// these as further values of ARGS: under the key of what they stand in, or REQUEST_FILENAME or DOCTYPE. No rule
	// counts them. It undoes the Content-Encoding of request bodies, up to SecRequestBodyLimit and 50 times what was sent; a body
	// that does not unpack so is one that cannot be read (REQBODY_ERROR). And it reads GraphQL documents
	// (application/graphql), whose strings are ARGS_POST; what documents ask for in all, there and in fields named query, is GRAPHQL, with the
	// keys documents, depth, fields, aliases, cost and introspection. Without it the values are those of the language.
	Nested bool
	// Doubt, if not nil, is asked about each value that a rule without a chain and behind a gate is about to match, with the
	// value as it was sent. A match in which it doubts is recorded, as Match.Doubted, and nothing follows from it: no
	// variable is set, nobody is refused. It must be pure, and linear in the value.
	Doubt func(r *Rule, sent string) bool
}

// Compile reads and compiles a rule set. The error joins every mistake found, each with file and line. A directive,
// variable, operator, transformation or action that this package does not implement is a mistake: nothing is skipped.
// What is accepted but has no effect here is listed by Ruleset.Notes.
func Compile(fsys fs.FS, o Options) (*Ruleset, error) {
	name := o.Name
	if name == "" {
		name = "directives"
	}
	directives, err := parse.Text(fsys, name, o.Directives)
	if err != nil {
		return nil, err
	}
	r, err := compile(fsys, directives, o.Beside, false)
	if err != nil {
		return nil, err
	}
	r.nested, r.doubt = o.Nested, o.Doubt
	return r, nil
}

// Ruleset is a compiled rule set: immutable, and safe for use by many goroutines. Many may be in use at once.
type Ruleset struct {
	settings settings
	program  program
	nested   bool // see Options.Nested
	doubt    func(r *Rule, sent string) bool
	alike    alike
	shared   shared
	clean    *clean.Table // values in which no pattern was found, by class
	notes    []Note
	pool     sync.Pool    // of *Transaction
	lessons  atomic.Int32 // how many transactions may still build more states of automata than others
}

// Note is something in the text of a rule set that was accepted though it has no effect here.
type Note struct {
	File string
	Line int
	Text string
}

// Notes lists what was accepted without effect, in the order of the text.
func (r *Ruleset) Notes() []Note { return r.notes }

// Rules describes the rules in the order of the text, chains by their first rule. The caller must not change it.
func (r *Ruleset) Rules() []*Rule { return r.program.infos }

// Mode says what a rule's deny, drop or redirect does.
type Mode uint8

const (
	AsConfigured Mode = iota // as SecRuleEngine says
	Off                      // nothing is evaluated
	Detect                   // matches are recorded, nothing is refused
	On
)

// Start is what a Transaction begins with. The zero value is useful: see the fields.
type Start struct {
	ID      string    // UNIQUE_ID
	Arrived time.Time // the transaction's clock (TIME and its kin); zero means the epoch
	Mode    Mode
	Budget  Budget
	// Excuser takes matches back, where it is not nil.
	Excuser Excuser
	// Observer is told what rules cost, where it is not nil.
	Observer Observer
	// Places works out where in a value a rule matched also for rules that do not need to know (Value.Start).
	Places bool
}

// New returns a transaction. It must be given back with Close.
func (r *Ruleset) New(s Start) *Transaction {
	t, _ := r.pool.Get().(*Transaction)
	if t == nil {
		t = newTransaction(r)
	}
	t.begin(s)
	if r.lessons.Load() > 0 {
		r.lessons.Add(-1)
		t.budget.States = lessonStates
	}
	return t
}

// The first transactions of a rule set build what most others need. All of them together take less than a second.
const (
	lessons      = 1000
	lessonStates = 32
)
