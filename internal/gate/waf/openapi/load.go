// Package openapi answers "is a request one that the description of an API knows?", by an OpenAPI document of version 3.0 or
// 3.1: its path, its method, its parameters and its body.
//
// A document is compiled once. What it says that is not checked is listed in its notes, never skipped in silence; what
// cannot be understood is an error with file, line and JSON pointer. Nothing is fetched.
package openapi

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Document is a compiled OpenAPI document. It is immutable and safe for concurrent use.
type Document struct {
	tree       step
	operations []*Operation
	notes      []string
	files      []string
	keys       map[string]bool // names of API keys in the query
}

// Operations are the operations in the order of the document.
func (d *Document) Operations() []*Operation { return d.operations }

// Notes says what of the document is not checked.
func (d *Document) Notes() []string { return d.notes }

// Files are the files that were read.
func (d *Document) Files() []string { return d.files }

// loader compiles a document.
type loader struct {
	doc     *Document
	folder  *os.Root
	dir     string
	files   map[string]*source
	nodes   int
	old     bool // 3.0
	schemas map[*node]*schema
	errs    []error
}

// Load reads and compiles a document. The error joins every mistake, up to a bound.
func Load(file string) (*Document, error) {
	dir := filepath.Dir(file)
	folder, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read: %w", file, err)
	}
	defer folder.Close()
	l := &loader{doc: &Document{keys: map[string]bool{}}, folder: folder, dir: dir, files: map[string]*source{}, schemas: map[*node]*schema{}}
	src, err := l.open(filepath.Base(file))
	if err != nil {
		return nil, err
	}
	l.document(src.root)
	for s := range l.cyclic() {
		l.wrong(s.node, "the schema refers to itself with no property or item in between; give it one")
	}
	if len(l.errs) == 0 {
		for _, s := range l.schemas {
			s.describe()
		}
	}
	if len(l.errs) > maxProblem {
		l.errs = append(l.errs[:maxProblem], fmt.Errorf("and %d more", len(l.errs)-maxProblem))
	}
	if len(l.errs) > 0 {
		return nil, errors.Join(l.errs...)
	}
	return l.doc, nil
}

func (l *loader) wrong(n *node, format string, a ...any) {
	l.errs = append(l.errs, n.mistake(format, a...))
}

// note says what is not checked, once for each place.
func (l *loader) note(n *node, format string, a ...any) {
	text := n.mistake(format, a...).Error()
	if !slices.Contains(l.doc.notes, text) {
		l.doc.notes = append(l.doc.notes, text)
	}
}

// open reads a file of the document's folder.
func (l *loader) open(name string) (*source, error) {
	if src := l.files[name]; src != nil {
		return src, nil
	}
	src := &source{name: filepath.Join(l.dir, name), path: name}
	if len(l.files) == maxFiles {
		return nil, fmt.Errorf("%s: the document refers to more than %d files", src.name, maxFiles)
	}
	f, err := l.folder.Open(filepath.FromSlash(name))
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read: %w; name a file in the folder of the document", src.name, errors.Unwrap(err))
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read: %w", src.name, err)
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("%s is larger than %d MiB, which no document is", src.name, maxFile>>20)
	}
	if src.root, err = read(src, text, &l.nodes); err != nil {
		return nil, err
	}
	l.files[name] = src
	l.doc.files = append(l.doc.files, src.name)
	return src, nil
}

// resolve follows $ref. It returns nil where it has reported why that cannot be.
func (l *loader) resolve(n *node) *node {
	for range 50 {
		ref := n.get("$ref")
		if ref == nil || ref.kind != isText {
			return n
		}
		next, err := l.target(n, ref.text)
		if err != nil {
			l.wrong(ref, "$ref %q: %v", ref.text, err)
			return nil
		}
		n = next
	}
	l.wrong(n, "$ref leads in a circle")
	return nil
}

// target is what a $ref of a node leads to.
func (l *loader) target(n *node, ref string) (*node, error) {
	where, fragment, _ := strings.Cut(ref, "#")
	src := n.file
	if where != "" {
		u, err := url.Parse(where)
		switch {
		case err != nil:
			return nil, err
		case u.Scheme != "" || u.Host != "":
			return nil, errors.New("nothing is fetched; put a copy into the folder of the document")
		}
		name := path.Join(path.Dir(filepath.ToSlash(src.path)), u.Path)
		if !filepath.IsLocal(name) || strings.HasPrefix(u.Path, "/") {
			return nil, errors.New("it leads out of the folder of the document; put the file there")
		}
		if src, err = l.open(name); err != nil {
			return nil, err
		}
	}
	if text, err := url.PathUnescape(fragment); err == nil {
		fragment = text
	}
	return src.root.find(fragment)
}

