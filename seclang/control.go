package seclang

import (
	"fmt"
	"slices"
	"strings"

	"stormdoor/seclang/internal/parse"
)

// control is the action ctl:name=value[;VARIABLE:key].
func (c *compiler) control(r *rule, s string) error {
	name, value, ok := strings.Cut(s, "=")
	if !ok {
		return fmt.Errorf("%q: want name=value", s)
	}
	if what, by, found := strings.Cut(name, "By"); found && (what == "ruleRemove" || what == "ruleRemoveTarget") {
		return c.removal(r, what, by, value)
	}
	e, err := c.setting(r, name, value)
	if err == nil && e != nil {
		r.effects = append(r.effects, e)
	}
	return err
}

// setting compiles a ctl that sets something of the transaction.
func (c *compiler) setting(r *rule, name, value string) (effect, error) {
	toggle := func(before int, set func(t *Transaction, on bool)) (effect, error) {
		on, err := parseOnOff(value)
		return &control{before: before, set: func(t *Transaction, _ int) { set(t, on) }}, err
	}
	limit := func(before int, set func(t *Transaction, n int)) (effect, error) {
		n, err := atoi(name, value)
		return &control{before: before, set: func(t *Transaction, _ int) { set(t, n) }}, err
	}
	switch name {
	case "ruleEngine":
		mode, err := modeOf(value)
		return &control{before: 5, set: func(t *Transaction, _ int) { t.mode = mode }}, err
	case "requestBodyAccess":
		return toggle(1, func(t *Transaction, on bool) { t.set.requestBody = on })
	case "responseBodyAccess":
		return toggle(3, func(t *Transaction, on bool) { t.set.responseBody = on })
	case "forceRequestBodyVariable":
		return toggle(5, func(t *Transaction, on bool) { t.forceRequestBody = on })
	case "forceResponseBodyVariable":
		return toggle(5, func(t *Transaction, on bool) { t.forceResponseBody = on })
	case "requestBodyLimit":
		return limit(1, func(t *Transaction, n int) { t.set.requestLimit = n })
	case "responseBodyLimit":
		return limit(3, func(t *Transaction, n int) { t.set.responseLimit = n })
	case "requestBodyProcessor":
		kind := strings.ToUpper(value)
		if !slices.Contains(bodyKinds, kind) {
			return nil, fmt.Errorf("%s: there is no body processor %q", name, value)
		}
		return &control{before: 1, set: func(t *Transaction, _ int) { t.singles[reqbodyProcessor] = kind }}, nil
	case "responseBodyProcessor":
		kind := strings.ToUpper(value)
		if kind != "JSON" && kind != "XML" {
			return nil, fmt.Errorf("%s: there is no body processor %q for responses", name, value)
		}
		return &control{before: 3, set: func(t *Transaction, _ int) { t.singles[resBodyProcessor] = kind }}, nil
	case "auditEngine", "auditLogParts", "debugLogLevel":
		c.note(pos(r.info), "ctl:"+name+" has no effect: the caller writes the log")
		return nil, nil
	}
	return nil, fmt.Errorf("%s is not supported", name)
}

// removal compiles ctl:ruleRemoveBy… and ctl:ruleRemoveTargetBy….
func (c *compiler) removal(r *rule, what, by, value string) error {
	rules, targetText, _ := strings.Cut(value, ";")
	which, err := selectionOf(by, strings.TrimSpace(rules))
	if err != nil {
		return fmt.Errorf("%sBy%s: %w", what, by, err)
	}
	if what == "ruleRemove" {
		e := &removeRules{which: which}
		r.effects = append(r.effects, e)
		c.late = append(c.late, func() error {
			e.places = e.which.places(c.heads)
			return nil
		})
		return nil
	}
	targets, err := parse.Targets(strings.TrimSpace(targetText))
	if err != nil || len(targets) != 1 {
		return fmt.Errorf("%sBy%s: %q: want one target after the semicolon, such as ARGS:id", what, by, value)
	}
	e := &removeTargets{which: which}
	if e.v, err = lookUp(targets[0].Variable); err != nil {
		return err
	}
	if e.except, err = exceptionOf(targets[0].Selector, targets[0].Regexp); err != nil {
		return err
	}
	r.effects = append(r.effects, e)
	c.late = append(c.late, func() error {
		e.places = e.which.places(c.heads)
		return nil
	})
	return nil
}

// selectionOf compiles what follows By: an id or a range of ids, a tag or a message.
func selectionOf(by, s string) (selection, error) {
	switch {
	case s == "":
		return selection{}, fmt.Errorf("want the rules")
	case by == "Tag":
		return selection{tag: s}, nil
	case by == "Msg":
		return selection{msg: s}, nil
	case by != "Id":
		return selection{}, fmt.Errorf("want ById, ByTag or ByMsg")
	}
	first, last, isRange := strings.Cut(s, "-")
	from, err := atoi("id", first)
	if err != nil {
		return selection{}, err
	}
	to := from
	if isRange {
		if to, err = atoi("id", last); err != nil {
			return selection{}, err
		}
	}
	if from < 1 || to < from {
		return selection{}, fmt.Errorf("%q: want an id or a range of ids", s)
	}
	return selection{from: from, to: to}, nil
}
