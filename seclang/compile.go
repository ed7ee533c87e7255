package seclang

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"stormdoor/seclang/internal/clean"
	"stormdoor/seclang/internal/parse"
)

// compiler turns directives into a rule set.
type compiler struct {
	fsys     fs.FS
	settings settings
	notes    []Note
	tx       txNames
	heads    []head
	byID     map[int]*rule
	open     *rule // the last link of a chain that wants another
	defaults [6]*actionList
	shared   shared
	beside   *Ruleset
	late     []func() error // checks that need all rules
	errs     []error
}

// cleanValues is how many clean values a rule set remembers, in at most 0.7 MiB.
const cleanValues = 2048

// compile makes a rule set of directives. plain is the slow, obvious twin of what is used: nothing is worked out before,
// and every rule looks at all its values.
func compile(fsys fs.FS, directives []parse.Directive, beside *Ruleset, plain bool) (*Ruleset, error) {
	c := &compiler{
		fsys: fsys, settings: defaultSettings(), tx: newTXNames(),
		byID: map[int]*rule{}, shared: shared{operators: map[operatorKey]sharedOperator{}}, beside: beside,
	}
	for i := range directives {
		d := &directives[i]
		if err := c.directive(d); err != nil {
			c.errs = append(c.errs, parse.Errorf(d.Pos, "%s: %w", d.Name, err))
		}
	}
	if c.open != nil {
		c.errs = append(c.errs, parse.Errorf(pos(c.open.info), "SecRule: the chain ends without the rule that it asks for"))
	}
	for _, check := range c.late {
		if err := check(); err != nil {
			c.errs = append(c.errs, err)
		}
	}
	if len(c.errs) > 0 {
		return nil, errors.Join(c.errs...)
	}
	r := &Ruleset{settings: c.settings, notes: c.notes, clean: clean.New(cleanValues), shared: c.shared, program: program{heads: c.heads, tx: c.tx}}
	for i := range c.heads {
		if h := c.heads[i].rule; h != nil {
			r.program.infos = append(r.program.infos, h.info)
		}
	}
	if plain {
		r.program.planPlainly()
		r.alike.never = true
		return r, nil
	}
	if err := r.program.plan(r, beside); err != nil {
		return nil, err
	}
	r.warm()
	return r, nil
}

// addRule is SecRule and SecAction.
func (c *compiler) addRule(d *parse.Directive) error {
	parent := c.open
	c.open = nil
	r := &rule{info: &Rule{File: d.Pos.File, Line: d.Pos.Line, Phase: 2, Severity: NoSeverity}}
	r.head = r
	own := sortActions(d.Rule.Actions)
	if parent != nil {
		if own.action != nil {
			return fmt.Errorf("%s: only the first rule of a chain may have a disruptive action", own.action.Name)
		}
		r.head = parent.head
	}
	if err := c.apply(r, own); err != nil {
		return err
	}
	for i := range d.Rule.Targets {
		if err := c.addTarget(r, d.Rule.Targets[i]); err != nil {
			return err
		}
	}
	if len(d.Rule.Targets) > 0 {
		if err := c.setTest(r, d); err != nil {
			return err
		}
	}
	if err := c.add(r, parent); err != nil {
		return err
	}
	if own.chain {
		c.open = r
	}
	return nil
}

// add puts a rule at the end of the set, or of the chain that waits for it.
func (c *compiler) add(r, parent *rule) error {
	if parent != nil {
		parent.next = r
		return nil
	}
	if id := r.info.ID; id > 0 {
		if other := c.byID[id]; other != nil {
			return fmt.Errorf("the id %d is taken by the rule at %s", id, pos(other.info))
		}
		c.byID[id] = r
	}
	c.heads = append(c.heads, head{rule: r})
	return nil
}

func (c *compiler) addMarker(d *parse.Directive) error {
	if d.Args == "" {
		return errors.New("want a name")
	}
	c.heads = append(c.heads, head{marker: d.Args})
	return nil
}

// addTarget adds a target, or an exception to the targets of the same variable that stand before it.
func (c *compiler) addTarget(r *rule, p parse.Target) error {
	v, err := lookUp(p.Variable)
	if err != nil {
		return err
	}
	if p.Selector != "" && !v.selectable() {
		return fmt.Errorf("%s has no keys, but %q is asked for", v.name, p.Selector)
	}
	if p.Exclude {
		e, err := exceptionOf(p.Selector, p.Regexp)
		if err != nil {
			return fmt.Errorf("%s: %w", v.name, err)
		}
		for i := range r.targets {
			if r.targets[i].v == v {
				r.targets[i].except = append(slices.Clip(r.targets[i].except), e)
			}
		}
		return nil
	}
	g := target{v: v, key: p.Selector, count: p.Count}
	if p.Regexp {
		g.key = ""
		if g.re, err = keyExpression(v, p.Selector); err != nil {
			return err
		}
		g.prefix, g.whole = prefixOf(g.re.String())
	} else if !v.exact {
		g.key = strings.ToLower(p.Selector)
	}
	if v.tx && g.key != "" {
		g.slot = c.tx.slotOf(g.key)
	}
	if v.tx && g.key == "" && !p.Exclude {
		c.late = append(c.late, c.slotsFor(r, len(r.targets)))
	}
	if v.rule && (g.key == "" || g.re != nil) {
		return errors.New("RULE: want the name of a property, such as RULE:id")
	}
	r.targets = append(r.targets, g)
	return nil
}

// slotsFor works out, when all names are known, which slots a target is about that has no plain key.
func (c *compiler) slotsFor(r *rule, target int) func() error {
	return func() error {
		g := &r.targets[target]
		for i, name := range c.tx.names {
			if g.takes(name) {
				g.slots = append(g.slots, slot(i))
			}
		}
		return nil
	}
}

// setTest compiles a rule's operator. Rules with the same operator share it.
func (c *compiler) setTest(r *rule, d *parse.Directive) (err error) {
	o := d.Rule.Operator
	r.negated, r.operator = o.Negated, "@"+o.Name
	if o.Negated {
		r.operator = "!" + r.operator
	}
	if r.argument, err = c.macroOf(o.Argument); err != nil || r.argument.constant() {
		r.argument = macro{source: o.Argument, tokens: textTokens(o.Argument)}
		err = nil
	}
	if compare, ok := comparisons[strings.ToLower(o.Name)]; ok {
		r.test.compare = compare
		return nil
	}
	r.test.op, err = c.operator(o, d.Pos)
	return err
}

func textTokens(s string) []token {
	if s == "" {
		return nil
	}
	return []token{{text: s}}
}

func atoi(what, s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, fmt.Errorf("%s: %q is no number", what, s)
	}
	return n, nil
}
