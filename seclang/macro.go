package seclang

import (
	"fmt"
	"strings"
)

// macro is a text with %{VARIABLE.key} in it.
type macro struct {
	source string
	tokens []token
}

// token is a piece of a macro: text, or a variable (then text is what stands for it if it has no value).
type token struct {
	text string
	v    *variable
	key  string
	slot slot // of TX
}

// macroOf compiles s. An empty s is a macro that expands to nothing.
func (c *compiler) macroOf(s string) (macro, error) {
	m := macro{source: s}
	for rest := s; rest != ""; {
		before, after, found := strings.Cut(rest, "%{")
		if before != "" {
			m.tokens = append(m.tokens, token{text: before})
		}
		if !found {
			break
		}
		name, after, closed := strings.Cut(after, "}")
		if !closed {
			return m, fmt.Errorf("%q: a %%{ is not closed", s)
		}
		tok := token{text: name}
		variableName, key, _ := strings.Cut(name, ".")
		v, err := lookUp(strings.ToUpper(variableName))
		switch {
		case err != nil && isMultipartFlag(variableName):
			m.tokens = append(m.tokens, token{text: "0"})
			rest = after
			continue
		case err != nil:
			return m, fmt.Errorf("%q: %w", s, err)
		}
		tok.v, tok.key = v, strings.ToLower(key)
		if v.tx {
			tok.slot = c.tx.slotOf(tok.key)
		}
		m.tokens = append(m.tokens, tok)
		rest = after
	}
	return m, nil
}

// isMultipartFlag reports whether a variable is one of ModSecurity's details about multipart forms that are not told
// apart here. Its recommended configuration puts them all into one message: there they read 0.
func isMultipartFlag(name string) bool {
	name = strings.ToUpper(name)
	_, known := withoutValues[name]
	return known && strings.HasPrefix(name, "MULTIPART_")
}

func lookUp(name string) (*variable, error) {
	if v := variables[name]; v != nil {
		return v, nil
	}
	if why, known := withoutValues[name]; known {
		if why != "" {
			why = ": " + why
		}
		return nil, fmt.Errorf("the variable %s is not supported%s", name, why)
	}
	return nil, fmt.Errorf("there is no variable %s", name)
}

// constant reports whether the macro is plain text.
func (m *macro) constant() bool {
	return len(m.tokens) == 0 || len(m.tokens) == 1 && m.tokens[0].v == nil
}

// expand returns the text with values in place of variables; r is the rule at hand.
func (m *macro) expand(t *Transaction, r *rule) string {
	switch len(m.tokens) {
	case 0:
		return ""
	case 1:
		return m.tokens[0].expand(t, r)
	}
	var parts [16]string
	list := parts[:0]
	for i := range m.tokens {
		list = append(list, m.tokens[i].expand(t, r)) // may itself use the arena
	}
	b := t.arena.free()
	for _, s := range list {
		b = append(b, s...)
	}
	return t.arena.keep(b)
}

func (k *token) expand(t *Transaction, r *rule) string {
	switch v := k.v; {
	case v == nil:
		return k.text
	case v.tx:
		if value := t.tx.get(k.slot); value.kind != unset {
			return t.text(value)
		}
	case v.rule:
		return r.property(t, k.key)
	case v.compute != nil:
		return v.compute(t)
	case v.from != nil:
		for _, c := range v.from {
			for i := range t.fields[c] {
				if f := &t.fields[c][i]; f.folded == k.key {
					if v.names {
						return f.key
					}
					return f.value
				}
			}
		}
	default:
		return t.singles[v.one]
	}
	return k.text
}
