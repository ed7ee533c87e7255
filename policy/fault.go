package policy

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// Fault is a mistake in a policy that only trying its parts brings to light: a file that cannot be read, a condition that
// does not compile. It names the place in the policy; Policy.Locate finds that place in the file.
type Fault struct {
	// Path is the place in the policy, as Problem.Path has it.
	Path string
	// Line and Column say where in the text at Path the mistake is, from 1, the column in characters. Both are 0 when
	// it is the value as a whole.
	Line, Column int
	// Msg says what is wrong where the place stands beside it; "" for what Err says.
	Msg string
	// Err is the mistake as it is said where nobody knows the file.
	Err error
}

// Error says what is wrong, without the place.
func (f *Fault) Error() string { return f.Err.Error() }

// Unwrap gives the mistake without its place.
func (f *Fault) Unwrap() error { return f.Err }

// At says where in the policy the mistakes are that err joins. Those that are Faults already lie below path: their paths
// are taken to begin there. It returns nil when err is nil.
func At(path string, err error) error { return Of("", path, err) }

// Of is At for the mistakes of something that has a name, such as `site "shop"`. The name is said where the place is not.
func Of(name, path string, err error) error {
	var errs []error
	for _, e := range parts(err) {
		below := &Fault{Path: path, Msg: e.Error(), Err: e}
		if f, ok := e.(*Fault); ok {
			*below = *f
			below.Path = path + "." + f.Path
			if f.Path == "" || strings.HasPrefix(f.Path, "[") {
				below.Path = path + f.Path
			}
		}
		if name != "" {
			below.Err = fmt.Errorf("%s: %w", name, below.Err)
		}
		errs = append(errs, below)
	}
	return errors.Join(errs...)
}

// Item is the path of the i-th entry of the list at path.
func Item(path string, i int) string { return itemPath(path, i) }

// parts takes errors.Join apart.
func parts(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, parts(e)...)
	}
	return all
}

// Locate turns the mistakes that err joins into one *Errors with their places in the policy's file. A policy that was not
// read from a file has only the paths. It returns nil when err is nil.
func (p *Policy) Locate(err error) error {
	if err == nil {
		return nil
	}
	w := p.written
	if w == nil {
		w = new(written)
	}
	r := newReport(w.file, w.source)
	c := checker{report: r, marks: w.marks}
	for _, e := range parts(err) {
		switch e := e.(type) {
		case *Errors:
			r.problems = append(r.problems, e.Problems...)
			r.more += e.More
		case *Fault:
			msg := e.Error()
			if e.Msg != "" && w.source != nil {
				msg = strings.TrimPrefix(e.Msg, e.Path+": ")
				msg = strings.TrimPrefix(msg, e.Path[strings.LastIndexByte(e.Path, '.')+1:]+": ")
			}
			at := c.place(e.Path)
			if n := w.marks[e.Path]; n != nil && e.Line > 0 {
				at = w.source.inside(n, e.Line, e.Column)
			}
			r.add(at, e.Path, msg, "")
		default:
			r.add(pos{}, "", e.Error(), "")
		}
	}
	return r.err()
}

// written is where a policy came from.
type written struct {
	file   string
	source *source
	marks  map[string]*node
}

// inside finds a line and column of a text value in the file. It walks along both, past what only the file has: a quote
// or the mark of a block, indentation, escapes and folded line ends. Where it loses the way, the value's own place has
// to do.
func (s *source) inside(n *node, line, column int) pos {
	text, want := []rune(n.text), 0
	for rest := line - 1; rest > 0 && want < len(text); want++ {
		if text[want] == '\n' {
			rest--
		}
	}
	want += column - 1
	w, ok := s.walker(n.at)
	for i := 0; ok && i < len(text); i++ {
		if i == want {
			w.skip(unicode.IsSpace(text[i]))
			return w.at
		}
		if !unicode.IsSpace(text[i]) {
			w.skip(false)
			ok = w.pass(text[i])
		}
	}
	if !ok {
		return n.at
	}
	return w.at
}

// walker goes through the characters of a file.
type walker struct {
	rest  []rune
	at    pos
	quote rune // what the value is quoted by, 0 for nothing
}

// walker returns one that stands where the text of the value at a place begins.
func (s *source) walker(at pos) (*walker, bool) {
	if at.line < 1 || at.line > len(s.lines) {
		return nil, false
	}
	w := &walker{rest: []rune(s.text[s.lines[at.line-1]:]), at: pos{at.line, 1}}
	for w.at.column < at.column && w.pass(0) {
	}
	if len(w.rest) == 0 {
		return nil, false
	}
	switch first := w.rest[0]; first {
	case '\'', '"':
		w.quote = first
		w.pass(0)
	case '|', '>':
		for w.at.line == at.line && w.pass(0) {
		}
	}
	return w, true
}

// skip passes what stands before the next character of the text: white space, unless the text has some itself, and what
// escapes the character.
func (w *walker) skip(space bool) {
	for !space && len(w.rest) > 0 && unicode.IsSpace(w.rest[0]) {
		w.pass(0)
	}
	if len(w.rest) > 1 && (w.quote == '"' && w.rest[0] == '\\' || w.quote == '\'' && w.rest[0] == '\'' && w.rest[1] == '\'') {
		w.pass(0)
	}
}

// pass goes on by one character, which must be c unless c is 0.
func (w *walker) pass(c rune) bool {
	if len(w.rest) == 0 || c != 0 && w.rest[0] != c {
		return false
	}
	if w.at.column++; w.rest[0] == '\n' {
		w.at = pos{w.at.line + 1, 1}
	}
	w.rest = w.rest[1:]
	return true
}
