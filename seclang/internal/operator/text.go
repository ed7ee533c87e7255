package operator

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strings"
)

var errNoArgument = errors.New("an argument is missing")

// hasMacro reports whether an argument is known only when a rule runs.
func hasMacro(argument string) bool { return strings.Contains(argument, "%{") }

// textCondition is a condition on a value and a string, and the gate for a string that is known at load: %s in it stands for
// the quoted string. An empty gate is none.
type textCondition struct {
	holds func(value, argument string) bool
	gate  string
	exact bool
}

var (
	beginsWith   = textCondition{strings.HasPrefix, `\A%s`, true}
	contains     = textCondition{strings.Contains, `%s`, true}
	containsWord = textCondition{hasWord, `%s`, false}
	endsWith     = textCondition{strings.HasSuffix, `%s\z`, true}
	streq        = textCondition{func(v, arg string) bool { return v == arg }, `\A%s\z`, true}
	within       = textCondition{holds: func(v, arg string) bool { return strings.Contains(arg, v) }}
)

// hasWord reports whether word stands in value with no ASCII letter on either side, as ModSecurity's containsWord does.
func hasWord(value, word string) bool {
	if word == "" {
		return true
	}
	for from := 0; ; {
		i := strings.Index(value[from:], word)
		if i < 0 {
			return false
		}
		start := from + i
		end := start + len(word)
		if (start == 0 || !isLetter(value[start-1])) && (end == len(value) || !isLetter(value[end])) {
			return true
		}
		from = start + 1
	}
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

type text struct {
	condition textCondition
	argument  string
	macro     bool
}

func compileText(c textCondition) compiler {
	return func(argument string, _ ReadFile) (Operator, error) {
		if argument == "" {
			return nil, errNoArgument
		}
		return &text{c, argument, hasMacro(argument)}, nil
	}
}

func (o *text) Match(value, argument string, _ *Captures) bool {
	if !o.macro {
		argument = o.argument
	}
	return o.condition.holds(value, argument)
}

func (o *text) Gate() (Gate, bool) {
	if o.macro || o.condition.gate == "" {
		return Gate{}, false
	}
	return Gate{Expr: fmt.Sprintf(o.condition.gate, quoteBytes(o.argument)), Raw: true, Exact: o.condition.exact}, true
}

// quoteBytes returns an expression for exactly these bytes, for a raw gate.
func quoteBytes(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] < 0x80 {
			b.WriteString(regexp.QuoteMeta(s[i : i+1]))
		} else {
			fmt.Fprintf(&b, `\x%02x`, s[i])
		}
	}
	return b.String()
}

// number compares whole numbers; what is none counts as 0.
type number struct {
	holds    func(value, argument int) bool
	argument int
	macro    bool
}

func compileNumber(holds func(value, argument int) bool) compiler {
	return func(argument string, _ ReadFile) (Operator, error) {
		if argument == "" {
			return nil, errNoArgument
		}
		return &number{holds, parseInt(argument), hasMacro(argument)}, nil
	}
}

func (o *number) Match(value, argument string, _ *Captures) bool {
	arg := o.argument
	if o.macro {
		arg = parseInt(argument)
	}
	return o.holds(parseInt(value), arg)
}

func (*number) Gate() (Gate, bool) { return Gate{}, false }

// parseInt reads s as strconv.Atoi does, with 0 for what is no number and the nearest int for what is too large a one. It
// never allocates.
func parseInt(s string) int {
	negative := false
	if s != "" && (s[0] == '-' || s[0] == '+') {
		negative = s[0] == '-'
		s = s[1:]
	}
	if s == "" {
		return 0
	}
	n, overflow := uint64(0), false
	for i := 0; i < len(s); i++ {
		d := s[i] - '0'
		if d > 9 {
			return 0
		}
		if n > (math.MaxInt64-uint64(d))/10 {
			overflow = true
			continue
		}
		n = n*10 + uint64(d)
	}
	switch {
	case overflow && negative:
		return math.MinInt64
	case overflow:
		return math.MaxInt64
	case negative:
		return -int(n)
	}
	return int(n)
}
