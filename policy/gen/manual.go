package main

import (
	_ "embed"
	"fmt"
	"reflect"
	"strings"

	"stormdoor/policy"
)

//go:embed intro.md
var intro string

// manual returns the reference manual: the introduction, an overview, and a section for each mapping with an anchor for
// each field.
func (l *language) manual() []byte {
	var b strings.Builder
	b.WriteString("<!-- Written by policy/gen from the types of policy/. Do not edit: run go generate ./policy. -->\n\n")
	b.WriteString(intro)
	b.WriteString("\n## Overview\n\n")
	for _, m := range l.mappings {
		fmt.Fprintf(&b, "- %s: ", m.link())
		for i, e := range m.fields {
			if i > 0 {
				b.WriteString(", ")
			}
			fmt.Fprintf(&b, "[%s](#%s)", e.name, m.anchor(e))
		}
		b.WriteString("\n")
	}
	for i := range l.mappings {
		l.section(&b, &l.mappings[i])
	}
	return []byte(b.String())
}

// title is a mapping's heading: where it is written.
func (m *mapping) title() string {
	if m.used[0] == "" {
		return "The policy"
	}
	return "`" + strings.Join(m.used, "`, `") + "`"
}

func (m *mapping) link() string {
	return "[" + m.title() + "](#" + m.id() + ")"
}

// id is the anchor of a mapping's section: "site", "limit-table".
func (m *mapping) id() string {
	var b strings.Builder
	for i, r := range m.typ.Name() {
		if i > 0 && r >= 'A' && r <= 'Z' && strings.ToUpper(m.typ.Name()) != m.typ.Name() {
			b.WriteByte('-')
		}
		b.WriteString(strings.ToLower(string(r)))
	}
	return b.String()
}

func (m *mapping) anchor(e entry) string { return m.id() + "." + e.name }

func (l *language) section(b *strings.Builder, m *mapping) {
	fmt.Fprintf(b, "\n<a id=\"%s\"></a>\n## %s\n\n%s\n", m.id(), m.title(), markdown(m.doc))
	for _, e := range m.fields {
		fmt.Fprintf(b, "\n<a id=\"%s\"></a>\n### `%s`\n\n%s\n\n", m.anchor(e), e.name, markdown(e.doc))
		fmt.Fprintf(b, "- Type: %s", l.typeName(e.typ))
		if e.required {
			b.WriteString(", required")
		}
		b.WriteString("\n")
		for _, v := range e.values {
			if v.doc == "" {
				fmt.Fprintf(b, "  - `%s`\n", v.value)
				continue
			}
			fmt.Fprintf(b, "  - `%s`: %s\n", v.value, markdown(v.doc))
		}
		if e.def != "" {
			fmt.Fprintf(b, "- Default: `%s`\n", e.def)
		}
		if r := bounds(e); r != "" {
			fmt.Fprintf(b, "- Range: %s\n", r)
		}
		if e.non != "" {
			fmt.Fprintf(b, "- An empty list (`[]`) means: %s\n", e.non)
		}
		if e.example != "" {
			fmt.Fprintf(b, "- Example: `%s: %s`\n", e.name, quoted(e))
		}
	}
}

// markdown keeps the stars of a comment from turning into emphasis.
func markdown(doc string) string { return strings.ReplaceAll(doc, "*", `\*`) }

func bounds(e entry) string {
	switch {
	case e.min != "" && e.max != "":
		return "`" + e.min + "` to `" + e.max + "`"
	case e.min != "":
		return "at least `" + e.min + "`"
	}
	return ""
}

// quoted returns the example as it is written in YAML.
func quoted(e entry) string {
	if strings.Contains(e.example, "(") || strings.Contains(e.example, ": ") && e.example[0] != '[' {
		return `"` + e.example + `"`
	}
	return e.example
}

// typeName says in words what a value is, with a link to where that is told.
func (l *language) typeName(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[policy.Duration]():
		return "[length of time](#lengths-of-time)"
	case reflect.TypeFor[policy.Bytes]():
		return "[size](#sizes)"
	case reflect.TypeFor[policy.Amount]():
		return "[amount](#amounts-and-rates)"
	case reflect.TypeFor[policy.Rate]():
		return "[rate](#amounts-and-rates)"
	case reflect.TypeFor[policy.Prefix]():
		return "[address or prefix](#addresses-and-prefixes)"
	}
	for i := range l.mappings {
		if l.mappings[i].typ == t {
			return "[fields](#" + l.mappings[i].id() + ")"
		}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return l.typeName(t.Elem())
	case reflect.Slice:
		return "list of " + l.typeName(t.Elem())
	case reflect.Bool:
		return "true or false"
	case reflect.Float64:
		return "number"
	case reflect.String:
		return "text"
	}
	return "whole number"
}