// document compiles the root of a document.
func (l *loader) document(root *node) {
	version := root.get("openapi")
	switch {
	case root.kind != isObject:
		l.wrong(root, "an OpenAPI document is a mapping, this is %s", root.kind)
		return
	case version == nil && root.get("swagger") != nil:
		l.wrong(root, "this is a document of Swagger 2; convert it to OpenAPI 3")
		return
	case version == nil:
		l.wrong(root, `the document does not say which version of OpenAPI it is; write openapi: "3.1.0"`)
		return
	case strings.HasPrefix(version.text, "3.0."), version.text == "3.0":
		l.old = true
	case strings.HasPrefix(version.text, "3.1."), version.text == "3.1":
	default:
		l.wrong(version, "version %q of OpenAPI is not known here; 3.0 and 3.1 are", version.text)
		return
	}
	if d := root.get("jsonSchemaDialect"); d != nil && !slices.Contains(dialects, strings.TrimSuffix(d.text, "#")) {
		l.wrong(d, "schemas of the dialect %q are not understood; leave the field out for that of OpenAPI 3.1", d.text)
	}
	for _, f := range fieldsOf(root.get("components").get("securitySchemes")) {
		if s := l.resolve(f.value); s.str("type") == "apiKey" && s.str("in") == "query" {
			l.doc.keys[s.str("name")] = true
		}
	}
	paths := root.get("paths")
	if paths == nil || len(paths.fields) == 0 {
		l.wrong(root, "the document describes no path; without paths there is nothing to check")
		return
	}
	bases := l.bases(root.get("servers"), []string{""})
	for _, f := range paths.fields {
		if !strings.HasPrefix(f.key, "x-") {
			l.path(f.key, f.value, bases)
		}
	}
}

var dialects = []string{"https://spec.openapis.org/oas/3.1/dialect/base", "https://json-schema.org/draft/2020-12/schema"}

func fieldsOf(n *node) []entry {
	if n == nil {
		return nil
	}
	return n.fields
}

// bases are the paths of servers, without a slash at their end.
func (l *loader) bases(servers *node, otherwise []string) (out []string) {
	if servers == nil || len(servers.items) == 0 {
		return otherwise
	}
	for _, s := range servers.items {
		at := s.str("url")
		for _, v := range fieldsOf(s.get("variables")) {
			at = strings.ReplaceAll(at, "{"+v.key+"}", v.value.str("default"))
		}
		u, err := url.Parse(at)
		switch {
		case err != nil || strings.ContainsAny(at, "{}"):
			l.wrong(s, "the server %q is no URL; give each variable a default", at)
		case u.Scheme == "" && u.Path != "" && u.Path[0] != '/':
			l.wrong(s, "the path of the server %q does not begin with a slash", at)
		default:
			if base := strings.TrimSuffix(u.Path, "/"); !slices.Contains(out, base) {
				out = append(out, base)
			}
		}
	}
	return out
}

// methods are the names of operations in a path item.
var methods = []string{"get", "put", "post", "delete", "options", "head", "patch", "trace"}

// path compiles a path item.
func (l *loader) path(template string, n *node, bases []string) {
	if n = l.resolve(n); n == nil {
		return
	}
	bases = l.bases(n.get("servers"), bases)
	item := &item{operations: map[string]*Operation{}}
	shared := n.get("parameters")
	for _, f := range n.fields {
		switch {
		case slices.Contains(methods, f.key):
			method := strings.ToUpper(f.key)
			op := l.operation(method, template, f.value, shared)
			item.operations[method] = op
			item.allowed = append(item.allowed, method)
			l.doc.operations = append(l.doc.operations, op)
		case slices.Contains([]string{"parameters", "servers", "summary", "description", "$ref"}, f.key), strings.HasPrefix(f.key, "x-"):
		default:
			l.wrong(f.value, "%q is no method and no field of a path; correct the name", f.key)
		}
	}
	if item.operations["GET"] != nil && item.operations["HEAD"] == nil {
		item.allowed = append(item.allowed, "HEAD")
	}
	if item.operations["OPTIONS"] == nil {
		item.allowed = append(item.allowed, "OPTIONS")
	}
	slices.Sort(item.allowed)
	for _, base := range bases {
		names, err := l.doc.tree.add(base+template, item)
		if err != nil {
			l.wrong(n, "%v", err)
			return
		}
		for _, op := range item.operations {
			l.places(op, names, n)
		}
	}
}

// places tells the parameters of an operation where in the path they stand.
func (l *loader) places(op *Operation, names []string, n *node) {
	for i, name := range names {
		at := slices.IndexFunc(op.parameters, func(p *parameter) bool { return p.in == inPath && p.name == name })
		if at < 0 {
			l.note(n, "the parameter {%s} of %s is not described; any text passes", name, op.ID)
			continue
		}
		op.parameters[at].place = i
	}
	for _, p := range op.parameters {
		if p.in == inPath && !slices.Contains(names, p.name) {
			l.wrong(n, "%s describes a parameter %q in the path, and the path has none", op.ID, p.name)
		}
	}
}

// operation compiles an operation.
func (l *loader) operation(method, template string, n, shared *node) *Operation {
	op := &Operation{ID: n.str("operationId"), Method: method, Template: template, query: map[string]slot{}}
	if op.ID == "" {
		op.ID = method + " " + template
	}
	if s := n.get("servers"); s != nil {
		l.wrong(s, "servers of an operation are not understood; give them to the path or to the document")
	}
	for _, list := range []*node{n.get("parameters"), shared} { // the operation's own go first
		if list == nil {
			continue
		}
		for _, p := range list.items {
			l.parameter(op, p)
		}
	}
	if b := n.get("requestBody"); b != nil {
		l.body(op, b)
	}
	return op
}
