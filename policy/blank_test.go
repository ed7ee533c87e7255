package policy

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"
)

// fieldAt is one field of the language, by reflection: how a file comes to it, and what stands around it.
type fieldAt struct {
	path     string
	tag      fieldTag
	typ      reflect.Type
	required bool
}

// every calls f for each field of the language, lists by their first entry.
func every(t reflect.Type, path string, f func(fieldAt)) {
	for i, tag := range fieldsOf(t) {
		sf := t.Field(i)
		at := joinPath(path, tag.name)
		f(fieldAt{at, tag, sf.Type, tag.required})
		inner := sf.Type
		for inner.Kind() == reflect.Pointer || inner.Kind() == reflect.Slice {
			if inner.Kind() == reflect.Slice {
				at += "[0]"
			}
			inner = inner.Elem()
		}
		if isMapping(inner) {
			every(inner, at, f)
		}
	}
}

// flow writes a policy in which the value at path is value and everything else is as small as it may be. parents maps
// the path of a mapping to the other fields that it needs.
func flow(path, value string) string {
	needs := map[string]string{
		"sites[0]":            "hosts: [shop.example], origins: ['http://127.0.0.1:3000']",
		"sites[0].origins[0]": "url: 'http://127.0.0.1:3000'", "sites[0].routes[0]": "path: /a", "sites[0].routes[0].origins[0]": "url: 'http://127.0.0.1:3000'",
		"lists[0]": "name: a, action: allow, addresses: [10.0.0.1]", "limits[0]": "name: a, rate: 1/s", "rules[0]": "name: a, when: 'true', then: refuse", "waf.exclude[0]": "rule: 942100",
		"sites[0].tls": "self_signed: true", "sites[0].openapi": "file: api.yaml",
	}
	for path != "" {
		parent := parentPath(path)
		if strings.HasSuffix(path, "]") {
			path, value = parent, "["+value+"]"
			continue
		}
		name := strings.TrimPrefix(path[len(parent):], ".")
		out := name + ": " + value
		for _, other := range splitTop(needs[parent]) {
			if other != "" && !strings.HasPrefix(other, name+":") {
				out += ", " + other
			}
		}
		if parent == "" && name != "sites" {
			out += ", sites: [{" + needs["sites[0]"] + "}]"
		}
		path, value = parent, "{"+out+"}"
	}
	return value + "\n"
}

// splitTop splits "a: [b, c], d: e" at its outer commas.
func splitTop(s string) (out []string) {
	depth, from := 0, 0
	for i, c := range s {
		switch c {
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		case ',':
			if depth == 0 {
				out, from = append(out, strings.TrimSpace(s[from:i])), i+1
			}
		}
	}
	return append(out, strings.TrimSpace(s[from:]))
}

// TestABlankIsRefused gives every field null and "", and every list a blank entry: each time there is a clear error at
// that field.
func TestABlankIsRefused(t *testing.T) {
	fields := 0
	every(reflect.TypeFor[Policy](), "", func(f fieldAt) {
		fields++
		blanks := []string{"~", "null", "", "''"}
		if f.typ.Kind() == reflect.Slice {
			blanks = append(blanks, "[~]", "['']", "[~, ~]")
		}
		for _, blank := range blanks {
			text := flow(f.path, blank)
			p, err := Parse("blank.yaml", []byte(text))
			var all *Errors
			if p != nil || !errors.As(err, &all) {
				t.Errorf("%s: %s: no error", f.path, text)
				continue
			}
			for _, problem := range all.Problems {
				if !strings.HasPrefix(problem.Path, f.path) || problem.Line != 1 || problem.Msg == "" {
					t.Errorf("%s given as %q: the problem is elsewhere: %v", f.path, blank, problem)
				}
			}
		}
	})
	if fields < 90 {
		t.Errorf("only %d fields were tried", fields)
	}
}

// TestAbsentMeansDefault leaves out every field in turn: either that is an error at the field, or the policy works.
func TestAbsentMeansDefault(t *testing.T) {
	every(reflect.TypeFor[Policy](), "", func(f fieldAt) {
		text := flow(f.path, "absent")
		text = strings.Replace(text, f.tag.name+": absent, ", "", 1)
		text = strings.Replace(text, f.tag.name+": absent", "", 1)
		p, err := Parse("absent.yaml", []byte(text))
		if err != nil {
			if !f.required && !strings.Contains(err.Error(), f.path+": is missing") && !strings.Contains(err.Error(), "does not say where") && !strings.Contains(err.Error(), "names nobody") {
				t.Errorf("%s absent: %s: %v", f.path, text, err)
			}
			return
		}
		if f.required {
			t.Errorf("%s is required and absent, and nobody minds: %s", f.path, text)
		}
		if err := p.withDefaults(testEnvironment).Validate(); err != nil {
			t.Errorf("%s absent, with defaults: %v", f.path, err)
		}
	})
}

