package rule

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/env"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// factsName is the hidden variable through which functions see the request. No expression can spell it.
const factsName = "@facts"

// maxPrefixes bounds the prefixes of one client_in, which are searched one after another.
const maxPrefixes = 64

var factsType = cel.OpaqueType("facts")

// standard lists what is taken from CEL's standard library. All of it but the arithmetic is total, so that a rule has
// next to no way to fail on a request.
var standard = [...]string{
	operators.Conditional, operators.LogicalAnd, operators.LogicalOr, operators.LogicalNot, operators.NotStrictlyFalse,
	operators.Equals, operators.NotEquals, operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals,
	operators.Add, operators.Subtract, operators.Negate, operators.In,
	"size", "contains", "endsWith", "startsWith", "matches",
}

// getter is a function of the language that looks something up by a name that is written out.
type getter struct {
	name   string
	kind   lookupKind
	result getterResult
}

type getterResult uint8

const (
	getValue getterResult = iota
	getPresence
	getAll
)

var getters = [...]getter{
	{"header", lookHeader, getValue}, {"has_header", lookHeader, getPresence}, {"headers", lookHeader, getAll},
	{"cookie", lookCookie, getValue}, {"has_cookie", lookCookie, getPresence}, {"cookies", lookCookie, getAll},
	{"query_param", lookQuery, getValue}, {"has_query_param", lookQuery, getPresence}, {"query_params", lookQuery, getAll},
}

// getterCalled returns the getter with the name, or nil.
func getterCalled(name string) *getter {
	for i := range getters {
		if getters[i].name == name {
			return &getters[i]
		}
	}
	return nil
}

// newEnv returns the language. Prefixes that expressions write out are parsed into sets while they are parsed.
func newEnv(sets map[string][]netip.Prefix) (*cel.Env, error) {
	subset := &env.LibrarySubset{ExcludeMacros: []string{"has"}}
	for _, f := range standard {
		subset.IncludeFunctions = append(subset.IncludeFunctions, env.NewFunction(f))
	}
	o := []cel.EnvOption{
		cel.StdLib(cel.StdLibSubset(subset)),
		cel.Variable(factsName, factsType),
		cel.ParserRecursionLimit(64),
		cel.ParserExpressionSizeLimit(16 << 10),
		cel.Function("lowerAscii", cel.MemberOverload("string_lower_ascii", []*cel.Type{cel.StringType}, cel.StringType,
			cel.UnaryBinding(func(v ref.Val) ref.Val { return types.String(lowerASCII(string(v.(types.String)))) }))),
		cel.Function("client_in", cel.MemberOverload("client_in", []*cel.Type{factsType, cel.StringType}, cel.BoolType,
			cel.BinaryBinding(func(f, key ref.Val) ref.Val {
				return types.Bool(f.(*scope).clientIn(sets[string(key.(types.String))]))
			}))),
		cel.Macros(cel.GlobalVarArgMacro("client_in", clientInMacro(sets))),
	}
	celTypes := map[string]*cel.Type{"string": cel.StringType, "int": cel.IntType, "bool": cel.BoolType}
	for _, v := range Variables {
		o = append(o, cel.Variable(v.Name, celTypes[v.Type]))
	}
	for i := range getters {
		g := &getters[i]
		o = append(o, cel.Macros(cel.GlobalVarArgMacro(g.name, getterMacro(g))),
			cel.Function(g.name, cel.MemberOverload(g.name, []*cel.Type{factsType, cel.StringType}, g.celType(), cel.BinaryBinding(g.call))))
	}
	return cel.NewCustomEnv(o...)
}

func (g *getter) celType() *cel.Type {
	switch g.result {
	case getPresence:
		return cel.BoolType
	case getAll:
		return cel.ListType(cel.StringType)
	}
	return cel.StringType
}

// call evaluates the getter for cel-go.
func (g *getter) call(f, name ref.Val) ref.Val {
	s, n := f.(*scope), string(name.(types.String))
	if g.result == getAll {
		all := []string{}
		s.each(g.kind)(n, func(v string) bool {
			all = append(all, v)
			return true
		})
		return types.NewStringList(types.DefaultTypeAdapter, all)
	}
	v, ok := s.find(g.kind, n)
	if g.result == getPresence {
		return types.Bool(ok)
	}
	return types.String(v)
}

