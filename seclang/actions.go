package seclang

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"stormdoor/seclang/internal/parse"
	"stormdoor/seclang/internal/transform"
)

// actionList is a list of actions with the disruptive one apart: there is at most one, and the last one counts.
type actionList struct {
	action *parse.Action
	status string
	chain  bool
	rest   []parse.Action // in order
}

// disruptive are the actions that decide about the exchange.
var disruptive = []string{"allow", "block", "deny", "drop", "pass", "redirect"}

// describing are the actions that say what a rule is, which no SecDefaultAction may have.
var describing = []string{"id", "msg", "rev", "severity", "tag", "ver", "maturity", "accuracy", "t"}

func sortActions(list []parse.Action) *actionList {
	l := &actionList{}
	for i := range list {
		a := &list[i]
		switch {
		case slices.Contains(disruptive, a.Name):
			l.action = a
		case a.Name == "status":
			l.status = a.Value
		case a.Name == "chain":
			l.chain = true
		default:
			l.rest = append(l.rest, *a)
		}
	}
	return l
}

// defaultAction is SecDefaultAction: what rules of a phase have unless they say otherwise.
func (c *compiler) defaultAction(d *parse.Directive) error {
	list, err := parse.Actions(d.Args)
	if err != nil {
		return err
	}
	l := sortActions(list)
	phase := 0
	for _, a := range l.rest {
		if a.Name == "phase" {
			if phase, err = phaseOf(a.Value); err != nil {
				return err
			}
		}
		if slices.Contains(describing, a.Name) {
			return fmt.Errorf("%s describes one rule and cannot be a default", a.Name)
		}
	}
	switch {
	case phase == 0:
		return errors.New("want a phase")
	case l.action == nil || l.action.Name == "block":
		return errors.New("want one of allow, deny, drop, pass, redirect")
	case c.defaults[phase] != nil:
		return fmt.Errorf("the defaults of phase %d are already set", phase)
	}
	l.rest = slices.DeleteFunc(l.rest, func(a parse.Action) bool { return a.Name == "phase" })
	c.defaults[phase] = l
	return nil
}

// apply gives a rule its actions, those of its phase's defaults first.
func (c *compiler) apply(r *rule, own *actionList) (err error) {
	for _, a := range own.rest {
		if a.Name == "phase" {
			if r.info.Phase, err = phaseOf(a.Value); err != nil {
				return err
			}
		}
	}
	defaults := c.defaults[r.info.Phase]
	if defaults == nil && r.info.Phase == 2 {
		defaults = &actionList{action: &parse.Action{Name: "pass"}, rest: []parse.Action{{Name: "log"}, {Name: "auditlog"}}}
	}
	action, status := own.action, own.status
	if defaults != nil {
		if action == nil || action.Name == "block" {
			action = defaults.action
		}
		if status == "" {
			status = defaults.status
		}
		for _, a := range defaults.rest {
			if err := c.action(r, a); err != nil {
				return err
			}
		}
	}
	for _, a := range own.rest {
		if err := c.action(r, a); err != nil {
			return fmt.Errorf("%s: %w", a.Name, err)
		}
	}
	return c.disrupt(r, action, status)
}

// disrupt sets what the rule does to the exchange.
func (c *compiler) disrupt(r *rule, a *parse.Action, status string) (err error) {
	if status != "" {
		if r.status, err = atoi("status", status); err != nil || r.status < 100 || r.status > 999 {
			return fmt.Errorf("status: %q: want a number from 100 to 999", status)
		}
	}
	if a == nil {
		return nil
	}
	r.action, r.allow = Pass, noAllowance
	switch a.Name {
	case "deny":
		r.action = Deny
		if r.status == 0 {
			r.status = 403
		}
	case "drop":
		r.action = Drop
	case "redirect":
		if a.Value == "" {
			return errors.New("redirect: want an address")
		}
		r.action = Redirect
		if !slices.Contains([]int{301, 302, 303, 307, 308}, r.status) {
			r.status = 302
		}
		r.location, err = c.macroOf(a.Value)
	case "allow":
		reach, ok := map[string]allowance{"": allowAll, "phase": allowPhase, "request": allowRequest}[a.Value]
		if !ok {
			return fmt.Errorf("allow: %q: want nothing, phase or request", a.Value)
		}
		r.allow = reach
	}
	return err
}

// action gives a rule one action that is not disruptive.
func (c *compiler) action(r *rule, a parse.Action) (err error) {
	info := r.info
	switch a.Name {
	case "id":
		if info.ID, err = atoi("id", a.Value); err != nil || info.ID < 1 {
			return fmt.Errorf("%q: want a number greater than 0", a.Value)
		}
	case "phase": // known already
	case "msg":
		info.Message = a.Value
		r.message, err = c.macroOf(a.Value)
	case "logdata":
		r.logData, err = c.macroOf(a.Value)
	case "rev":
		info.Revision = a.Value
	case "ver":
		info.Version = a.Value
	case "maturity", "accuracy": // nothing depends on them
	case "severity":
		info.Severity, err = severityOf(a.Value)
	case "tag":
		info.Tags = append(info.Tags, a.Value)
	case "log":
		info.Log, info.Audit = true, true
	case "nolog":
		info.Log, info.Audit = false, false
	case "auditlog":
		info.Audit = true
	case "noauditlog":
		info.Audit = false
	case "capture":
		r.capture = true
	case "multimatch":
		r.multiMatch = true
	case "t":
		return r.addTransformation(a.Value)
	case "setvar":
		return c.setVar(r, a.Value)
	case "setenv":
		return c.setEnv(r, a.Value)
	case "ctl":
		return c.control(r, a.Value)
	case "skip", "skipafter":
		return c.skip(r, a)
	case "initcol":
		c.note(pos(info), "initcol has no effect: persistent collections are not kept")
	default:
		return errors.New("the action is not supported")
	}
	return err
}

