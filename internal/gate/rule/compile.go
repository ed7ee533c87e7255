package rule

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

// compiler turns checked expressions into closures. Each of its methods returns nil for what it does not know: such a
// rule is evaluated by cel-go as a whole. What it knows cannot fail, so the order of evaluation does not show.
type compiler struct {
	ast *ast.AST
	all *shared
}

type (
	boolOf func(*scope) bool
	textOf func(*scope) string
	intOf  func(*scope) int64
)

// textVariable returns how a variable is read that is a text and needs no lookup, or nil.
func textVariable(name string) textOf {
	switch name {
	case "method":
		return func(s *scope) string { return s.f.Method }
	case "host":
		return func(s *scope) string { return s.f.Host }
	case "path":
		return func(s *scope) string { return s.f.Path.Clean }
	case "path_raw":
		return func(s *scope) string { return s.f.Path.Raw }
	case "script":
		return func(s *scope) string { return s.f.Path.Script }
	case "query":
		return func(s *scope) string { return s.f.Query }
	case "proto":
		return func(s *scope) string { return s.f.Proto.String() }
	case "site":
		return func(s *scope) string { return s.f.Site }
	case "route":
		return func(s *scope) string { return s.f.Route }
	case "country":
		return func(s *scope) string { return s.f.Country }
	case "ja4":
		return func(s *scope) string { return s.f.JA4 }
	}
	return nil
}

// slot returns where the result of a lookup is kept.
func (c *compiler) slot(kind lookupKind, name string, of textOf) int {
	for i := range c.all.lookups {
		if l := &c.all.lookups[i]; l.kind == kind && l.name == name {
			return i
		}
	}
	c.all.lookups = append(c.all.lookups, lookup{kind, name, of})
	return len(c.all.lookups) - 1
}

func (c *compiler) boolean(e ast.Expr) boolOf {
	switch e.Kind() {
	case ast.LiteralKind:
		b, ok := e.AsLiteral().(types.Bool)
		if !ok {
			return nil
		}
		return func(*scope) bool { return bool(b) }
	case ast.IdentKind:
		switch e.AsIdent() {
		case "tls":
			return func(s *scope) bool { return s.f.TLS }
		case "hot":
			return func(s *scope) bool { return s.f.Hot }
		}
	case ast.CallKind:
		return c.call(e.AsCall())
	}
	return nil
}

func (c *compiler) call(call ast.CallExpr) boolOf {
	args := call.Args()
	switch fn := call.FunctionName(); fn {
	case operators.LogicalAnd, operators.LogicalOr:
		return c.logical(fn == operators.LogicalAnd, args)
	case operators.LogicalNot:
		if x := c.boolean(args[0]); x != nil {
			return func(s *scope) bool { return !x(s) }
		}
	case operators.Conditional:
		x, a, b := c.boolean(args[0]), c.boolean(args[1]), c.boolean(args[2])
		if x != nil && a != nil && b != nil {
			return func(s *scope) bool {
				if x(s) {
					return a(s)
				}
				return b(s)
			}
		}
	case operators.Equals, operators.NotEquals, operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals:
		return c.comparison(fn, args[0], args[1])
	case operators.In:
		return c.membership(args[0], args[1])
	case "startsWith", "endsWith", "contains":
		return c.search(fn, call.Target(), args[0])
	case "matches":
		if call.IsMemberFunction() {
			args = []ast.Expr{call.Target(), args[0]}
		}
		return c.matches(args[0], args[1])
	case "client_in":
		key, _ := literalString(args[0])
		set := c.all.sets[key]
		return func(s *scope) bool { return s.clientIn(set) }
	default:
		if g := getterCalled(fn); g != nil && g.result == getPresence {
			name, _ := literalString(args[0])
			slot := c.slot(g.kind, name, nil)
			return func(s *scope) bool { return s.look(slot).ok }
		}
	}
	return nil
}

