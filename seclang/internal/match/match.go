// Package match answers one question: which of these patterns does a value match? It answers for all patterns in one
// pass over the value.
//
// Patterns are Go regular expressions, and the answers are those of [regexp.Regexp.MatchString]. A [Set] holds the
// compiled patterns; a [Matcher] answers for some of them. Both may be used by many goroutines at once. Matchers build
// their automata while they scan, within bounds: of states that a scan may build, and of states that are kept. Where a
// bound is reached a scan goes on with slower means, so its time stays linear in the value's length, whatever the value.
package match

import (
	"cmp"
	"fmt"
	"regexp/syntax"
	"slices"
	"sync"
	"unicode"
	"unicode/utf8"
)

// Pattern is one expression to look for.
type Pattern struct {
	// Expr is the expression in Go's syntax, with its flags, such as "(?sm)".
	Expr string
	// Raw reads values as Latin-1, a rune a byte, as expressions about bytes such as \xc0 need it. Otherwise values are
	// UTF-8, and a byte that is not reads as U+FFFD.
	Raw bool
	// Superset allows hits on values that do not match, for a caller that checks every hit. It makes expressions with
	// large counted repeats much cheaper.
	Superset bool
}

// Options bounds what the matchers of a set take. The zero value is what to use.
type Options struct {
	// Memory is how many bytes all automata may hold; 0 means 16 MiB. What matchers keep for good is theirs in any case.
	Memory int
	// States is how many states one automaton may hold; 0 means 8192.
	States int
}

// Set holds compiled patterns. Many goroutines may use it at once.
type Set struct {
	size   int
	raw    Bits     // the patterns that read bytes, and for which that matters
	text   *program // all patterns; raw ones in it take ASCII only
	bytes  *program // those of raw, over bytes
	quick  *memory  // of the automata that scan quickly
	steady *memory  // of all others

	mu       sync.Mutex
	matchers map[string]*Matcher // by the patterns asked for
}

// Compile prepares the patterns. Matchers and hits name them by their index. The error names the first expression that
// is not one.
func Compile(patterns []Pattern, options Options) (*Set, error) {
	s := &Set{size: len(patterns), raw: NewBits(len(patterns)), matchers: map[string]*Matcher{}}
	limit, rows := cmp.Or(options.Memory, 16<<20), max(cmp.Or(options.States, 8192), rowsFirst)
	s.quick = &memory{limit: int64(limit / 4), rows: rows}
	s.steady = &memory{limit: int64(limit - limit/4), rows: rows}
	if len(patterns) > maxPatterns {
		return nil, fmt.Errorf("%d patterns are more than %d", len(patterns), maxPatterns)
	}
	text, bytes := newCompiler(unicode.MaxRune), newCompiler(unicode.MaxLatin1)
	for i, p := range patterns {
		re, err := syntax.Parse(p.Expr, syntax.Perl)
		if err != nil {
			return nil, fmt.Errorf("pattern %d: %w", i, err)
		}
		if p.Superset {
			relax(re)
		}
		re = stick(re).Simplify()
		top := rune(unicode.MaxRune)
		if p.Raw {
			top = utf8.RuneSelf - 1
		}
		if p.Raw && high(re) {
			s.raw.Set(i)
			err = bytes.add(re, unicode.MaxLatin1)
		} else {
			bytes.skip()
		}
		if err == nil {
			err = text.add(re, top)
		}
		if err != nil {
			return nil, fmt.Errorf("pattern %d: %w", i, err)
		}
	}
	s.text, s.bytes = text.finish(), bytes.finish()
	return s, nil
}

// Len returns the number of patterns.
func (s *Set) Len() int { return s.size }

// Hits returns an empty set for the hits of any matcher of s.
func (s *Set) Hits() Bits { return NewBits(s.size) }

// high reports whether re can take a rune from U+0080 to U+00FF, or look at what such a rune lies between. What cannot finds the
// same in bytes and in UTF-8, if it takes ASCII only.
func high(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL, syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return true
	case syntax.OpLiteral:
		for _, r := range re.Rune {
			if r >= utf8.RuneSelf {
				return true
			}
		}
	case syntax.OpCharClass:
		for i := 0; i < len(re.Rune); i += 2 {
			if re.Rune[i] <= unicode.MaxLatin1 && re.Rune[i+1] >= utf8.RuneSelf {
				return true
			}
		}
	}
	return slices.ContainsFunc(re.Sub, high)
}

// maxCount is the largest count of a repeat that relax leaves alone.
const maxCount = 8

// relax takes the upper bound off large counted repeats, and lowers large lower ones: what matched before still does.
func relax(re *syntax.Regexp) {
	if re.Op == syntax.OpRepeat {
		if re.Max > maxCount {
			re.Max = -1
		}
		if re.Min > maxCount {
			re.Min, re.Max = maxCount, -1
		}
	}
	for _, sub := range re.Sub {
		relax(sub)
	}
}
