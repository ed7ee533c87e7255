package parse

import (
	"reflect"
	"strings"
	"testing"
	"testing/fstest"

	coreruleset "github.com/corazawaf/coraza-coreruleset/v4"
)

func TestText(t *testing.T) {
	fsys := fstest.MapFS{
		"conf/a.conf": {Data: []byte("# first\n\nSecRuleEngine On\nInclude sub/*.conf\n")},
		"conf/sub/b.conf": {Data: []byte(`SecRule ARGS|!ARGS:id|&REQUEST_HEADERS:Host|REQUEST_COOKIES:/^a|b\/c/|XML:/*|ARGS:'/x|y/' "!@rx a\"b c" \
    "id:1,\
    phase:2,deny,msg:'a, b: c',setvar:'tx.x=+%{tx.y}',t:none"
SecAction "id:2,pass"
`)},
	}
	got, err := Text(fsys, "(test)", "Include conf/a.conf\nIncludeOptional none.conf\nSecMarker \"END\"")
	if err != nil {
		t.Fatal(err)
	}
	want := []Directive{
		{Pos: Pos{"conf/a.conf", 3}, Name: "SecRuleEngine", Args: "On"},
		{Pos: Pos{"conf/sub/b.conf", 1}, Name: "SecRule", Args: got[1].Args, Rule: &Rule{
			Targets: []Target{
				{Variable: "ARGS"},
				{Variable: "ARGS", Selector: "id", Exclude: true},
				{Variable: "REQUEST_HEADERS", Selector: "Host", Count: true},
				{Variable: "REQUEST_COOKIES", Selector: `^a|b\/c`, Regexp: true},
				{Variable: "XML", Selector: "/*"},
				{Variable: "ARGS", Selector: "x|y", Regexp: true},
			},
			Operator: Operator{Name: "rx", Argument: `a"b c`, Negated: true},
			Actions: []Action{{"id", "1"}, {"phase", "2"}, {"deny", ""}, {"msg", "a, b: c"},
				{"setvar", "tx.x=+%{tx.y}"}, {"t", "none"}},
		}},
		{Pos: Pos{"conf/sub/b.conf", 4}, Name: "SecAction", Args: "id:2,pass",
			Rule: &Rule{Actions: []Action{{"id", "2"}, {"pass", ""}}}},
		{Pos: Pos{"(test)", 3}, Name: "SecMarker", Args: "END"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestOperatorForms(t *testing.T) {
	for s, want := range map[string]Operator{
		"abc":            {Name: "rx", Argument: "abc"},
		"!^a$":           {Name: "rx", Argument: "^a$", Negated: true},
		"@pm a b":        {Name: "pm", Argument: "a b"},
		"!@within x y":   {Name: "within", Argument: "x y", Negated: true},
		"@detectSQLi":    {Name: "detectSQLi"},
		"":               {Name: "rx"},
		"@streq  a  b  ": {Name: "streq", Argument: "a  b"},
	} {
		if got := operatorOf(s); got != want {
			t.Errorf("%q: got %+v, want %+v", s, got, want)
		}
	}
}

func TestMistakes(t *testing.T) {
	fsys := fstest.MapFS{"loop.conf": {Data: []byte("Include loop.conf")}}
	for text, want := range map[string]string{
		"SecRule ARGS":                             `f:1: SecRule: want: SecRule TARGETS "OPERATOR" "ACTIONS"`,
		"\n\nSecRule ARGS \"@rx a":                 `f:3: SecRule: a quote is not closed: "\"@rx a"`,
		`SecRule ARGS "a" "id:1,msg:'x"`:           `f:1: SecRule: a quote is not closed in the actions: "id:1,msg:'x"`,
		`SecRule ARGS:/a "a" "id:1"`:               `f:1: SecRule: an expression is not closed: "/a"`,
		`SecRule ARGS:'a'b "a" "id:1"`:             `f:1: SecRule: unexpected text after a selector: "b"`,
		`SecRule |ARGS "a" "id:1"`:                 `f:1: SecRule: a target has no name: "|ARGS"`,
		`SecRule ARGS "a" "id:1" more`:             `f:1: SecRule: unexpected text after the actions: "more"`,
		`SecAction "id:1,,deny"`:                   `f:1: SecAction: an action has no name: is there a comma too many?`,
		"Include gone.conf":                        `f:1: Include gone.conf: open gone.conf: file does not exist`,
		"Include gone/*.conf":                      `f:1: Include gone/*.conf: no file matches`,
		"Include loop.conf":                        `loop.conf:1: Include loop.conf: includes are more than 16 deep: does a file include itself?`,
		"SecAction \"id:1\\":                       `f:1: the last line of the file ends in a backslash: the directive is not complete`,
		"SecRule A \"\nSecMarker X\nSecRule B \"b": "f:1: SecRule: a quote is not closed: \"\\\"\"\nf:3: SecRule: a quote is not closed: \"\\\"b\"",
	} {
		_, err := Text(fsys, "f", text)
		if err == nil || err.Error() != want {
			t.Errorf("%q:\ngot  %v\nwant %s", text, err, want)
		}
	}
}

func TestCoreRuleSetParses(t *testing.T) {
	directives, err := Text(coreruleset.FS, "(test)", "Include @coraza.conf-recommended\nInclude @crs-setup.conf.example\nInclude @owasp_crs/*.conf")
	if err != nil {
		t.Fatal(err)
	}
	n := map[string]int{}
	for _, d := range directives {
		n[d.Name]++
	}
	if n["SecRule"] < 600 || n["SecMarker"] < 30 {
		t.Errorf("too few directives: %v", n)
	}
}

// FuzzText: no text makes the parser panic, and a directive never spans mistakes of another.
func FuzzText(f *testing.F) {
	f.Add("SecRule ARGS|!ARGS:/a\\/b/ \"@rx x\\\"\" \"id:1,msg:'a\\'b',t:none\"\nSecAction \"pass\"")
	f.Fuzz(func(t *testing.T, s string) {
		directives, _ := Text(fstest.MapFS{}, "f", s)
		if lines := strings.Count(s, "\n") + 1; len(directives) > lines {
			t.Errorf("%d directives in %d lines", len(directives), lines)
		}
	})
}
