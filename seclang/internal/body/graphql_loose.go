package body

import "bytes"

// The line and paragraph separators, which end a line for some servers of GraphQL and are part of it for others.
const (
	lineSeparator      = "\u2028"
	paragraphSeparator = "\u2029"
)

// Loose reports what a text asks for if it is a document of GraphQL that we do not read as whoever executes it does: by its tokens alone,
// whatever their order. It counts at least what a server can make of it, but for what fragments multiply.
func Loose(text []byte) Operation {
	l := looseReader{text: text, factors: []int{1}}
	for l.at < len(text) {
		l.next()
	}
	return Operation{Type: "query", Depth: l.most, Fields: l.fields, Aliases: l.aliases, Cost: l.cost, Introspection: l.introspection}
}

// Ambiguous reports whether servers of GraphQL end lines in the text at different places.
func Ambiguous(text []byte) bool {
	return bytes.Contains(text, []byte(lineSeparator)) || bytes.Contains(text, []byte(paragraphSeparator))
}

type looseReader struct {
	text                                 []byte
	at                                   int
	depth, most, round                   int
	fields, aliases, cost, introspection int
	length                               int   // of the list that the arguments since the last name ask for
	factors                              []int // by depth, as far as looseDeep
	endless                              bool  // there was a block string without an end
}

// looseDeep is how deep factors are told apart; what is deeper is over every bound.
const looseDeep = 1 << 10

func (l *looseReader) next() {
	rest := l.text[l.at:]
	switch c := rest[0]; {
	case c == '#':
		l.at += lineLength(rest)
	case c == '"':
		l.at += l.stringLength(rest)
	case c == '{':
		l.at++
		l.depth++
		l.most = max(l.most, l.depth)
		if l.depth < looseDeep {
			l.factors = append(l.factors[:min(l.depth, len(l.factors))], times(l.factor(), max(l.length, 1)))
		}
		l.length = 1
	case c == '}':
		l.at++
		l.depth = max(l.depth-1, 0)
	case c == '(':
		l.at++
		l.round++
	case c == ')':
		l.at++
		l.round = max(l.round-1, 0)
	case isNameByte(c) && c > '9':
		n := 1
		for n < len(rest) && isNameByte(rest[n]) {
			n++
		}
		l.at += n
		l.name(view(rest[:n]))
	default:
		l.at++
	}
}

// stringLength is how long a string is. One that does not end is over at the end of its line: whoever reads on does so behind it. Where one
// block string has no end, none behind it has, so that nobody looks for it again.
func (l *looseReader) stringLength(rest []byte) int {
	block := bytes.HasPrefix(rest, []byte(`"""`))
	if block && l.endless {
		return lineLength(rest)
	}
	if n := stringLength(rest); n > 0 {
		return n
	}
	l.endless = l.endless || block
	return lineLength(rest)
}

// factor is how often what is selected here can be in the answer.
func (l *looseReader) factor() int { return l.factors[min(l.depth, len(l.factors)-1)] }

// name counts a name. Inside of brackets it is an argument, or part of a value.
func (l *looseReader) name(name string) {
	behind := bytes.TrimLeft(l.text[l.at:], " \t\r\n,")
	colon := len(behind) > 0 && behind[0] == ':'
	switch {
	case l.round > 0:
		if colon && (name == "first" || name == "last" || name == "limit") {
			behind = bytes.TrimLeft(behind[1:], " \t\r\n,+")
			l.length = max(l.length, listLength(view(behind[:min(len(behind), 12)])))
		}
		return
	case l.depth == 0:
		return
	case colon:
		l.aliases++
		return
	case name == "__schema" || name == "__type":
		l.introspection++
	}
	l.fields++
	l.cost = min(l.cost+l.factor(), costCeiling)
	l.length = 1
}

// lineLength is how far a line goes: to the first end that anybody sees.
func lineLength(s []byte) int {
	n := bytes.IndexAny(s, "\n\r"+lineSeparator+paragraphSeparator)
	if n < 0 {
		n = len(s)
	}
	return max(n, 1)
}
