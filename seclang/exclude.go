package seclang

import (
	"fmt"
	"slices"
	"strings"

	"stormdoor/seclang/internal/parse"
)

// The directives in this file change rules that stand before them.

func (c *compiler) removeByID(d *parse.Directive) error {
	for _, s := range strings.Fields(d.Args) {
		which, err := selectionOf("Id", s)
		if err != nil {
			return err
		}
		c.remove(which)
	}
	return nil
}

func (c *compiler) removeByTag(d *parse.Directive) error { return c.removeBy("Tag", d) }

func (c *compiler) removeByMsg(d *parse.Directive) error { return c.removeBy("Msg", d) }

func (c *compiler) removeBy(by string, d *parse.Directive) error {
	which, err := selectionOf(by, d.Args)
	if err == nil {
		c.remove(which)
	}
	return err
}

func (c *compiler) remove(which selection) {
	c.heads = slices.DeleteFunc(c.heads, func(h head) bool {
		if h.rule == nil || !which.has(h.rule) {
			return false
		}
		delete(c.byID, h.rule.info.ID)
		return true
	})
}

// updateTargetByID is SecRuleUpdateTargetById ids… "TARGETS".
func (c *compiler) updateTargetByID(d *parse.Directive) error {
	words := strings.Fields(d.Args)
	if len(words) < 2 {
		return fmt.Errorf(`%q: want ids and "TARGETS"`, d.Args)
	}
	for _, s := range words[:len(words)-1] {
		which, err := selectionOf("Id", s)
		if err != nil {
			return err
		}
		if which.from == which.to && c.byID[which.from] == nil {
			return fmt.Errorf("no rule with the id %d stands before this", which.from)
		}
		if err := c.updateTarget(which, words[len(words)-1]); err != nil {
			return err
		}
	}
	return nil
}

// updateTargetByTag is SecRuleUpdateTargetByTag "tag" "TARGETS".
func (c *compiler) updateTargetByTag(d *parse.Directive) error {
	words := strings.Fields(d.Args)
	if len(words) != 2 {
		return fmt.Errorf(`%q: want "tag" "TARGETS"`, d.Args)
	}
	return c.updateTarget(selection{tag: strings.Trim(words[0], `"`)}, words[1])
}

func (c *compiler) updateTarget(which selection, text string) error {
	targets, err := parse.Targets(strings.Trim(text, `"`))
	if err != nil {
		return err
	}
	for i := range c.heads {
		r := c.heads[i].rule
		if r == nil || !which.has(r) {
			continue
		}
		for _, p := range targets {
			if err := c.addTarget(r, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// updateActionByID is SecRuleUpdateActionById id "ACTIONS". A disruptive action takes the place of the rule's own, an
// action that can stand only once takes the place of its like, others are added.
func (c *compiler) updateActionByID(d *parse.Directive) error {
	ids, text, _ := strings.Cut(d.Args, " ")
	which, err := selectionOf("Id", ids)
	if err != nil {
		return err
	}
	list, err := parse.Actions(strings.Trim(strings.TrimSpace(text), `"`))
	if err != nil {
		return err
	}
	l := sortActions(list)
	found := false
	for i := range c.heads {
		r := c.heads[i].rule
		if r == nil || !which.has(r) {
			continue
		}
		found = true
		if err := c.updateActions(r, l); err != nil {
			return err
		}
	}
	if !found {
		return fmt.Errorf("no rule with the id %s stands before this", ids)
	}
	return nil
}

func (c *compiler) updateActions(r *rule, l *actionList) error {
	for _, a := range l.rest {
		if a.Name == "id" || a.Name == "phase" {
			return fmt.Errorf("%s cannot be changed", a.Name)
		}
		if err := c.action(r, a); err != nil {
			return fmt.Errorf("%s: %w", a.Name, err)
		}
	}
	if l.chain {
		return fmt.Errorf("chain cannot be added")
	}
	action := l.action
	if action != nil && action.Name == "block" {
		action = nil
		if defaults := c.defaults[r.info.Phase]; defaults != nil {
			action = defaults.action
		}
	}
	return c.disrupt(r, action, l.status)
}
