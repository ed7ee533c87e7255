package rule

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"regexp/syntax"
	"sync/atomic"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

	"stormdoor/flow"
	"stormdoor/policy"
)

// loader compiles the rules of one policy.
type loader struct {
	env    *cel.Env
	budget uint64
	all    *shared
}

func newLoader(budget uint64) (*loader, error) {
	sets := map[string][]netip.Prefix{}
	e, err := newEnv(sets)
	if err != nil {
		return nil, err
	}
	return &loader{env: e, budget: budget, all: &shared{sets: sets}}, nil
}

// load compiles one rule, or says everything that is wrong with it.
func (l *loader) load(index int, r *policy.Rule) (compiled, []*Error) {
	c := compiled{name: r.Name, aside: new(atomic.Bool), noticed: new(atomic.Bool)}
	at := blame{rule: r.Name, index: index, when: r.When}
	bad := at.settings(r)
	c.verdict = verdict(r)
	if blank(r.When) {
		return c, append(bad, at.whole("has no condition: say under \"when\" what it matches, or \"true\" for everything"))
	}
	checked, issues := l.env.Compile(r.When)
	if issues.Err() != nil {
		return c, append(bad, at.issues(issues.Errors())...)
	}
	if t := checked.OutputType(); !t.IsExactType(cel.BoolType) {
		return c, append(bad, at.node(checked.NativeRep(), checked.NativeRep().Expr(),
			fmt.Sprintf("the condition is a %s, but it has to be true or false: compare it with something", typeName(t))))
	}
	if found := at.lint(checked.NativeRep()); found != nil {
		return c, append(bad, found...)
	}
	if e := l.price(&at, checked); e != nil {
		return c, append(bad, e)
	}
	c.when = (&compiler{ast: checked.NativeRep(), all: l.all}).boolean(checked.NativeRep().Expr())
	if c.when == nil {
		p, err := l.env.Program(checked, cel.EvalOptions(cel.OptOptimize))
		if err != nil {
			return c, append(bad, at.whole(fmt.Sprintf("cannot be evaluated: %v", err)))
		}
		c.slow = slowly(p)
	}
	return c, bad
}

func verdict(r *policy.Rule) flow.Verdict {
	v := flow.Verdict{Reason: flow.RuleMatch, Rule: r.Name, Dry: r.DryRun}
	switch r.Then {
	case policy.RuleAllows:
		v.Action = flow.Admit
	case policy.RuleRefuses:
		v.Action, v.Status = flow.Refuse, r.Status
		if v.Status == 0 {
			v.Status = 403
		}
	case policy.RuleHangsUp:
		v.Action = flow.Hangup
	}
	return v
}

// settings checks what a rule says beside its condition.
func (b *blame) settings(r *policy.Rule) (bad []*Error) {
	switch r.Then {
	case policy.RuleAllows, policy.RuleRefuses, policy.RuleHangsUp:
	default:
		bad = append(bad, b.whole(fmt.Sprintf("\"then\" is %q, but it has to be allow, refuse or hangup", string(r.Then))))
	}
	if r.Status != 0 && (r.Status < 400 || r.Status > 599) {
		bad = append(bad, b.whole(fmt.Sprintf("the status of a refusal is %d, but it has to be 400 to 599", r.Status)))
	}
	if r.Status != 0 && r.Then != policy.RuleRefuses && r.Then != "" {
		bad = append(bad, b.whole("has a status but refuses nothing: take the status away, or say refuse under \"then\""))
	}
	return bad
}

// lint finds what CEL's types allow and no rule should have: patterns that are broken or only known at run time, and
// comparisons that no request can make true.
func (b *blame) lint(a *ast.AST) (bad []*Error) {
	var walk func(e ast.Expr)
	walk = func(e ast.Expr) {
		if e.Kind() == ast.ComprehensionKind {
			c := e.AsComprehension()
			walk(c.IterRange())
			bad = append(bad, b.patterns(a, c.LoopStep())...)
			return
		}
		if e.Kind() != ast.CallKind {
			return
		}
		call := e.AsCall()
		if call.IsMemberFunction() {
			walk(call.Target())
		}
		for _, arg := range call.Args() {
			walk(arg)
		}
		bad = append(bad, b.pattern(a, call)...)
		bad = append(bad, b.neverEqual(a, call)...)
	}
	walk(a.Expr())
	return bad
}

// patterns checks the patterns below a node.
func (b *blame) patterns(a *ast.AST, below ast.Expr) (bad []*Error) {
	ast.PreOrderVisit(below, ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() == ast.CallKind {
			bad = append(bad, b.pattern(a, e.AsCall())...)
		}
	}))
	return bad
}

func (b *blame) pattern(a *ast.AST, call ast.CallExpr) []*Error {
	if call.FunctionName() != "matches" {
		return nil
	}
	arg := call.Args()[len(call.Args())-1]
	text, ok := literalString(arg)
	if !ok {
		return []*Error{b.node(a, arg, "matches needs a pattern in quotes, so that its cost is known beforehand")}
	}
	_, err := regexp.Compile(text)
	var bad *syntax.Error
	if errors.As(err, &bad) {
		return []*Error{b.node(a, arg, fmt.Sprintf("the pattern is broken: %s: %s (RE2 syntax)", bad.Code, bad.Expr))}
	}
	return nil
}

func (b *blame) neverEqual(a *ast.AST, call ast.CallExpr) (bad []*Error) {
	args := call.Args()
	report := func(variable, constant ast.Expr) {
		text, ok := literalString(constant)
		if !ok || variable.Kind() != ast.IdentKind {
			return
		}
		if why := impossible(variable.AsIdent(), text); why != "" {
			bad = append(bad, b.node(a, constant, why))
		}
	}
	switch call.FunctionName() {
	case operators.Equals, operators.NotEquals:
		report(args[0], args[1])
		report(args[1], args[0])
	case operators.In:
		if args[1].Kind() == ast.ListKind {
			for _, e := range args[1].AsList().Elements() {
				report(args[0], e)
			}
		}
	}
	return bad
}

func typeName(t *types.Type) string {
	switch t.Kind() {
	case types.StringKind:
		return "text"
	case types.IntKind, types.UintKind, types.DoubleKind:
		return "number"
	case types.ListKind:
		return "list"
	}
	return t.String()
}
