package openapi

import (
	"regexp/syntax"
	"slices"
	"strings"
)

// Nature is what a document says of a value, beyond whether it is allowed.
type Nature uint8

// What a document says of a value. The zero value: nothing, or that it is a text.
const (
	Undeclared Nature = iota
	Closed            // it is one of a list, or of a form in which there is no attack: a number, a date, a name of letters and digits
	HTML              // a text for a page
	SQL
	Program // of another language
	unfit   // it can only be something else
)

// Place is where in a request a value stands.
type Place uint8

// The places of values.
const (
	AtQuery Place = iota
	AtBody
	AtHeader
	AtCookie
)

// Declared says what the operation declares of a value that was sent somewhere under a name: that of a parameter or of a field of a form, or the
// path of a value in JSON, "json.items.0.name". The value itself is held to what is declared, wherever it really stands.
func (op *Operation) Declared(at Place, name, sent string) Nature {
	n := op.declared(at, name, sent)
	if n == unfit {
		return Undeclared
	}
	return n
}

func (op *Operation) declared(at Place, name, sent string) Nature {
	steps := valueSteps
	if at == AtBody {
		for i := range op.media {
			m := &op.media[i]
			path := []string{name}
			if isJSON(m.name) {
				path = strings.Split(name, ".")[1:]
			}
			if n := m.schema.declared(path, sent, &steps); n != Undeclared && n != unfit && m.read != nil {
				return n
			}
		}
		return Undeclared
	}
	in := map[Place]in{AtQuery: inQuery, AtHeader: inHeader, AtCookie: inCookie}[at]
	for _, p := range op.parameters {
		if p.in != in {
			continue
		}
		if p.name == name || in == inHeader && strings.EqualFold(p.name, name) {
			return p.schema.declaredList(sent, p.separator, &steps)
		}
		if inside, ok := strings.CutPrefix(name, p.name+"["); ok && p.shape == anObject {
			return p.schema.declared([]string{strings.TrimSuffix(inside, "]")}, sent, &steps)
		}
	}
	return Undeclared
}

// declaredList is declared of a value that may be a list of several.
func (s *schema) declaredList(sent, separator string, steps *int) Nature {
	if n := s.declared(nil, sent, steps); n != Undeclared && n != unfit || s.shape(0) != anArray {
		return n
	}
	out := Undeclared
	for each := range strings.SplitSeq(sent, separator) {
		n := s.declared([]string{"0"}, each, steps)
		if n == Undeclared || out != Undeclared && n != out {
			return Undeclared
		}
		out = n
	}
	return out
}

// declared is what a schema says of a value below it. It takes so many steps at most, for schemas may refer to themselves in several ways.
func (s *schema) declared(path []string, sent string, steps *int) Nature {
	if *steps--; s == nil || s.never || *steps < 0 {
		return Undeclared
	}
	if len(path) == 0 {
		if n := s.nature(sent, steps); n != Undeclared {
			return n
		}
	} else if n := s.below(path[0]).declared(path[1:], sent, steps); n != Undeclared {
		return n
	}
	for _, each := range s.all {
		if n := each.declared(path, sent, steps); n != Undeclared {
			return n
		}
	}
	for _, choice := range [][]*schema{s.any, s.one} { // whichever it is
		if len(choice) == 0 {
			continue
		}
		out := unfit
		for _, each := range choice {
			n := each.declared(path, sent, steps)
			if out == unfit {
				out = n
			}
			if n != unfit && n != out {
				out = Undeclared
			}
		}
		if out != Undeclared {
			return out
		}
	}
	return Undeclared
}

// below is the schema of a property or of an item; nil where nothing is said of it.
func (s *schema) below(name string) *schema {
	if p, ok := s.properties[name]; ok {
		return p
	}
	for _, p := range s.patterns {
		if p.pattern.MatchString(name) {
			return p.schema
		}
	}
	if s.items != nil && len(s.prefix) == 0 && strings.Trim(name, "0123456789") == "" {
		return s.items
	}
	return s.additional
}

// valueSteps are those that may be taken for one value.
const valueSteps = 2000

// nature is what a schema says of a value itself.
func (s *schema) nature(sent string, steps *int) Nature {
	if s.isClosed() {
		c := checker{steps: *steps, trying: 1}
		fits := c.check(s, &value{kind: isText, raw: true, text: sent})
		if *steps = c.steps; fits {
			return Closed
		}
		return unfit
	}
	media := mediaType(s.node.str("contentMediaType"))
	switch media {
	case "text/html", "application/xhtml+xml":
		return HTML
	case "application/sql", "text/sql", "text/x-sql":
		return SQL
	case "application/javascript", "text/javascript", "application/x-sh", "application/x-python", "application/x-php", "application/x-powershell":
		return Program
	}
	if strings.HasPrefix(media, "text/x-") && media != "text/x-markdown" {
		return Program
	}
	return Undeclared
}

// isClosed reports whether a schema itself leaves a value no room for anything but what it lists or describes.
func (s *schema) isClosed() bool {
	switch {
	case s.enum != nil:
		return true
	case s.types&(aString|anArray|anObject) == 0 && s.types != 0:
		return true
	case s.types&^(aString|aNull) != 0:
		return false
	case slices.Contains([]string{"uuid", "date", "date-time", "ipv4", "ipv6"}, s.format):
		return true
	}
	return s.pattern != nil && isPlain(s.pattern.String())
}

// isPlain reports whether all that an expression matches are letters, digits, "_" and "-": one word.
func isPlain(pattern string) bool {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return false
	}
	re = re.Simplify()
	return re.Op == syntax.OpConcat && len(re.Sub) > 2 && re.Sub[0].Op == syntax.OpBeginText && re.Sub[len(re.Sub)-1].Op == syntax.OpEndText &&
		!slices.ContainsFunc(re.Sub[1:len(re.Sub)-1], func(r *syntax.Regexp) bool { return !plain(r) })
}

func plain(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpLiteral:
		return !slices.ContainsFunc(re.Rune, func(r rune) bool { return !plainRange(r, r) })
	case syntax.OpCharClass:
		for i := 0; i < len(re.Rune); i += 2 {
			if !plainRange(re.Rune[i], re.Rune[i+1]) {
				return false
			}
		}
		return true
	case syntax.OpEmptyMatch:
		return true
	case syntax.OpCapture, syntax.OpStar, syntax.OpPlus, syntax.OpQuest, syntax.OpRepeat, syntax.OpConcat, syntax.OpAlternate:
		return !slices.ContainsFunc(re.Sub, func(r *syntax.Regexp) bool { return !plain(r) })
	}
	return false
}

// plainRange reports whether all characters of a range are plain. Beyond ASCII, U+017F and U+212A are those that cases fold to.
func plainRange(from, to rune) bool {
	if from == to && (from == 0x17f || from == 0x212a) {
		return true
	}
	for r := from; r <= to; r++ {
		if r >= 0x80 || !(r >= '0' && r <= '9' || r|0x20 >= 'a' && r|0x20 <= 'z' || r == '_' || r == '-') {
			return false
		}
	}
	return true
}