func phaseOf(s string) (int, error) {
	switch strings.ToLower(s) {
	case "1":
		return 1, nil
	case "2", "request":
		return 2, nil
	case "3":
		return 3, nil
	case "4", "response":
		return 4, nil
	case "5", "logging":
		return 5, nil
	}
	return 0, fmt.Errorf("phase: %q: want 1 to 5, request, response or logging", s)
}

func severityOf(s string) (Severity, error) {
	for i, name := range severities {
		if strings.EqualFold(s, name) || len(s) == 1 && int(s[0])-'0' == i {
			return Severity(i), nil
		}
	}
	return NoSeverity, fmt.Errorf("%q: want 0 to 7 or a name such as CRITICAL", s)
}

func (r *rule) addTransformation(name string) error {
	if strings.EqualFold(name, "none") {
		r.transforms = nil
		return nil
	}
	t, ok := transform.Lookup(name)
	if !ok {
		return fmt.Errorf("there is no transformation %q", name)
	}
	r.transforms = append(r.transforms, t)
	return nil
}

// setVar is the action setvar:[!]tx.name[=value].
func (c *compiler) setVar(r *rule, s string) (err error) {
	e := &setVar{}
	s, e.remove = strings.CutPrefix(s, "!")
	name, value, _ := strings.Cut(s, "=")
	in, key, _ := strings.Cut(name, ".")
	if !strings.EqualFold(in, "tx") || strings.TrimSpace(key) == "" {
		return fmt.Errorf("%q: want tx.name=value; other collections are not kept", s)
	}
	if e.name, err = c.macroOf(key); err != nil {
		return err
	}
	if e.value, err = c.macroOf(value); err != nil {
		return err
	}
	if e.name.constant() {
		e.slot = c.tx.slotOf(strings.ToLower(key))
	}
	r.effects = append(r.effects, e)
	return nil
}

func (c *compiler) setEnv(r *rule, s string) (err error) {
	name, value, ok := strings.Cut(s, "=")
	if !ok || name == "" {
		return fmt.Errorf("%q: want name=value", s)
	}
	e := &setEnv{name: name}
	e.value, err = c.macroOf(value)
	r.effects = append(r.effects, e)
	return err
}

// skip is skip:n and skipAfter:marker. The place to go on at is worked out when all rules are known.
func (c *compiler) skip(r *rule, a parse.Action) error {
	if r.head != r {
		return errors.New("only the first rule of a chain may skip")
	}
	if a.Name == "skip" {
		n, err := atoi("skip", a.Value)
		if err != nil || n < 1 {
			return fmt.Errorf("%q: want a number greater than 0", a.Value)
		}
		c.late = append(c.late, func() error {
			r.goTo = c.afterNext(r, n)
			return nil
		})
		return nil
	}
	c.late = append(c.late, func() error {
		place := c.placeOf(r)
		if place < 0 {
			return nil // the rule was removed
		}
		for i := place + 1; i < len(c.heads); i++ {
			if c.heads[i].marker == a.Value {
				r.goTo = i + 1
				return nil
			}
		}
		return parse.Errorf(pos(r.info), "skipAfter: no SecMarker %q follows", a.Value)
	})
	return nil
}

// placeOf returns the index of a head, -1 if it was removed.
func (c *compiler) placeOf(r *rule) int {
	return slices.IndexFunc(c.heads, func(h head) bool { return h.rule == r })
}

// afterNext is the place behind the next n rules of the same phase; markers count.
func (c *compiler) afterNext(r *rule, n int) int {
	i := c.placeOf(r) + 1
	for ; i > 0 && i < len(c.heads) && n > 0; i++ {
		if h := c.heads[i].rule; h == nil || h.info.Phase == r.info.Phase {
			n--
		}
	}
	return i
}

// keyExpression compiles the expression of a selector. Keys are matched in lower case unless the variable compares
// with case.
func keyExpression(v *variable, s string) (*regexp.Regexp, error) {
	if !v.exact {
		s = strings.ToLower(s)
	}
	re, err := regexp.Compile(s)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", v.name, err)
	}
	return re, nil
}

// prefixOf returns with what a key must begin for an expression to match, and whether that is all.
func prefixOf(expr string) (prefix string, whole bool) {
	parsed, err := syntax.Parse(expr, syntax.Perl)
	if err != nil || parsed.Op != syntax.OpConcat || parsed.Sub[0].Op != syntax.OpBeginText {
		return "", false
	}
	if text := parsed.Sub[1]; text.Op == syntax.OpLiteral && text.Flags&syntax.FoldCase == 0 {
		return string(text.Rune), len(parsed.Sub) == 2
	}
	return "", false
}