// TestExamplesOfFieldsAreGood tries the example and the default of each field as its value.
func TestExamplesOfFieldsAreGood(t *testing.T) {
	every(reflect.TypeFor[Policy](), "", func(f fieldAt) {
		for _, value := range append([]string{f.tag.example, f.tag.def}, f.tag.enum...) {
			if value == "" || strings.HasSuffix(f.path, "certificate") || strings.HasSuffix(f.path, ".key") {
				continue
			}
			if strings.ContainsAny(value[:1], "-/:") || strings.Contains(value, "(") || strings.Contains(value, ": ") && value[0] != '[' {
				value = fmt.Sprintf("%q", value)
			}
			_, err := Parse("example.yaml", []byte(flow(f.path, value)))
			if err == nil {
				continue
			}
			var all *Errors
			errors.As(err, &all)
			for _, p := range all.Problems {
				follows := []string{"has no meaning", "is none of", "has more than one source", "there is no site", "there is no route", "there is no document", "is not known", "are not known", "needs TLS",
					"no site has tls", "does not say where", "nobody's header", "needs your agreement", "counts a plain number"}
				ok := false
				for _, words := range follows {
					ok = ok || strings.Contains(p.Msg, words) && !strings.Contains(p.Msg, "is none of")
				}
				if !ok {
					t.Errorf("%s: %s is no good example: %v", f.path, value, p)
				}
			}
		}
	})
}

// TestHostileFilesEndSoon gives the reader what would cost its library time, stack or memory without bounds.
func TestHostileFilesEndSoon(t *testing.T) {
	repeat := func(s string, size int) string { return strings.Repeat(s, size/len(s)) }
	const size = 128 << 10
	for name, text := range map[string]string{
		"brackets": repeat("[", size), "braces": repeat("{a: ", size), "dashes": repeat("- ", size), "questions": repeat("? ", size), "colons": repeat("a: ", size),
		"anchors": repeat("&a ", size), "tags": repeat("!a ", size), "fields": repeat("a: b\n", size), "documents": repeat("---\na: b\n", size),
		"merges": repeat("<<: *a\n", size), "empty lines": "a: |\n" + repeat("\n", size), "spaces": "a:" + repeat(" ", size),
		"nested lists": repeat("- - - - -\n", size), "entries": repeat("- a\n", size), "blank entries": repeat("-\n", size), "blank fields": repeat("- a:\n", size), "commented blanks": repeat("- # x\n", size),
		"blank anchors": repeat("- &a\n", size), "anchored": repeat("- &a x\n", size),
		"aliases": "- &a x\n" + repeat("- *a\n", size), "staircase": func() string {
			var b strings.Builder
			for i := range 1400 {
				b.WriteString(strings.Repeat(" ", i) + "-\n")
			}
			return b.String()
		}(), "lists": "lists:\n" + repeat("- {}\n", size), "refusing lists": "lists:\n" + repeat("- {action: refuse, addresses: [0.0.0.0/0]}\n", size),
		"methods": "limits: [{methods: [" + repeat("A, ", size) + "]}]", "listeners": "listen: {http: [" + repeat("':1', ", size) + "]}",
		"references": "sites:\n" + repeat("- hosts: [a]\n", size/2) + "limits: [{name: a, rate: 1/s, sites: [" + repeat("b, ", size/2) + "]}]", "quoted": "a: '" + repeat("''\n", size) + "'", "comments": repeat("# x\n", size) + "a: b", "commented entries": repeat("- a # x\n", size),
		"small mappings": "sites:\n" + repeat("- a: b\n  b: c\n", size), "steps": func() string {
			var b strings.Builder
			for i := range 1000 {
				b.WriteString(strings.Repeat(" ", i) + "a:\n")
			}
			return b.String()
		}(), "too large": strings.Repeat("#", maxFile+1),
		"unknown fields": "{" + repeat("a: b, ", size/4) + "}", "unclosed": "a: \"" + repeat("x", size),
	} {
		t.Run(name, func(t *testing.T) {
			began := processorTime(t)
			if _, err := Parse("hostile.yaml", []byte(text)); err == nil {
				t.Error("no error")
			} else if n := len(err.Error()); n > 64<<10 {
				t.Errorf("the error is %d bytes long", n)
			}
			if took := processorTime(t) - began; took > 20*time.Second {
				t.Errorf("it took %v of a processor", took)
			}
		})
	}
}

// processorTime is what the process has used: unlike the time of day, what else the machine does hardly changes it.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// FuzzParse holds Parse to: no panic, an *Errors or a policy whose defaults are good too, and messages of bounded size.
func FuzzParse(f *testing.F) {
	for _, file := range []string{"sites:\n  - hosts: [a.example]\n    origins: ['http://127.0.0.1:3000']\n", "a: &a [*a]", "limits: [{rate: 1/s}]", "sites: [~]"} {
		f.Add([]byte(file))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Parse("fuzz.yaml", data)
		var all *Errors
		switch {
		case err == nil:
			p.withDefaults(testEnvironment).Describe(new(strings.Builder))
		case !errors.As(err, &all) || len(all.Problems) == 0:
			t.Fatalf("err = %#v, want an *Errors with problems", err)
		default:
			if n := len(err.Error()); n > 200<<10 {
				t.Fatalf("the error is %d bytes long", n)
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	var text strings.Builder
	text.WriteString("sites:\n")
	for i := range 100 {
		fmt.Fprintf(&text, "  - hosts: [s%d.example]\n    origins: ['http://127.0.0.1:%d']\n    max_body: 10MB\n", i, 3000+i)
	}
	data := []byte(text.String())
	b.ReportAllocs()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := Parse("bench.yaml", data); err != nil {
			b.Fatal(err)
		}
	}
}
