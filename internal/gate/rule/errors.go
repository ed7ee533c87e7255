package rule

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
)

// Error is one mistake in one rule.
type Error struct {
	// Rule is the rule's name, Index its place in the policy, from 0.
	Rule  string
	Index int
	// Line and Column say where in the expression the mistake is, from 1, the column in characters. Both are 0 when the
	// mistake is not in the expression.
	Line, Column int
	// Msg says what is wrong and what to do.
	Msg string
	// Excerpt is the line of the expression and, below it, a caret under the column; "" without a position.
	Excerpt string
}

// Error returns the mistake with its rule, position and excerpt.
func (e *Error) Error() string {
	name := fmt.Sprintf("rule %q", e.Rule)
	if e.Rule == "" {
		name = fmt.Sprintf("rule number %d", e.Index+1)
	}
	if e.Line == 0 {
		return name + ": " + e.Msg
	}
	return fmt.Sprintf("%s, line %d, column %d of its condition: %s\n%s", name, e.Line, e.Column, e.Msg, e.Excerpt)
}

// field is where in the rule the mistake is, as it continues the rule's path.
func (e *Error) field() string {
	if e.Line > 0 {
		return ".when"
	}
	return ""
}

// blame makes the errors of one rule.
type blame struct {
	rule  string
	index int
	when  string
}

func (b *blame) whole(msg string) *Error { return &Error{Rule: b.rule, Index: b.index, Msg: msg} }

// at makes an error for a position; line and column count from 1.
func (b *blame) at(line, column int, msg string) *Error {
	return &Error{Rule: b.rule, Index: b.index, Line: line, Column: column, Msg: msg, Excerpt: excerpt(b.when, line, column)}
}

// node makes an error for a part of the expression.
func (b *blame) node(a *ast.AST, e ast.Expr, msg string) *Error {
	loc := a.SourceInfo().GetStartLocation(leftmost(e))
	if loc.Line() < 1 {
		return b.at(1, 1, msg)
	}
	return b.at(loc.Line(), loc.Column()+1, msg)
}

// maxExcerpt is how many characters of a line an excerpt shows.
const maxExcerpt = 100

// excerpt shows a line with a caret under the column, and of a long line what stands around the column.
func excerpt(text string, line, column int) string {
	lines := strings.Split(text, "\n")
	if line < 1 || line > len(lines) {
		return ""
	}
	r := []rune(strings.TrimSuffix(lines[line-1], "\r"))
	at := min(max(column-1, 0), len(r))
	from := max(0, at-maxExcerpt/2)
	to := min(len(r), from+maxExcerpt)
	for i := range r {
		if r[i] < ' ' {
			r[i] = ' '
		}
	}
	return "  " + string(r[from:to]) + "\n  " + strings.Repeat(" ", at-from) + "^"
}

// maxIssues is how many mistakes of one expression are said. After a few they are consequences of the first.
const maxIssues = 5

// issues turns what cel-go found into errors.
func (b *blame) issues(list []*cel.Error) (bad []*Error) {
	syntax := false
	for _, i := range list {
		s := strings.HasPrefix(i.Message, "Syntax error")
		if len(bad) == maxIssues || s && syntax {
			continue // one broken place makes the parser stumble over what follows
		}
		syntax = syntax || s
		line, column := i.Location.Line(), i.Location.Column()+1
		if line < 1 {
			line, column = 1, 1
		}
		bad = append(bad, b.at(line, column, b.plain(i.Message, line, column)))
	}
	return bad
}

var (
	undeclared = regexp.MustCompile(`^undeclared reference to '([^']*)'`)
	noField    = regexp.MustCompile(`^type '(.*)' does not support field selection$`)
	noOverload = regexp.MustCompile(`^found no matching overload for (.*) applied to '(.*)'$`)
	expecting  = regexp.MustCompile(`^(?:Syntax error: )?(.*?) expecting .*$`)
)

