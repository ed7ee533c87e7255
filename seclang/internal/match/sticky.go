package match

import "regexp/syntax"

// A part of an expression is sticky if it can go on over almost any text: a repeat of a class as broad as "." or [^;].
// Threads in there do not go away, so in an automaton of many patterns each combination of them is a state of its own,
// and a long text comes to ever new ones. Threads in other parts live for a few runes; even together they make few
// states.

// broadClass is how many of the 95 printable ASCII characters a class takes to be broad.
const broadClass = 48

// shortRepeat is the longest repeat of a broad class that does not make a part sticky.
const shortRepeat = 3

// stick returns re with a mark, an empty capture, in front of each sticky part, and without other captures. It may change
// re.
func stick(re *syntax.Regexp) *syntax.Regexp {
	if re.Op == syntax.OpCapture {
		return stick(re.Sub[0])
	}
	endless := re.Op == syntax.OpStar || re.Op == syntax.OpPlus || re.Op == syntax.OpRepeat && (re.Max < 0 || re.Max > shortRepeat)
	if endless && breadth(re.Sub[0]) >= broadClass {
		mark := &syntax.Regexp{Op: syntax.OpCapture, Cap: 1, Sub: []*syntax.Regexp{{Op: syntax.OpEmptyMatch}}}
		return &syntax.Regexp{Op: syntax.OpConcat, Sub: []*syntax.Regexp{mark, uncapture(re)}}
	}
	for i, sub := range re.Sub {
		re.Sub[i] = stick(sub)
	}
	return re
}

// uncapture returns re without its captures. It may change re.
func uncapture(re *syntax.Regexp) *syntax.Regexp {
	if re.Op == syntax.OpCapture {
		return uncapture(re.Sub[0])
	}
	for i, sub := range re.Sub {
		re.Sub[i] = uncapture(sub)
	}
	return re
}

// breadth returns how many printable ASCII characters re takes where it takes fewest.
func breadth(re *syntax.Regexp) int {
	switch re.Op {
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return '~' - ' ' + 1
	case syntax.OpCharClass:
		n := 0
		for i := 0; i < len(re.Rune); i += 2 {
			n += max(0, int(min(re.Rune[i+1], '~')-max(re.Rune[i], ' '))+1)
		}
		return n
	case syntax.OpLiteral:
		return 1
	case syntax.OpCapture, syntax.OpStar, syntax.OpPlus, syntax.OpQuest, syntax.OpRepeat:
		return breadth(re.Sub[0])
	case syntax.OpAlternate:
		n := 0
		for _, sub := range re.Sub {
			n = max(n, breadth(sub))
		}
		return n
	case syntax.OpConcat:
		n := breadth(re.Sub[0])
		for _, sub := range re.Sub[1:] {
			n = min(n, breadth(sub))
		}
		return n
	}
	return 0
}
