package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/invopop/jsonschema"

	"stormdoor/policy"
)

// The patterns of scalars. They are wider than what Parse takes: an editor helps, Parse decides.
const (
	durationPattern = `^([0-9]+d)?([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))*$`
	bytesPattern    = `^[0-9]+(\.[0-9]+)? ?([kKmMgGtT][iI]?)?[bB]?$`
	amountPattern   = `^[0-9]+(\.[0-9]+)?[a-zA-Z]*([0-9]+[a-z]+)*$`
	ratePattern     = `^[0-9]+(\.[0-9]+)?[a-zA-Z]*/([0-9]+)?[a-z]+$`
	prefixPattern   = `^[0-9a-fA-F.:]+(/[0-9]{1,3})?$`
	keyPattern      = `^(client|credential|host|path|ja4|header:.+)$`
)

// schema returns the JSON Schema (draft 2020-12) of a policy.
func (l *language) schema() ([]byte, error) {
	root := &jsonschema.Schema{
		Version: jsonschema.Version, Title: "Stormdoor policy", Definitions: jsonschema.Definitions{}, Ref: "#/$defs/Policy",
	}
	for _, m := range l.mappings {
		s, err := m.schema()
		if err != nil {
			return nil, err
		}
		root.Definitions[m.typ.Name()] = s
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(root); err != nil {
		return nil, fmt.Errorf("write the schema: %w", err)
	}
	return b.Bytes(), nil
}

func (m *mapping) schema() (*jsonschema.Schema, error) {
	s := &jsonschema.Schema{
		Type: "object", Description: m.doc, Properties: jsonschema.NewProperties(), AdditionalProperties: jsonschema.FalseSchema,
	}
	for _, e := range m.fields {
		f, err := e.schema()
		if err != nil {
			return nil, fmt.Errorf("%s.%s: %w", m.typ.Name(), e.name, err)
		}
		s.Properties.Set(e.name, f)
		if e.required {
			s.Required = append(s.Required, e.name)
		}
	}
	if m.typ == reflect.TypeFor[policy.Origin]() || m.typ == reflect.TypeFor[policy.OpenAPI]() { // may be just its URL or file
		s.Description = ""
		return &jsonschema.Schema{Description: m.doc, AnyOf: []*jsonschema.Schema{{Type: "string", MinLength: one()}, s}}, nil
	}
	return s, nil
}

func (e *entry) schema() (*jsonschema.Schema, error) {
	s := typeSchema(e.typ, e)
	s.Description = strings.ReplaceAll(e.doc, "`", "")
	var err error
	if e.def != "" {
		if s.Default, err = value(e.def, e.typ); err != nil {
			return nil, err
		}
	}
	if e.example != "" {
		example, err := value(e.example, e.typ)
		if err != nil {
			return nil, err
		}
		s.Examples = []any{example}
	}
	return s, nil
}

// typeSchema is the schema of one value; e is the field that it belongs to.
func typeSchema(t reflect.Type, e *entry) *jsonschema.Schema {
	switch t {
	case reflect.TypeFor[policy.Duration]():
		return &jsonschema.Schema{Type: "string", Pattern: durationPattern, MinLength: one()}
	case reflect.TypeFor[policy.Bytes]():
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "integer", Minimum: "1"}, {Type: "string", Pattern: bytesPattern}}}
	case reflect.TypeFor[policy.Amount]():
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "integer", Minimum: "1"}, {Type: "string", Pattern: amountPattern}}}
	case reflect.TypeFor[policy.Rate]():
		return &jsonschema.Schema{Type: "string", Pattern: ratePattern}
	case reflect.TypeFor[policy.Prefix]():
		return &jsonschema.Schema{Type: "string", Pattern: prefixPattern}
	case reflect.TypeFor[policy.LimitKey]():
		return &jsonschema.Schema{Type: "string", Pattern: keyPattern}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return typeSchema(t.Elem(), e)
	case reflect.Slice:
		s := &jsonschema.Schema{Type: "array", Items: typeSchema(t.Elem(), e)}
		if e.non == "" {
			s.MinItems = one()
		}
		return s
	case reflect.Struct:
		return &jsonschema.Schema{Ref: "#/$defs/" + t.Name()}
	case reflect.Bool:
		return &jsonschema.Schema{Type: "boolean"}
	case reflect.String:
		s := &jsonschema.Schema{Type: "string", MinLength: one()}
		for _, v := range e.values {
			s.Enum, s.MinLength = append(s.Enum, v.value), nil
		}
		return s
	case reflect.Float64:
		return &jsonschema.Schema{Type: "number", Minimum: json.Number(e.min), Maximum: json.Number(e.max)}
	}
	return &jsonschema.Schema{Type: "integer", Minimum: json.Number(e.min), Maximum: json.Number(e.max)}
}

func one() *uint64 {
	n := uint64(1)
	return &n
}

// value reads a tag as the YAML that it is.
func value(text string, t reflect.Type) (any, error) {
	if t.Kind() == reflect.String || t == reflect.TypeFor[policy.Rate]() {
		return text, nil
	}
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		return nil, fmt.Errorf("the tag %q: %w", text, err)
	}
	return v, nil
}