func (c *compiler) logical(and bool, args []ast.Expr) boolOf {
	var all []boolOf
	for _, a := range args {
		x := c.boolean(a)
		if x == nil {
			return nil
		}
		all = append(all, x)
	}
	if len(all) == 2 {
		a, b := all[0], all[1]
		if and {
			return func(s *scope) bool { return a(s) && b(s) }
		}
		return func(s *scope) bool { return a(s) || b(s) }
	}
	return func(s *scope) bool {
		for _, x := range all {
			if x(s) != and {
				return !and
			}
		}
		return and
	}
}

func (c *compiler) comparison(op string, l, r ast.Expr) boolOf {
	switch c.ast.GetType(l.ID()).Kind() {
	case types.StringKind:
		if x := c.clientEquals(op, l, r); x != nil {
			return x
		}
		if x, y := c.textual(l), c.textual(r); x != nil && y != nil {
			return compare(op, x, y)
		}
	case types.IntKind:
		if x, y := c.integer(l), c.integer(r); x != nil && y != nil {
			return compare(op, x, y)
		}
	case types.BoolKind:
		x, y := c.boolean(l), c.boolean(r)
		if x != nil && y != nil && op == operators.Equals {
			return func(s *scope) bool { return x(s) == y(s) }
		}
		if x != nil && y != nil && op == operators.NotEquals {
			return func(s *scope) bool { return x(s) != y(s) }
		}
	}
	return nil
}

func compare[T string | int64, F ~func(*scope) T](op string, x, y F) boolOf {
	switch op {
	case operators.Equals:
		return func(s *scope) bool { return x(s) == y(s) }
	case operators.NotEquals:
		return func(s *scope) bool { return x(s) != y(s) }
	case operators.Less:
		return func(s *scope) bool { return x(s) < y(s) }
	case operators.LessEquals:
		return func(s *scope) bool { return x(s) <= y(s) }
	case operators.Greater:
		return func(s *scope) bool { return x(s) > y(s) }
	case operators.GreaterEquals:
		return func(s *scope) bool { return x(s) >= y(s) }
	}
	return nil
}

// clientEquals compares addresses rather than their texts, which would have to be made first. It knows only client == or
// != an address in its shortest form.
func (c *compiler) clientEquals(op string, l, r ast.Expr) boolOf {
	if l.Kind() != ast.IdentKind || l.AsIdent() != "client" {
		l, r = r, l
	}
	text, ok := literalString(r)
	if !ok || l.Kind() != ast.IdentKind || l.AsIdent() != "client" || op != operators.Equals && op != operators.NotEquals {
		return nil
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return nil
	}
	equal := op == operators.Equals
	return func(s *scope) bool { return (s.f.Client.Unmap() == a) == equal }
}

// membership compiles "x in [...]" for a list of constants.
func (c *compiler) membership(x, list ast.Expr) boolOf {
	if list.Kind() != ast.ListKind || len(list.AsList().OptionalIndices()) > 0 {
		return nil
	}
	elements := list.AsList().Elements()
	switch c.ast.GetType(x.ID()).Kind() {
	case types.StringKind:
		texts := make([]string, len(elements))
		for i, e := range elements {
			var ok bool
			if texts[i], ok = literalString(e); !ok {
				return nil
			}
		}
		if get := c.textual(x); get != nil {
			return textIn(get, texts)
		}
	case types.IntKind:
		var ints []int64
		for _, e := range elements {
			n, ok := literalInt(e)
			if !ok {
				return nil
			}
			ints = append(ints, n)
		}
		if get := c.integer(x); get != nil {
			return intIn(get, ints)
		}
	}
	return nil
}

func textIn(get textOf, texts []string) boolOf {
	if len(texts) <= 8 {
		return func(s *scope) bool { return slices.Contains(texts, get(s)) }
	}
	set := make(map[string]bool, len(texts))
	for _, t := range texts {
		set[t] = true
	}
	return func(s *scope) bool { return set[get(s)] }
}

func intIn(get intOf, ints []int64) boolOf {
	slices.Sort(ints)
	return func(s *scope) bool {
		_, ok := slices.BinarySearch(ints, get(s))
		return ok
	}
}

