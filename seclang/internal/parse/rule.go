package parse

import (
	"errors"
	"fmt"
	"strings"
)

// Rule is a SecRule, or a SecAction: then it has no targets and no operator.
type Rule struct {
	Targets  []Target
	Operator Operator
	Actions  []Action
}

// Target is one of the variables that a rule looks at.
type Target struct {
	Variable string // upper case
	Selector string // what follows the colon; the expression without its slashes if Regexp
	Regexp   bool   // ARGS:/^id/
	Count    bool   // &ARGS
	Exclude  bool   // !ARGS:id
}

// Operator is the test of a rule.
type Operator struct {
	Name     string // without @
	Argument string
	Negated  bool
}

// Action is one element of an action list, in the order written.
type Action struct {
	Name  string // lower case
	Value string // without quotes
}

// secRule parses: TARGETS "OPERATOR" ["ACTIONS"].
func secRule(s string) (*Rule, error) {
	targets, rest, err := word(s)
	if err != nil {
		return nil, err
	}
	operator, rest, err := word(rest)
	if err != nil {
		return nil, err
	}
	actions, rest, err := word(rest)
	if err != nil {
		return nil, err
	}
	switch {
	case targets == "" || operator == "" && !strings.Contains(s, `"`):
		return nil, errors.New(`want: SecRule TARGETS "OPERATOR" "ACTIONS"`)
	case rest != "":
		return nil, fmt.Errorf("unexpected text after the actions: %.40q", rest)
	}
	r := &Rule{Operator: operatorOf(strings.ReplaceAll(operator, `\"`, `"`))}
	if r.Targets, err = Targets(targets); err != nil {
		return nil, err
	}
	r.Actions, err = Actions(actions)
	return r, err
}

// word cuts the first word from s: up to a space, or within double quotes up to a quote without a backslash before it.
func word(s string) (word, rest string, err error) {
	s = strings.TrimLeft(s, " \t")
	if s == "" || s[0] != '"' {
		if i := strings.IndexAny(s, " \t"); i >= 0 {
			return s[:i], strings.TrimLeft(s[i:], " \t"), nil
		}
		return s, "", nil
	}
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return s[1:i], strings.TrimLeft(s[i+1:], " \t"), nil
		}
	}
	return "", "", fmt.Errorf("a quote is not closed: %.40q", s)
}

// operatorOf parses [!]@name argument; without a name it is @rx.
func operatorOf(s string) Operator {
	var o Operator
	rest := s
	if strings.HasPrefix(rest, "!") {
		o.Negated, rest = true, rest[1:]
	}
	if !strings.HasPrefix(rest, "@") {
		o.Name, o.Argument = "rx", strings.TrimSpace(rest)
		return o
	}
	o.Name, o.Argument, _ = strings.Cut(rest[1:], " ")
	o.Name, o.Argument = strings.TrimSpace(o.Name), strings.TrimSpace(o.Argument)
	return o
}

// Targets parses VARIABLE[:selector]|VARIABLE…, each with ! or & before it.
func Targets(s string) ([]Target, error) {
	var targets []Target
	for rest := s; rest != ""; {
		t, after, err := target(rest)
		if err != nil {
			return nil, err
		}
		targets, rest = append(targets, t), after
	}
	if len(targets) == 0 {
		return nil, errors.New("no target")
	}
	return targets, nil
}

func target(s string) (t Target, rest string, err error) {
	switch {
	case strings.HasPrefix(s, "!"):
		t.Exclude, s = true, s[1:]
	case strings.HasPrefix(s, "&"):
		t.Count, s = true, s[1:]
	}
	end := strings.IndexAny(s, ":|")
	if end < 0 {
		end = len(s)
	}
	t.Variable = strings.ToUpper(strings.TrimSpace(s[:end]))
	if t.Variable == "" {
		return t, "", fmt.Errorf("a target has no name: %.40q", s)
	}
	if end == len(s) || s[end] == '|' {
		return t, strings.TrimPrefix(s[end:], "|"), nil
	}
	rest, err = t.selector(s[end+1:])
	return t, rest, err
}

// selector parses what follows the colon: a name, an expression between slashes, or either in single quotes. The
// selectors of XML and JSON are paths, whatever they begin with.
func (t *Target) selector(s string) (rest string, err error) {
	if strings.HasPrefix(s, "'") {
		end := strings.IndexByte(s[1:], '\'')
		if end < 0 {
			return "", fmt.Errorf("a quote is not closed: %.40q", s)
		}
		t.setSelector(s[1 : end+1])
		return endOfTarget(s[end+2:])
	}
	if strings.HasPrefix(s, "/") && !t.isPath() {
		for i := 1; i < len(s); i++ {
			switch s[i] {
			case '\\':
				i++
			case '/':
				t.setSelector(s[:i+1])
				return endOfTarget(s[i+1:])
			}
		}
		return "", fmt.Errorf("an expression is not closed: %.40q", s)
	}
	name, rest, _ := strings.Cut(s, "|")
	t.setSelector(strings.TrimSpace(name))
	return rest, nil
}

func (t *Target) isPath() bool { return t.Variable == "XML" || t.Variable == "JSON" }

func (t *Target) setSelector(s string) {
	if len(s) >= 2 && s[0] == '/' && s[len(s)-1] == '/' && !t.isPath() {
		t.Selector, t.Regexp = s[1:len(s)-1], true
		return
	}
	t.Selector = s
}

func endOfTarget(s string) (rest string, err error) {
	if s != "" && s[0] != '|' {
		return "", fmt.Errorf("unexpected text after a selector: %.40q", s)
	}
	return strings.TrimPrefix(s, "|"), nil
}

// Actions parses name[:value],… where commas within single quotes are part of a value.
func Actions(s string) ([]Action, error) {
	if strings.TrimSpace(s) == "" {
		return nil, nil
	}
	var actions []Action
	add := func(s string) error {
		a, err := action(s)
		actions = append(actions, a)
		return err
	}
	start, quoted := 0, false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\':
			i++
		case s[i] == '\'':
			quoted = !quoted
		case s[i] == ',' && !quoted:
			if err := add(s[start:i]); err != nil {
				return nil, err
			}
			start = i + 1
		}
	}
	if quoted {
		return nil, fmt.Errorf("a quote is not closed in the actions: %.40q", s)
	}
	if err := add(s[start:]); err != nil {
		return nil, err
	}
	return actions, nil
}

func action(s string) (Action, error) {
	name, value, _ := strings.Cut(s, ":")
	a := Action{Name: strings.ToLower(strings.TrimSpace(name)), Value: unquote(strings.TrimSpace(value))}
	if a.Name == "" {
		return a, errors.New("an action has no name: is there a comma too many?")
	}
	return a, nil
}
