package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxProblems bounds how many problems one Errors holds; the rest is only counted.
const maxProblems = 100

// Problem is one mistake in a policy.
type Problem struct {
	// File is the name that was given to Load or Parse, "" for a policy that was not read from a file.
	File string
	// Line and Column count from 1, in characters; 0 when the place is not known.
	Line, Column int
	// Path is the place in the policy, such as "sites[0].origins[1].url"; "" for the file as a whole.
	Path string
	// Msg says what is wrong, Hint what to do about it; Hint may be "".
	Msg, Hint string
	// Excerpt is the line of the file and a caret under the place, two lines without a final newline; "" for none.
	Excerpt string
}

// String returns the problem as a compiler would write it: place, path, what is wrong, what to do, and the excerpt.
func (p Problem) String() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
		}
		b.WriteString(": ")
	}
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Msg)
	if p.Hint != "" {
		b.WriteString("; " + p.Hint)
	}
	if p.Excerpt != "" {
		b.WriteString("\n" + p.Excerpt)
	}
	return b.String()
}

// Errors is every mistake that was found in a policy, in the order of the file. It holds at least one.
type Errors struct {
	Problems []Problem
	// More is how many further problems were found and left out.
	More int

	read *Policy
}

// Read is what could be read of the policy all the same, so that its sound parts can be looked at too; nil for nothing. It must
// not be put in force.
func (e *Errors) Read() *Policy { return e.read }

// Has reports whether a problem is in one of the top-level fields.
func (e *Errors) Has(fields ...string) bool {
	return slices.ContainsFunc(e.Problems, func(p Problem) bool {
		for up := p.Path; ; up = parentPath(up) {
			if slices.Contains(fields, up) {
				return true
			}
			if up == "" {
				return false
			}
		}
	})
}

// Error returns the problems, each as Problem.String does, on lines of their own.
func (e *Errors) Error() string {
	lines := make([]string, 0, len(e.Problems)+1)
	for i, p := range e.Problems {
		if i+1 < len(e.Problems) && p.samePlace(e.Problems[i+1]) {
			p.Excerpt = "" // the last of them shows it
		}
		lines = append(lines, p.String())
	}
	if e.More > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", e.More))
	}
	return strings.Join(lines, "\n")
}

func (p Problem) samePlace(q Problem) bool {
	return p.File == q.File && p.Line == q.Line && p.Column == q.Column && p.Path == q.Path
}

// report collects the problems of one policy.
type report struct {
	file     string
	source   *source // nil for a policy that was not read from a file
	problems []Problem
	more     int
	broken   map[string]bool // the paths that have a problem
	inside   map[string]bool // what holds such a path
}

func newReport(file string, src *source) *report {
	return &report{file: file, source: src, broken: map[string]bool{}, inside: map[string]bool{}}
}

func (r *report) add(at pos, path, msg, hint string) {
	r.broken[path] = true
	for up := path; up != ""; {
		up = parentPath(up)
		r.inside[up] = true
	}
	if len(r.problems) == maxProblems {
		r.more++
		return
	}
	p := Problem{File: r.file, Line: at.line, Column: at.column, Path: path, Msg: msg, Hint: hint}
	if r.source != nil && at.line > 0 {
		p.Excerpt = r.source.excerpt(at)
	}
	r.problems = append(r.problems, p)
}

// isBroken reports whether path or something that holds it has a problem already.
func (r *report) isBroken(path string) bool {
	for path != "" {
		if r.broken[path] {
			return true
		}
		path = parentPath(path)
	}
	return false
}

// brokenUnder reports whether something inside of path has a problem.
func (r *report) brokenUnder(path string) bool { return r.inside[path] }

// full reports whether a further problem would only be counted.
func (r *report) full() bool { return len(r.problems) >= maxProblems }

// err returns the *Errors, or nil when there is no problem.
func (r *report) err() error {
	if len(r.problems) == 0 {
		return nil
	}
	return r.errors(nil)
}

// errors returns the *Errors, with what could be read.
func (r *report) errors(read *Policy) *Errors {
	slices.SortStableFunc(r.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return &Errors{Problems: r.problems, More: r.more, read: read}
}

// parentPath returns the path of what holds path: "a[0].b" → "a[0]" → "a" → "".
func parentPath(path string) string {
	return path[:max(strings.LastIndexAny(path, ".["), 0)]
}

// excerptWidth bounds how many characters of a line are shown.
const excerptWidth = 140

// excerpt returns the line of at and a caret under it, with a cut where the line is long.
func (s *source) excerpt(at pos) string {
	if at.line > len(s.lines) {
		return ""
	}
	line := []rune(strings.TrimRight(s.line(at.line), "\r\n"))
	column := min(max(at.column, 1), len(line)+1)
	before, after := "", ""
	if from := column - excerptWidth/2; len(line) > excerptWidth && from > 0 {
		line, column, before = line[from:], column-from, "…"
	}
	if len(line) > excerptWidth {
		line, after = line[:excerptWidth], "…"
	}
	for i, c := range line {
		if !unicode.IsPrint(c) {
			line[i] = ' '
		}
	}
	number := strconv.Itoa(at.line)
	return fmt.Sprintf("%5s | %s%s%s\n      | %s^", number, before, string(line), after,
		strings.Repeat(" ", column-1+utf8.RuneCountInString(before)))
}

// quote puts text from outside into quotes, escaped and cut to a readable length.
func quote(s string) string {
	const longest = 60
	if utf8.RuneCountInString(s) > longest {
		s = string([]rune(s)[:longest]) + "…"
	}
	return strconv.Quote(s)
}

// list joins words as a sentence does: "a", "a or b", "a, b or c".
func list(words []string, last string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	end := len(words) - 1
	return strings.Join(words[:end], ", ") + " " + last + " " + words[end]
}
