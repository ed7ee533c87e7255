// Package rule answers "does a rule of the operator match?".
//
// A rule's condition is a CEL expression over the facts of a request. It is parsed, type-checked and priced by cel-go
// when the policy is loaded; what makes up nearly all rules in practice is then compiled to closures, the rest is
// evaluated by cel-go. Both give the same answers, which a fuzz test holds them to.
package rule

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"stormdoor/flow"
	"stormdoor/policy"
)

// DefaultBudget is how much one rule may cost in the worst case, in CEL's cost units. A unit is about the work on ten
// bytes of a string, and at worst some 100 ns (an ambiguous regular expression over a long path), so that the dearest
// rule that loads takes two to three milliseconds on the longest request, and an everyday one some 100 ns on an everyday request.
const DefaultBudget = 25_000

// Options adjust a Stage. The zero value is useful.
type Options struct {
	// Budget is how much one rule may cost in the worst case, in CEL's cost units. 0 stands for DefaultBudget.
	Budget uint64
	// Notice is told once when a rule is put aside because it panicked, and once when a rule on a dry run fails. It is
	// called in a request's goroutine and must not block. Nil drops what it would be told.
	Notice func(rule, message string)
}

// Stage asks the rules of a policy in their order. It is safe for concurrent use. Its work is bounded by the budget of
// each rule.
type Stage struct {
	rules  []compiled
	pool   sync.Pool // of *scope
	notice func(rule, message string)
	aside  atomic.Int64
}

// compiled is one rule, ready to be asked.
type compiled struct {
	name    string
	verdict flow.Verdict
	// when is the condition as closures; it is nil when only cel-go can evaluate the rule, and then slow is not.
	when func(*scope) bool
	slow func(*scope) (bool, error)
	// aside is true once the rule has panicked: it is not asked again.
	aside *atomic.Bool
	// noticed is true once a failure of a rule on a dry run was told.
	noticed *atomic.Bool
}

// New compiles the rules. The error joins one or more *policy.Fault, each of an *Error: all mistakes of all rules, in the
// order of the rules.
func New(rules []policy.Rule, o Options) (*Stage, error) {
	if o.Budget == 0 {
		o.Budget = DefaultBudget
	}
	if o.Notice == nil {
		o.Notice = func(string, string) {}
	}
	s := &Stage{notice: o.Notice}
	if len(rules) == 0 {
		return s, nil
	}
	l, err := newLoader(o.Budget)
	if err != nil {
		return nil, fmt.Errorf("rules: prepare the expression language: %w", err)
	}
	var errs []error
	for i := range rules {
		c, bad := l.load(i, &rules[i])
		for _, e := range bad {
			errs = append(errs, &policy.Fault{Path: policy.Item("rules", i) + e.field(), Line: e.Line, Column: e.Column, Msg: e.Msg, Err: e})
		}
		s.rules = append(s.rules, c)
	}
	if errs != nil {
		return nil, errors.Join(errs...)
	}
	all := l.all
	s.pool.New = func() any { return newScope(all) }
	return s, nil
}

// Name implements flow.Stage.
func (s *Stage) Name() string { return "rules" }

// PutAside is how many rules have panicked and are not asked any more.
func (s *Stage) PutAside() int { return int(s.aside.Load()) }

// Decide implements flow.Stage. The first rule that matches and is not on a dry run decides. When none does, the verdict
// is that of the first rule on a dry run that matched, marked as dry, or the zero Verdict.
//
// A rule that fails is taken not to match, and the rules behind it are still asked, so that no request can switch them
// off. Its failure is the error of the stage when none of them is sure either. Rules on a dry run never cause an error.
func (s *Stage) Decide(_ context.Context, f *flow.Facts) (flow.Verdict, error) {
	if len(s.rules) == 0 {
		return flow.Verdict{}, nil
	}
	sc := s.pool.Get().(*scope)
	sc.f = f
	v, err := s.judge(sc)
	sc.reset()
	s.pool.Put(sc)
	return v, err
}

func (s *Stage) judge(sc *scope) (flow.Verdict, error) {
	var dry flow.Verdict
	var failed error
	for i := 0; i < len(s.rules); i++ {
		hit, err := false, error(nil)
		i, hit, err = s.ask(sc, i)
		switch {
		case err != nil && s.rules[i].verdict.Dry:
			if s.rules[i].noticed.CompareAndSwap(false, true) {
				s.notice(s.rules[i].name, err.Error())
			}
		case err != nil && failed == nil:
			failed = err
		case hit && !s.rules[i].verdict.Dry:
			return s.rules[i].verdict, nil
		case hit && dry.Action == flow.Continue:
			dry = s.rules[i].verdict
		}
	}
	if failed != nil {
		return flow.Verdict{}, failed
	}
	return dry, nil
}

// ask asks the rules from the given one on until one matches, fails or panics, and returns which one that was, or
// len(s.rules) when none did. One deferred call covers all of them, because it costs as much as a short rule.
func (s *Stage) ask(sc *scope, from int) (at int, hit bool, err error) {
	at = from
	defer func() {
		if p := recover(); p != nil {
			hit, err = false, s.panicked(at, p)
		}
	}()
	for ; at < len(s.rules); at++ {
		r := &s.rules[at]
		if r.aside.Load() {
			continue
		}
		if r.when != nil {
			if r.when(sc) {
				return at, true, nil
			}
			continue
		}
		hit, err := r.slow(sc)
		if err != nil {
			return at, false, s.failed(at, err)
		}
		if hit {
			return at, true, nil
		}
	}
	return at, false, nil
}

func (s *Stage) failed(at int, err error) error {
	if p := (*celPanic)(nil); errors.As(err, &p) {
		return s.panicked(at, p.cause)
	}
	return fmt.Errorf("rule %q could not be evaluated: %w", s.rules[at].name, err)
}

// panicked puts a rule aside and returns what the stage says of this request.
func (s *Stage) panicked(at int, p any) error {
	r := &s.rules[at]
	err := fmt.Errorf("rule %q panicked and is put aside: %v", r.name, p)
	if r.aside.CompareAndSwap(false, true) {
		s.aside.Add(1)
		r.noticed.Store(true)
		s.notice(r.name, err.Error())
	}
	return err
}
