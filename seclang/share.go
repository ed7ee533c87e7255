package seclang

import (
	"crypto/sha256"
	"fmt"
	"io/fs"

	"stormdoor/seclang/internal/match"
	"stormdoor/seclang/internal/operator"
	"stormdoor/seclang/internal/parse"
)

// shared is what a rule set may have in common with one that was compiled beside it.
type shared struct {
	operators map[operatorKey]sharedOperator
	sets      []patternSet
}

// mostSets is how many sets of patterns a rule set may have: each further one is another pass over the values that its
// patterns are for. A rule set that would need more begins anew.
const mostSets = 2

type operatorKey struct{ name, argument, dir string }

// sharedOperator is a compiled operator with the files that went into it.
type sharedOperator struct {
	operator operator.Operator
	files    map[string][sha256.Size]byte
}

// patternSet is a set of patterns. A pattern is known by a number in all of a rule set's sets: its bit.
type patternSet struct {
	set  *match.Set
	ids  map[match.Pattern]int // within the set
	word int                   // where the set's bits begin
}

func (s *patternSet) words() int { return (s.set.Len() + 63) / 64 }

// operator compiles an operator, or takes that of a rule or rule set which has the same.
func (c *compiler) operator(o parse.Operator, at parse.Pos) (operator.Operator, error) {
	key := operatorKey{o.Name, o.Argument, parse.Beside(at.File, ".")}
	if have, ok := c.shared.operators[key]; ok {
		return have.operator, nil
	}
	read := func(name string) ([]byte, error) { return fs.ReadFile(c.fsys, parse.Beside(at.File, name)) }
	if c.beside != nil {
		if have, ok := c.beside.shared.operators[key]; ok && have.current(read) {
			c.shared.operators[key] = have
			return have.operator, nil
		}
	}
	s := sharedOperator{files: map[string][sha256.Size]byte{}}
	op, err := operator.New(o.Name, o.Argument, func(name string) ([]byte, error) {
		data, err := read(name)
		s.files[name] = sha256.Sum256(data)
		return data, err
	})
	if err != nil {
		return nil, err
	}
	s.operator = op
	c.shared.operators[key] = s
	return op, nil
}

// current reports whether the files of the operator are as they were.
func (s *sharedOperator) current(read func(name string) ([]byte, error)) bool {
	for name, sum := range s.files {
		if data, err := read(name); err != nil || sha256.Sum256(data) != sum {
			return false
		}
	}
	return true
}

// patternSets compiles the patterns that no set of the rule set beside has, and returns all sets that are needed.
func patternSets(patterns []match.Pattern, beside *Ruleset) ([]patternSet, error) {
	var sets []patternSet
	missing := patterns
	if beside != nil && len(beside.shared.sets) < mostSets {
		sets = append(sets, beside.shared.sets...)
		missing = nil
		for _, p := range patterns {
			if _, ok := bitOf(sets, p); !ok {
				missing = append(missing, p)
			}
		}
	}
	if len(missing) == 0 && len(sets) > 0 {
		return sets, nil
	}
	own := patternSet{ids: make(map[match.Pattern]int, len(missing)), word: wordsOf(sets)}
	for i, p := range missing {
		own.ids[p] = i
	}
	var err error
	if own.set, err = match.Compile(missing, match.Options{Memory: automataMemory}); err != nil {
		return nil, fmt.Errorf("seclang: %w", err) // operators have checked their expressions
	}
	return append(sets, own), nil
}

// automataMemory is how many bytes the automata of a set of patterns may hold. What a recorded mixture of requests to many kinds of programs
// needs is 20 MiB; with 16 and with 12 such traffic costs a half and two thirds more than with that, and hostile values no more. With 14 the whole
// rule set would take over 24 MiB.
const automataMemory = 12 << 20

// bitOf returns the bit of a pattern.
func bitOf(sets []patternSet, p match.Pattern) (int, bool) {
	for i := range sets {
		if id, ok := sets[i].ids[p]; ok {
			return 64*sets[i].word + id, true
		}
	}
	return 0, false
}

// wordsOf is how many words the bits of the sets take.
func wordsOf(sets []patternSet) int {
	if len(sets) == 0 {
		return 0
	}
	last := &sets[len(sets)-1]
	return last.word + last.words()
}
