package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"stormdoor/policy"
)

const root = "../.."

func TestCommittedFilesAreFresh(t *testing.T) {
	files, err := generate(root)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil || string(got) != string(want) {
			t.Errorf("%s is stale (err %v): run go generate ./policy", name, err)
		}
	}
}

// TestDocsTellTheDefaults holds the words of a doc comment to the default that is in force.
func TestDocsTellTheDefaults(t *testing.T) {
	l, err := readLanguage(filepath.Join(root, "policy"))
	if err != nil {
		t.Fatal(err)
	}
	said := regexp.MustCompile(`Default ([^ ;,]*[^ .:;,])`)
	for _, m := range l.mappings {
		for _, e := range m.fields {
			if s := said.FindStringSubmatch(e.doc); s != nil && strings.Trim(s[1], `"`) != e.def && e.def != "" {
				t.Errorf("%s.%s: the doc comment says default %s, the tag %s", m.id(), e.name, s[1], e.def)
			}
			if strings.Contains(e.doc, "Default ") && e.def == "" {
				t.Errorf("%s.%s: the doc comment tells a default that no tag has", m.id(), e.name)
			}
		}
	}
}

func TestManualLinksLeadSomewhere(t *testing.T) {
	l, err := readLanguage(filepath.Join(root, "policy"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(l.manual())
	places := map[string]bool{}
	for _, m := range regexp.MustCompile(`<a id="([^"]+)">`).FindAllStringSubmatch(text, -1) {
		if places[m[1]] {
			t.Errorf("the anchor %s is there twice", m[1])
		}
		places[m[1]] = true
	}
	for _, m := range regexp.MustCompile(`(?m)^#+ ([A-Z].*)$`).FindAllStringSubmatch(text, -1) {
		places[strings.ReplaceAll(strings.ToLower(m[1]), " ", "-")] = true
	}
	for _, m := range regexp.MustCompile(`\]\(#([^)]+)\)`).FindAllStringSubmatch(text, -1) {
		if !places[m[1]] {
			t.Errorf("the link #%s leads nowhere", m[1])
		}
	}
}

// TestManualExamplesAreGood parses the policies that the introduction shows.
func TestManualExamplesAreGood(t *testing.T) {
	shown := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(intro, -1)
	if len(shown) != 3 {
		t.Fatalf("%d examples, want 3", len(shown))
	}
	if _, err := policy.Parse("intro.md", []byte(shown[0][1])); err != nil {
		t.Error(err)
	}
	p, err := policy.Parse("intro.md", []byte(shown[0][1]+shown[2][1]))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := p.WithDefaults().Limits[0], policy.DefaultLimit(); got.Rate != want.Rate || got.Burst != want.Burst || got.While != want.While || got.By != want.By {
		t.Errorf("the manual shows the default limit as %+v, it is %+v", got, want)
	}
}

func TestSchema(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(root, "docs", "stormdoor.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal(data, &schema); err != nil {
		t.Fatal(err)
	}
	v := validator{schema["$defs"].(map[string]any)}
	good, _ := filepath.Glob("../testdata/good/*.yaml")
	examples, _ := filepath.Glob(root + "/examples/*.yaml")
	for _, file := range append(good, examples...) {
		if wrong := v.check(schema, read(t, file), ""); wrong != "" {
			t.Errorf("%s: the schema refuses a good policy: %s", file, wrong)
		}
	}
	for _, name := range []string{"unknown-field", "unknown-everywhere", "mistyped", "sites-missing", "sites-empty-list", "blanks", "enums", "rates", "sizes", "log"} {
		if v.check(schema, read(t, "../testdata/bad/"+name+".yaml"), "") == "" {
			t.Errorf("%s: the schema lets a bad policy pass", name)
		}
	}
}

func read(t *testing.T, file string) any {
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := yaml.Unmarshal(data, &v); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	data, err = json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var out any
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// validator knows the part of JSON Schema that our schema uses.
type validator struct{ defs map[string]any }

// check returns what is wrong with x, "" for nothing.
func (v validator) check(s map[string]any, x any, path string) string {
	if ref, ok := s["$ref"].(string); ok {
		if wrong := v.check(v.defs[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any), x, path); wrong != "" {
			return wrong
		}
	}
	if any, ok := s["anyOf"].([]any); ok {
		wrong := ""
		for _, a := range any {
			if wrong = v.check(a.(map[string]interface{}), x, path); wrong == "" {
				break
			}
		}
		if wrong != "" {
			return wrong
		}
	}
	if e, ok := s["enum"].([]any); ok {
		found := false
		for _, a := range e {
			found = found || a == x
		}
		if !found {
			return path + ": not in the enumeration"
		}
	}
	return v.typed(s, x, path)
}

func (v validator) typed(s map[string]any, x any, path string) string {
	switch want := s["type"]; want {
	case "object":
		return v.object(s, x, path)
	case "array":
		list, ok := x.([]any)
		if least, has := s["minItems"].(float64); !ok || has && len(list) < int(least) {
			return path + ": no list, or too short"
		}
		for _, item := range list {
			if wrong := v.check(s["items"].(map[string]any), item, path+"[]"); wrong != "" {
				return wrong
			}
		}
	case "string":
		text, ok := x.(string)
		p, has := s["pattern"].(string)
		if !ok || text == "" || has && !regexp.MustCompile(p).MatchString(text) {
			return path + ": no text, or not of the pattern"
		}
	case "boolean":
		if _, ok := x.(bool); !ok {
			return path + ": neither true nor false"
		}
	case "integer", "number":
		n, ok := x.(float64)
		least, low := s["minimum"].(float64)
		most, high := s["maximum"].(float64)
		if !ok || want == "integer" && n != float64(int64(n)) || low && n < least || high && n > most {
			return path + ": no number, or out of range"
		}
	}
	return ""
}

func (v validator) object(s map[string]any, x any, path string) string {
	fields, ok := x.(map[string]any)
	if !ok {
		return path + ": no fields"
	}
	properties := s["properties"].(map[string]any)
	for name, value := range fields {
		p, ok := properties[name].(map[string]any)
		if !ok {
			return path + "." + name + ": unknown"
		}
		if wrong := v.check(p, value, path+"."+name); wrong != "" {
			return wrong
		}
	}
	required, _ := s["required"].([]any)
	for _, name := range required {
		if _, ok := fields[name.(string)]; !ok {
			return path + "." + name.(string) + ": missing"
		}
	}
	return ""
}