// plain puts a message of cel-go into an operator's words.
func (b *blame) plain(msg string, line, column int) string {
	msg = operatorNames.Replace(msg)
	if m := undeclared.FindStringSubmatch(msg); m != nil {
		return unknown(m[1])
	}
	if m := noField.FindStringSubmatch(msg); m != nil {
		return fmt.Sprintf("a %s has no fields; functions need parentheses, as in path.startsWith('/x')", m[1])
	}
	if m := noOverload.FindStringSubmatch(msg); m != nil {
		return fmt.Sprintf("%s does not work on %s", strings.Trim(m[1], "'"), strings.TrimPrefix(m[2], "."))
	}
	msg = strings.TrimPrefix(msg, "Syntax error: ")
	if m := expecting.FindStringSubmatch(msg); m != nil {
		msg = m[1]
	}
	msg = strings.NewReplacer("mismatched input '<EOF>'", "something is missing at the end",
		"extraneous input", "unexpected", "mismatched input", "unexpected", "no viable alternative at input", "unexpected",
		"token recognition error at: ", "unexpected ").Replace(msg)
	switch near := b.near(line, column); {
	case strings.HasPrefix(near, "= ") || strings.HasPrefix(near, "='") || strings.HasPrefix(near, "=\""):
		msg += "; to compare write =="
	case strings.HasPrefix(near, "and ") || strings.HasPrefix(near, "& "):
		msg += "; \"and\" is written &&"
	case strings.HasPrefix(near, "or ") || strings.HasPrefix(near, "| "):
		msg += "; \"or\" is written ||"
	}
	return msg
}

// near is the text from a position on.
func (b *blame) near(line, column int) string {
	lines := strings.Split(b.when, "\n")
	if line > len(lines) {
		return ""
	}
	r := []rune(lines[line-1])
	return string(r[min(max(column-1, 0), len(r)):])
}

// unknown says that there is no such name, and which one may have been meant.
func unknown(name string) string {
	if name == "not" {
		return "\"not\" is written !"
	}
	best, distance := "", 1+max(1, utf8.RuneCountInString(name)/3)
	try := func(known string) {
		if d := edits(strings.ToLower(name), strings.ToLower(known)); d < distance {
			best, distance = known, d
		}
	}
	for _, v := range Variables {
		try(v.Name)
	}
	for _, f := range Functions {
		try(f.Name)
	}
	if best == "" {
		return fmt.Sprintf("there is nothing called %q; the manual lists the variables and functions", name)
	}
	return fmt.Sprintf("there is nothing called %q; did you mean %q?", name, best)
}

// edits is the number of characters to insert, delete, replace or swap with a neighbour to turn a into b (the optimal
// string alignment distance).
func edits(a, b string) int {
	x, y := []rune(a), []rune(b)
	rows := make([][]int, len(x)+1)
	for i := range rows {
		rows[i] = make([]int, len(y)+1)
		rows[i][0] = i
	}
	for j := range y {
		rows[0][j+1] = j + 1
	}
	for i := range x {
		for j := range y {
			d := rows[i][j]
			if x[i] != y[j] {
				d++
			}
			d = min(d, rows[i][j+1]+1, rows[i+1][j]+1)
			if i > 0 && j > 0 && x[i] == y[j-1] && x[i-1] == y[j] {
				d = min(d, rows[i-1][j-1]+1)
			}
			rows[i+1][j+1] = d
		}
	}
	return rows[len(x)][len(y)]
}

func blank(s string) bool { return strings.TrimSpace(s) == "" }

// leftmost returns the id of the part of an expression that stands first in the text, where a reader expects the caret;
// cel-go gives the place of an operator to the whole.
func leftmost(e ast.Expr) int64 {
	for e.Kind() == ast.CallKind {
		call := e.AsCall()
		next := call.Target()
		if !call.IsMemberFunction() && len(call.Args()) > 1 && strings.ContainsAny(call.FunctionName(), "_@") {
			next = call.Args()[0]
		}
		if next == nil || next.Kind() == ast.UnspecifiedExprKind || next.Kind() == ast.IdentKind && next.AsIdent() == factsName {
			break
		}
		e = next
	}
	return e.ID()
}