func (s *scope) each(kind lookupKind) func(string, func(string) bool) {
	switch kind {
	case lookCookie:
		return s.cookies
	case lookQuery:
		return s.queryParams
	}
	return s.headers
}

// token is what a header field or a cookie may be called (RFC 9110, section 5.6.2).
var token = regexp.MustCompile("^[-!#$%&'*+.^_`|~0-9A-Za-z]+$")

// getterMacro turns header('x') into @facts.header('x') and sees to it that the name is written out.
func getterMacro(g *getter) cel.MacroFactory {
	return func(h cel.MacroExprFactory, _ ast.Expr, args []ast.Expr) (ast.Expr, *cel.Error) {
		if len(args) != 1 {
			return nil, h.NewError(0, fmt.Sprintf("%s takes one name in quotes, as in %s('name')", g.name, g.name))
		}
		name, ok := literalString(args[0])
		if !ok {
			return nil, h.NewError(args[0].ID(), fmt.Sprintf("%s needs a name in quotes, as in %s('name')", g.name, g.name))
		}
		if g.kind != lookQuery && !token.MatchString(name) {
			return nil, h.NewError(args[0].ID(), fmt.Sprintf("nothing is ever called %q: names are made of letters, digits and -_.", name))
		}
		if g.kind == lookHeader {
			name = lowerASCII(name)
		}
		return h.NewMemberCall(g.name, h.NewIdent(factsName), h.NewLiteral(types.String(name))), nil
	}
}

// clientInMacro parses the prefixes and leaves a key into sets in the expression.
func clientInMacro(sets map[string][]netip.Prefix) cel.MacroFactory {
	return func(h cel.MacroExprFactory, _ ast.Expr, args []ast.Expr) (ast.Expr, *cel.Error) {
		if len(args) == 0 || len(args) > maxPrefixes {
			return nil, h.NewError(0, fmt.Sprintf("client_in takes 1 to %d prefixes in quotes; for more use a list", maxPrefixes))
		}
		var set []netip.Prefix
		for _, a := range args {
			text, ok := literalString(a)
			if !ok {
				return nil, h.NewError(a.ID(), "client_in needs prefixes in quotes, as in client_in('10.0.0.0/8', '2001:db8::/32')")
			}
			p, err := parsePrefix(text)
			if err != nil {
				return nil, h.NewError(a.ID(), err.Error())
			}
			set = append(set, p)
		}
		key := fmt.Sprint(set)
		sets[key] = set
		return h.NewMemberCall("client_in", h.NewIdent(factsName), h.NewLiteral(types.String(key))), nil
	}
}

// parsePrefix reads an address or a prefix. An address stands for itself only.
func parsePrefix(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil || p.Addr().Is4In6() {
		return p, fmt.Errorf("%q is neither an address nor a prefix such as 10.0.0.0/8 or 2001:db8::/32", text)
	}
	if m := p.Masked(); m != p {
		return p, fmt.Errorf("%q has bits behind its mask: write '%s'", text, m)
	}
	return p, nil
}

func literalString(e ast.Expr) (string, bool) {
	if e.Kind() != ast.LiteralKind {
		return "", false
	}
	s, ok := e.AsLiteral().(types.String)
	return string(s), ok
}

// operatorNames turns cel-go's names of operators into what an operator types.
var operatorNames = strings.NewReplacer("'_==_'", "==", "'_!=_'", "!=", "'_<_'", "<", "'_<=_'", "<=", "'_>_'", ">", "'_>=_'", ">=",
	"'_&&_'", "&&", "'_||_'", "||", "'!_'", "!", "'_+_'", "+", "'_-_'", "-", "'-_'", "-", "'_?_:_'", "?:", "'@in'", "in",
	"'_[_]'", "[]", "'_*_'", "*", "'_/_'", "/", "'_%_'", "%", "facts.(string)", "(string)", " (in container '')", "")
