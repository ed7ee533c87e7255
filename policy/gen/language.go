package main

import (
	"encoding"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"

	"stormdoor/policy"
)

// language is everything that is known about the language of policies.
type language struct {
	mappings []mapping // in the order in which they are met, the policy first
}

// mapping is one struct of package policy.
type mapping struct {
	typ    reflect.Type
	doc    string // about what the type is
	used   []string
	fields []entry
}

// entry is one field of a mapping.
type entry struct {
	name, doc                   string
	typ                         reflect.Type
	required                    bool
	def, min, max, example, non string   // the tags; non is what an empty list means
	values                      []choice // for an enumeration
}

type choice struct{ value, doc string }

// goDocs are the comments of package policy.
type goDocs struct {
	types  map[string]string            // by type
	fields map[string]string            // by "Type.Field"
	consts map[string]map[string]string // by type and value
}

// readLanguage reads the language from the types, and their comments from the source in the folder.
func readLanguage(dir string) (*language, error) {
	docs, err := readDocs(dir)
	if err != nil {
		return nil, err
	}
	l := &language{}
	if err := l.add(reflect.TypeFor[policy.Policy](), "", docs); err != nil {
		return nil, err
	}
	return l, nil
}

func readDocs(dir string) (*goDocs, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	d := &goDocs{types: map[string]string{}, fields: map[string]string{}, consts: map[string]map[string]string{}}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			return nil, fmt.Errorf("read the doc comments: %w", err)
		}
		d.addFile(f)
	}
	return d, nil
}

func (d *goDocs) addFile(f *ast.File) {
	for _, decl := range f.Decls {
		g, ok := decl.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, s := range g.Specs {
			switch s := s.(type) {
			case *ast.TypeSpec:
				d.addType(g, s)
			case *ast.ValueSpec:
				d.addConst(s)
			}
		}
	}
}

func (d *goDocs) addType(g *ast.GenDecl, s *ast.TypeSpec) {
	doc := g.Doc
	if s.Doc != nil {
		doc = s.Doc
	}
	d.types[s.Name.Name] = oneLine(doc.Text())
	st, ok := s.Type.(*ast.StructType)
	if !ok {
		return
	}
	for _, f := range st.Fields.List {
		for _, n := range f.Names {
			d.fields[s.Name.Name+"."+n.Name] = oneLine(f.Doc.Text())
		}
	}
}

func (d *goDocs) addConst(s *ast.ValueSpec) {
	typ, ok := s.Type.(*ast.Ident)
	if !ok || len(s.Values) != 1 {
		return
	}
	lit, ok := s.Values[0].(*ast.BasicLit)
	if !ok {
		return
	}
	value, err := strconv.Unquote(lit.Value)
	if err != nil {
		return
	}
	if d.consts[typ.Name] == nil {
		d.consts[typ.Name] = map[string]string{}
	}
	d.consts[typ.Name][value] = oneLine(s.Comment.Text())
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// add takes in the struct t, which is written at path, and what it holds.
func (l *language) add(t reflect.Type, path string, docs *goDocs) error {
	for i := range l.mappings {
		if l.mappings[i].typ == t {
			l.mappings[i].used = append(l.mappings[i].used, path)
			return nil
		}
	}
	doc := docs.types[t.Name()]
	if doc == "" {
		return fmt.Errorf("the type %s has no doc comment", t.Name())
	}
	m := mapping{typ: t, used: []string{path}, doc: doc}
	for i := range t.NumField() {
		if !t.Field(i).IsExported() {
			continue
		}
		e, err := newEntry(t, t.Field(i), docs)
		if err != nil {
			return err
		}
		m.fields = append(m.fields, e)
	}
	l.mappings = append(l.mappings, m)
	for _, e := range m.fields {
		inner, at := e.typ, strings.TrimPrefix(path+"."+e.name, ".")
		for inner.Kind() == reflect.Slice || inner.Kind() == reflect.Pointer {
			if inner.Kind() == reflect.Slice {
				at += "[]"
			}
			inner = inner.Elem()
		}
		if isMapping(inner) {
			if err := l.add(inner, at, docs); err != nil {
				return err
			}
		}
	}
	return nil
}

func newEntry(t reflect.Type, f reflect.StructField, docs *goDocs) (entry, error) {
	name, rest, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	doc := docs.fields[t.Name()+"."+f.Name]
	if name == "" || doc == "" {
		return entry{}, fmt.Errorf("the field %s.%s has no yaml tag or no doc comment", t.Name(), f.Name)
	}
	e := entry{
		name: name, typ: f.Type, required: !strings.Contains(rest, "omitempty"),
		doc: "`" + name + "`" + strings.TrimPrefix(doc, f.Name),
		def: f.Tag.Get("default"), min: f.Tag.Get("min"), max: f.Tag.Get("max"), example: f.Tag.Get("example"), non: f.Tag.Get("empty"),
	}
	if enum := f.Tag.Get("enum"); enum != "" {
		known := docs.consts[f.Type.Name()]
		for v := range strings.SplitSeq(enum, ",") {
			about, ok := known[v]
			if !ok && f.Type.Name() != "string" {
				return entry{}, fmt.Errorf("the field %s.%s lists %q, which is no constant of %s", t.Name(), f.Name, v, f.Type.Name())
			}
			e.values = append(e.values, choice{v, about})
		}
		if f.Type.Name() != "string" && len(known) != len(e.values) {
			return entry{}, fmt.Errorf("the field %s.%s does not list every constant of %s", t.Name(), f.Name, f.Type.Name())
		}
	}
	return e, nil
}

// isMapping reports whether t is written as a mapping.
func isMapping(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && !reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}
