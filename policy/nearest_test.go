package policy

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

// enumerations are the values of every field that has a list of them, by the field's name.
func enumerations(t reflect.Type, found map[string][]string) {
	switch t.Kind() {
	case reflect.Slice, reflect.Pointer:
		enumerations(t.Elem(), found)
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			if e := f.Tag.Get("enum"); e != "" {
				found[t.Name()+"."+f.Name] = strings.Split(e, ",")
			}
			if f.IsExported() {
				enumerations(f.Type, found)
			}
		}
	}
}

// TestMisspelledValues: each value of each enumeration is known by a slip of the finger, and in capitals.
func TestMisspelledValues(t *testing.T) {
	found := map[string][]string{"Limit.By": {"client", "credential", "host", "path", "ja4"}}
	enumerations(reflect.TypeFor[Policy](), found)
	if len(found) < 12 {
		t.Fatalf("%d enumerations: want them all", len(found))
	}
	for field, values := range found {
		for _, v := range values {
			for _, slip := range []string{v[:1] + v[2:], v + "s", strings.ToUpper(v)} {
				if got := nearestValue(slip, values); got != v && !slices.Contains(values, slip) {
					t.Errorf("%s: %q is taken for %q, want %q", field, slip, got, v)
				}
			}
		}
	}
}

// TestWordsOfOthers: what a value is called elsewhere is understood, slips of the finger too.
func TestWordsOfOthers(t *testing.T) {
	by, modes := []string{"client", "credential", "host", "path", "ja4"}, []string{"off", "count", "block"}
	for _, c := range []struct {
		said, want string
		values     []string
	}{
		{"adress", "client", by}, {"ip", "client", by}, {"remote_addr", "client", by}, {"token", "credential", by}, {"url", "path", by},
		{"detect", "count", modes}, {"deny", "block", modes}, {"disabled", "off", modes},
		{"block", "refuse", []string{"allow", "refuse"}}, {"drop", "refuse", []string{"refuse", "throttle", "queue"}},
		{"pass", "admit", []string{"admit", "refuse"}}, {"close", "hangup", []string{"allow", "refuse", "hangup"}},
		{"text", "console", []string{"auto", "json", "console"}}, {"zebra", "", by}, {"", "", by},
	} {
		if got := nearestValue(c.said, c.values); got != c.want {
			t.Errorf("%q is taken for %q, want %q", c.said, got, c.want)
		}
	}
}

// TestOthersNameNoValue: no word of others stands for two values of one enumeration.
func TestOthersNameNoValue(t *testing.T) {
	found := map[string][]string{"Limit.By": {"client", "credential", "host", "path", "ja4"}}
	enumerations(reflect.TypeFor[Policy](), found)
	for field, values := range found {
		means := map[string]string{}
		for _, o := range others {
			if !slices.Contains(values, o.value) {
				continue
			}
			for _, w := range o.words {
				if old := means[w]; old != "" && old != o.value {
					t.Errorf("%s: %q means %q and %q", field, w, old, o.value)
				}
				means[w] = o.value
			}
		}
	}
}