func (c *compiler) search(fn string, l, r ast.Expr) boolOf {
	x, y := c.textual(l), c.textual(r)
	if x == nil || y == nil {
		return nil
	}
	part, constant := literalString(r)
	switch {
	case fn == "startsWith" && constant:
		return func(s *scope) bool { return strings.HasPrefix(x(s), part) }
	case fn == "startsWith":
		return func(s *scope) bool { return strings.HasPrefix(x(s), y(s)) }
	case fn == "endsWith" && constant:
		return func(s *scope) bool { return strings.HasSuffix(x(s), part) }
	case fn == "endsWith":
		return func(s *scope) bool { return strings.HasSuffix(x(s), y(s)) }
	case constant:
		return func(s *scope) bool { return strings.Contains(x(s), part) }
	}
	return func(s *scope) bool { return strings.Contains(x(s), y(s)) }
}

func (c *compiler) matches(text, pattern ast.Expr) boolOf {
	p, ok := literalString(pattern)
	x := c.textual(text)
	if !ok || x == nil {
		return nil
	}
	re, err := regexp.Compile(p)
	if err != nil {
		return nil
	}
	return func(s *scope) bool { return re.MatchString(x(s)) }
}

func (c *compiler) textual(e ast.Expr) textOf {
	switch e.Kind() {
	case ast.LiteralKind:
		t, ok := literalString(e)
		if !ok {
			return nil
		}
		return func(*scope) string { return t }
	case ast.IdentKind:
		switch name := e.AsIdent(); name {
		case "client":
			return c.looked(lookClient, "", nil)
		case "user_agent":
			return c.looked(lookHeader, "user-agent", nil)
		default:
			return textVariable(name)
		}
	case ast.CallKind:
		call := e.AsCall()
		if g := getterCalled(call.FunctionName()); g != nil && g.result == getValue {
			name, _ := literalString(call.Args()[0])
			return c.looked(g.kind, name, nil)
		}
		if call.FunctionName() == "lowerAscii" {
			return c.lower(call.Target())
		}
	}
	return nil
}

func (c *compiler) looked(kind lookupKind, name string, of textOf) textOf {
	slot := c.slot(kind, name, of)
	return func(s *scope) string { return s.look(slot).value }
}

// lower keeps the text in lower case for all rules that ask for it.
func (c *compiler) lower(e ast.Expr) textOf {
	x := c.textual(e)
	if x == nil {
		return nil
	}
	switch {
	case e.Kind() == ast.IdentKind:
		return c.looked(lookLower, e.AsIdent(), x)
	case e.Kind() == ast.CallKind && getterCalled(e.AsCall().FunctionName()) != nil:
		name, _ := literalString(e.AsCall().Args()[0])
		return c.looked(lookLower, e.AsCall().FunctionName()+":"+name, x)
	}
	return func(s *scope) string { return lowerASCII(x(s)) }
}

func (c *compiler) integer(e ast.Expr) intOf {
	if n, ok := literalInt(e); ok {
		return func(*scope) int64 { return n }
	}
	switch e.Kind() {
	case ast.IdentKind:
		switch e.AsIdent() {
		case "network":
			return func(s *scope) int64 { return int64(s.f.Network) }
		case "length":
			return func(s *scope) int64 { return s.f.Length }
		}
	case ast.CallKind:
		call := e.AsCall()
		of := call.Target()
		if !call.IsMemberFunction() && len(call.Args()) == 1 {
			of = call.Args()[0]
		}
		if call.FunctionName() == "size" && c.ast.GetType(of.ID()).Kind() == types.StringKind {
			if x := c.textual(of); x != nil {
				return func(s *scope) int64 { return int64(utf8.RuneCountInString(x(s))) }
			}
		}
	}
	return nil
}

func literalInt(e ast.Expr) (int64, bool) {
	if e.Kind() != ast.LiteralKind {
		return 0, false
	}
	n, ok := e.AsLiteral().(types.Int)
	return int64(n), ok
}
