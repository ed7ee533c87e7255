// Package parse answers: what does this SecLang text say? It turns the files of a rule set into directives with the file
// and the line they stand on, and knows the grammar only: what a directive, an operator or an action means, and whether
// it exists, is for the reader of the tree to say.
package parse

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// Pos is where something is written.
type Pos struct {
	File string
	Line int
}

func (p Pos) String() string { return fmt.Sprintf("%s:%d", p.File, p.Line) }

// Error is a mistake at a place.
type Error struct {
	Pos Pos
	Err error
}

func (e *Error) Error() string { return e.Pos.String() + ": " + e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// Errorf returns an Error at p.
func Errorf(p Pos, format string, args ...any) *Error {
	return &Error{Pos: p, Err: fmt.Errorf(format, args...)}
}

// Directive is one logical line: backslashes at the ends of lines join them.
type Directive struct {
	Pos  Pos
	Name string // as written
	Args string // what follows the name; quotes around the whole are gone
	Rule *Rule  // of SecRule and SecAction, else nil
}

// Is reports whether the directive has the name, whatever its case.
func (d *Directive) Is(name string) bool { return strings.EqualFold(d.Name, name) }

// maxDepth bounds includes within includes.
const maxDepth = 16

// Text reads directives from text and, as it names them in Include, from files of fsys. name stands for the text in
// positions. It goes on after a mistake: the error joins one *Error for each.
func Text(fsys fs.FS, name, text string) ([]Directive, error) {
	r := reader{fsys: fsys}
	r.text(name, text, 0)
	return r.directives, errors.Join(r.errs...)
}

type reader struct {
	fsys       fs.FS
	directives []Directive
	errs       []error
}

func (r *reader) fail(p Pos, format string, args ...any) {
	r.errs = append(r.errs, Errorf(p, format, args...))
}

func (r *reader) text(file, text string, depth int) {
	var joined strings.Builder
	start := Pos{File: file}
	n := 0
	for line := range strings.SplitSeq(text, "\n") {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if joined.Len() == 0 {
			start.Line = n
		}
		if rest, more := strings.CutSuffix(line, `\`); more {
			joined.WriteString(rest)
			continue
		}
		joined.WriteString(line)
		r.line(start, joined.String(), depth)
		joined.Reset()
	}
	if joined.Len() > 0 {
		r.fail(start, "the last line of the file ends in a backslash: the directive is not complete")
	}
}

func (r *reader) line(p Pos, line string, depth int) {
	name, args, _ := strings.Cut(line, " ")
	d := Directive{Pos: p, Name: name, Args: strings.TrimSpace(args)}
	switch {
	case d.Is("Include"), d.Is("IncludeOptional"):
		r.include(d, depth)
		return
	case d.Is("SecRule"):
		rule, err := secRule(d.Args)
		if err != nil {
			r.fail(p, "SecRule: %w", err)
			return
		}
		d.Rule = rule
	case d.Is("SecAction"):
		actions, err := Actions(unquote(d.Args))
		if err != nil {
			r.fail(p, "SecAction: %w", err)
			return
		}
		d.Rule = &Rule{Actions: actions}
	}
	d.Args = unquote(d.Args)
	r.directives = append(r.directives, d)
}

// include reads the files that a directive names: a file or a pattern, beside the file that the directive stands in.
// Paths cannot leave fsys.
func (r *reader) include(d Directive, depth int) {
	name := unquote(d.Args)
	if depth == maxDepth {
		r.fail(d.Pos, "%s %s: includes are more than %d deep: does a file include itself?", d.Name, name, maxDepth)
		return
	}
	pattern := Beside(d.Pos.File, name)
	files := []string{pattern}
	if strings.ContainsAny(name, "*?[") {
		var err error
		if files, err = fs.Glob(r.fsys, pattern); err != nil {
			r.fail(d.Pos, "%s %s: %w", d.Name, name, err)
			return
		}
		if len(files) == 0 && d.Is("Include") {
			r.fail(d.Pos, "%s %s: no file matches", d.Name, name)
		}
	}
	for _, file := range files {
		text, err := fs.ReadFile(r.fsys, file)
		switch {
		case errors.Is(err, fs.ErrNotExist) && d.Is("IncludeOptional"):
		case err != nil:
			r.fail(d.Pos, "%s %s: %w", d.Name, name, err)
		default:
			r.text(file, string(text), depth+1)
		}
	}
}

// Beside returns the path of name seen from file. A path from the root ("/etc/x") is taken from the root of the file
// system at hand.
func Beside(file, name string) string {
	if strings.HasPrefix(name, "/") {
		return path.Clean(strings.TrimLeft(name, "/"))
	}
	return path.Join(path.Dir(file), name)
}

// unquote takes away one pair of quotes around the whole of s.
func unquote(s string) string {
	if len(s) >= 2 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] {
		return s[1 : len(s)-1]
	}
	return s
}
