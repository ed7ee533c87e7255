package rule

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// celPanic is a panic inside cel-go, which turns it into an error of its own.
type celPanic struct{ cause string }

func (p *celPanic) Error() string { return p.cause }

// slowly evaluates the program by cel-go. It allocates.
func slowly(p cel.Program) func(*scope) (bool, error) {
	return func(s *scope) (bool, error) {
		out, _, err := p.Eval(s)
		if err != nil {
			if cause, ok := strings.CutPrefix(err.Error(), "internal error: "); ok {
				return false, &celPanic{cause}
			}
			return false, err
		}
		b, ok := out.(types.Bool)
		if !ok {
			return false, fmt.Errorf("the result is a %s, not a bool", out.Type().TypeName())
		}
		return bool(b), nil
	}
}

// ResolveName implements cel-go's Activation. Each value is boxed at most once for a request.
func (s *scope) ResolveName(name string) (any, bool) {
	if name == factsName {
		return s, true
	}
	if s.boxed == nil {
		s.boxed = make([]ref.Val, len(Variables))
	}
	for i := range Variables {
		if Variables[i].Name != name {
			continue
		}
		if s.boxed[i] == nil {
			s.boxed[i] = s.box(name)
		}
		return s.boxed[i], true
	}
	return nil, false
}

func (s *scope) box(name string) ref.Val {
	if get := textVariable(name); get != nil {
		return types.String(get(s))
	}
	switch name {
	case "tls":
		return types.Bool(s.f.TLS)
	case "hot":
		return types.Bool(s.f.Hot)
	case "network":
		return types.Int(s.f.Network)
	case "length":
		return types.Int(s.f.Length)
	case "client":
		v, _ := s.find(lookClient, "")
		return types.String(v)
	case "user_agent":
		v, _ := s.find(lookHeader, "user-agent")
		return types.String(v)
	}
	return types.NewErr("there is no variable %s", name)
}

// Parent implements cel-go's Activation.
func (s *scope) Parent() cel.Activation { return nil }

// The rest makes a scope a value of cel-go, which functions take as their receiver. Expressions cannot get at it.

func (s *scope) ConvertToNative(reflect.Type) (any, error) {
	return nil, errors.New("the facts have no native form")
}

func (s *scope) ConvertToType(ref.Type) ref.Val { return types.NewErr("the facts cannot be converted") }

func (s *scope) Equal(other ref.Val) ref.Val { return types.Bool(ref.Val(s) == other) }

func (s *scope) Type() ref.Type { return factsType }

func (s *scope) Value() any { return s }
