package rule

import (
	"fmt"
	"math"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/operators"
)

// The longest that texts and lists can be, for the estimate of the worst case: what servers commonly accept of a
// request's line, of one field, and of how many fields (nginx: large_client_header_buffers; Apache: LimitRequestLine,
// LimitRequestFieldSize, LimitRequestFields). All values of a list are parts of one head, so an element of the longest
// list has its share of the longest head: what is done for each element then costs what it costs for the whole head.
const (
	longestLine  = 8 << 10
	longestField = 8 << 10
	longestHead  = 64 << 10
	mostFields   = 100
)

// sizes tells cel-go's estimator how long things can be.
type sizes struct{}

// EstimateSize implements cel-go's cost.Estimator.
func (sizes) EstimateSize(n cost.AstNode) *cost.SizeEstimate {
	path := n.Path()
	if len(path) != 1 {
		return nil
	}
	switch path[0] {
	case "path", "path_raw", "script", "query":
		return upTo(longestLine)
	case "user_agent":
		return upTo(longestField)
	case "host":
		return upTo(255)
	case "site", "route":
		return upTo(256)
	case "client", "ja4", "method":
		return upTo(64)
	case "proto":
		return upTo(8)
	case "country":
		return upTo(2)
	}
	return nil
}

// EstimateCallCost implements cel-go's cost.Estimator.
func (sizes) EstimateCallCost(function, overload string, target *cost.AstNode, _ []cost.AstNode) *cost.CallEstimate {
	if overload == "string_lower_ascii" && target != nil {
		size := cost.EstimateSize(sizes{}, *target)
		return cost.NewCallEstimate(size.MultiplyByCostFactor(0.2), &size)
	}
	if function == "client_in" {
		return cost.NewCallEstimate(cost.FixedCostEstimate(10), nil)
	}
	g := getterCalled(function)
	if g == nil {
		return nil
	}
	// A name is compared with the fields' names; cookies and parameters are searched in their texts.
	work := cost.CostEstimate{Min: 1, Max: 10}
	if g.kind != lookHeader {
		work.Max = longestField / 10
	}
	switch g.result {
	case getPresence:
		return cost.NewCallEstimate(work, nil)
	case getAll:
		list := upTo(mostFields)
		list.Elem = upTo(longestHead / mostFields)
		return cost.NewCallEstimate(work, list)
	}
	return cost.NewCallEstimate(work, upTo(longestField))
}

func upTo(n uint64) *cost.SizeEstimate { return &cost.SizeEstimate{Max: n} }

// price returns an error when the rule's worst case is over the budget.
func (l *loader) price(at *blame, checked *cel.Ast) *Error {
	whole := worst(checked.NativeRep(), checked.NativeRep().Expr())
	if whole <= l.budget {
		return nil
	}
	dear, its := dearest(checked.NativeRep())
	msg := fmt.Sprintf("its worst case costs %s units, over the budget of %d", units(whole), l.budget)
	if its < whole {
		msg += fmt.Sprintf("; this part alone costs %s", units(its))
	}
	return at.node(checked.NativeRep(), dear, msg+": "+cheaper(dear))
}

// worst is what an expression may cost in the worst case.
func worst(a *ast.AST, e ast.Expr) uint64 {
	part := ast.NewCheckedAST(ast.NewAST(e, a.SourceInfo()), a.TypeMap(), a.ReferenceMap())
	c, err := cost.Cost(part, sizes{})
	if err != nil {
		return math.MaxUint64
	}
	return c.Max
}

// dearest goes down the dearest branches of the logical operators and returns where they end.
func dearest(a *ast.AST) (ast.Expr, uint64) {
	e := a.Expr()
	for e.Kind() == ast.CallKind {
		call := e.AsCall()
		switch call.FunctionName() {
		case operators.LogicalAnd, operators.LogicalOr, operators.LogicalNot, operators.Conditional:
		default:
			return e, worst(a, e)
		}
		var most uint64
		for _, arg := range call.Args() {
			if c := worst(a, arg); c >= most {
				e, most = arg, c
			}
		}
	}
	return e, worst(a, e)
}

func units(c uint64) string {
	if c == math.MaxUint64 {
		return "boundlessly many"
	}
	return fmt.Sprint(c)
}

// cheaper says what to do about a dear part.
func cheaper(e ast.Expr) string {
	switch {
	case e.Kind() == ast.ComprehensionKind:
		return "do less for each element, or look at the first one only"
	case e.Kind() == ast.CallKind && e.AsCall().FunctionName() == "matches":
		return "use a shorter pattern, or startsWith, endsWith or contains"
	}
	return "split the rule, or do less in it"
}
