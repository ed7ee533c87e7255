// Package operator answers: does this value meet the condition of a SecLang operator (@rx, @pm, @detectSQLi …)?
//
// The answers are Coraza 3.8.1's. An operator also offers a gate: a regular expression that every value matches which the
// operator matches, so that one pass over a value can rule out nearly all operators of a rule set at once.
package operator

import (
	"fmt"
	"strings"
)

// Operator is one compiled operator. Many goroutines may use it at once.
type Operator interface {
	// Match reports whether value meets the condition. argument is the operator's argument with its macros expanded; it
	// is read only if the argument given to New holds a macro. Where c is not nil and the operator captures, c says
	// afterwards what; it is left alone when there is no match.
	Match(value, argument string, c *Captures) bool
	// Gate returns the operator's gate; ok is false where there is none.
	Gate() (g Gate, ok bool)
}

// Gate is a condition that every value meets which the operator matches.
type Gate struct {
	// Expr is a regular expression in Go's syntax, with its flags.
	Expr string
	// Raw says that Expr is about bytes: a value is to be read as Latin-1, a rune a byte.
	Raw bool
	// Exact says that the operator also matches every value that meets the condition.
	Exact bool
}

// Captures says which parts of a value an operator captured: TX.0 to TX.9 of a rule with the action "capture".
type Captures struct {
	// N is how many of At are set.
	N int
	// At holds where each part begins and ends in the value; -1 for a group that took no part.
	At [10][2]int
	// Fingerprint is what detectSQLi captures as TX.0 in place of a part of the value.
	Fingerprint string
}

func (c *Captures) clear() { c.N, c.Fingerprint = 0, "" }

// ReadFile reads a data file that a rule names.
type ReadFile func(name string) ([]byte, error)

// New compiles the operator of a name, without its "@", in any case. Its error says what is wrong with the argument, or that
// there is no such operator, or why it is not supported.
func New(name, argument string, file ReadFile) (Operator, error) {
	key := strings.ToLower(name)
	if why, ok := refused[key]; ok {
		return nil, fmt.Errorf("operator @%s is not supported: %s", name, why)
	}
	compile, ok := compilers[key]
	if !ok {
		return nil, fmt.Errorf("there is no operator @%s", name)
	}
	op, err := compile(argument, file)
	if err != nil {
		return nil, fmt.Errorf("@%s: %w", name, err)
	}
	return op, nil
}

type compiler func(argument string, file ReadFile) (Operator, error)

var compilers = map[string]compiler{
	"beginswith":           compileText(beginsWith),
	"contains":             compileText(contains),
	"containsword":         compileText(containsWord),
	"detectsqli":           compileSQLi,
	"detectxss":            compileXSS,
	"endswith":             compileText(endsWith),
	"eq":                   compileNumber(func(v, arg int) bool { return v == arg }),
	"ge":                   compileNumber(func(v, arg int) bool { return v >= arg }),
	"gt":                   compileNumber(func(v, arg int) bool { return v > arg }),
	"ipmatch":              compileIPMatch,
	"ipmatchf":             compileIPMatchFromFile,
	"ipmatchfromfile":      compileIPMatchFromFile,
	"le":                   compileNumber(func(v, arg int) bool { return v <= arg }),
	"lt":                   compileNumber(func(v, arg int) bool { return v < arg }),
	"nomatch":              compileConstant(false),
	"pm":                   compilePM,
	"pmf":                  compilePMFromFile,
	"pmfromfile":           compilePMFromFile,
	"rx":                   compileRx,
	"streq":                compileText(streq),
	"strmatch":             compileText(contains),
	"unconditionalmatch":   compileConstant(true),
	"validatebyterange":    compileByteRange,
	"validatenid":          compileNid,
	"validateurlencoding":  compileURLEncoding,
	"validateutf8encoding": compileUTF8,
	"within":               compileText(within),
}

// refused names the operators of ModSecurity and Coraza that are left out, each with the reason. Loading a rule that uses one
// is an error: a rule that is skipped protects nobody, and nobody notices.
var refused = map[string]string{
	"fuzzyhash":          "compare files where they are stored",
	"geolookup":          "use the door's own countries and networks",
	"gsblookup":          "no rule may ask the network",
	"inspectfile":        "no rule may start a program",
	"ipmatchfromdataset": "list the addresses in a file and use @ipMatchFromFile",
	"pmfromdataset":      "list the phrases in a file and use @pmFromFile",
	"rbl":                "no rule may ask the network",
	"restpath":           "use @rx with named routes of the door",
	"rsub":               "no rule may change a value",
	"validatedtd":        "external entities are never read",
	"validatehash":       "responses are not rewritten",
	"validateschema":     "use the door's OpenAPI documents",
	"verifycc":           "not part of Coraza 3.8.1",
	"verifycpf":          "not part of Coraza 3.8.1",
	"verifyssn":          "not part of Coraza 3.8.1; @validateNid knows us and cl",
	"verifysvnr":         "not part of Coraza 3.8.1",
}

// constant matches everything or nothing.
type constant bool

func compileConstant(answer bool) compiler {
	return func(string, ReadFile) (Operator, error) { return constant(answer), nil }
}

func (o constant) Match(string, string, *Captures) bool { return bool(o) }

func (constant) Gate() (Gate, bool) { return Gate{}, false }
