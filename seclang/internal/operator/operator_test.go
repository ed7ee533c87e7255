package operator

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var dataFiles = map[string]string{
	"words.data": "# a comment\n\n  union select \r\nXP_cmdshell\n",
	"nets.data":  "# ours\n10.0.0.0/8\n2001:db8::/32\n",
}

func readData(name string) ([]byte, error) {
	if text, ok := dataFiles[name]; ok {
		return []byte(text), nil
	}
	return nil, fs.ErrNotExist
}

func compile(t testing.TB, name, argument string) Operator {
	t.Helper()
	op, err := New(name, argument, readData)
	if err != nil {
		t.Fatalf("@%s %q: %v", name, argument, err)
	}
	return op
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		name, argument, value string
		want                  bool
	}{
		{"beginsWith", "ab", "abc", true},
		{"beginsWith", "bc", "abc", false},
		{"contains", "b", "abc", true},
		{"contains", "B", "abc", false},
		{"containsWord", "or", "a or b", true},
		{"containsWord", "or", "for or_", true},
		{"containsWord", "or", "for order", false},
		{"endsWith", "bc", "abc", true},
		{"eq", "0", "none", true},
		{"eq", "+7", "7", true},
		{"ge", "5", "5", true},
		{"gt", "5", "99999999999999999999", true},
		{"le", "-3", "-4", true},
		{"lt", "5", "5", false},
		{"ipMatch", "192.168.0.0/16, ::1,bogus", "192.168.3.4", true},
		{"ipMatch", "192.168.0.0/16, ::1", "::1", true},
		{"ipMatch", "192.168.0.1", "::ffff:192.168.0.1", true},
		{"ipMatch", "192.168.0.1", "192.168.0.2", false},
		{"ipMatchFromFile", "nets.data", "2001:db8:1::2", true},
		{"ipMatchF", "nets.data", "11.0.0.1", false},
		{"noMatch", "", "x", false},
		{"pm", "select UNION", "a uNioN b", true},
		{"pm", "abcd bc", "xbcx", true},
		{"pm", "abcd bd", "abcabd", true},
		{"pm", "abcd bd", "abcab", false},
		{"pmFromFile", "words.data", "1 UNION SELECT 2", true},
		{"pmf", "words.data", "a comment", false},
		{"rx", "^b.c$", "a\nb\nc", true},
		{"rx", `\xe2\x80\x98`, "a\u2018", false}, // these bytes are UTF-8, so the escapes are characters
		{"rx", `\xe2\x80`, "a\u2018", true},
		{"rx", `\x{c2}\x{b4}`, "\xc2\xb5", false},
		{"streq", "a", "a", true},
		{"streq", "a", "A", false},
		{"strmatch", "b", "abc", true},
		{"unconditionalMatch", "", "", true},
		{"validateByteRange", "1-255", "a\x00", true},
		{"validateByteRange", "9,10,13,32-126", "a\tb", false},
		{"validateByteRange", "", "", true},
		{"validateNid", `cl \d{1,2}\.?\d{3}\.?\d{3}-?[\dk]`, "rut 11.111.111-1", true},
		{"validateNid", `us \d{3}-?\d{2}-?\d{4}`, "it is 078-05-1120", true},
		{"validateNid", `us \d{3}-?\d{2}-?\d{4}`, "it is 123456789", false},
		{"validateUrlEncoding", "", "%41%4", true},
		{"validateUrlEncoding", "", "%41%%41", true},
		{"validateUrlEncoding", "", "%41", false},
		{"validateUtf8Encoding", "", "a\xc0\x80", true},
		{"within", "GET HEAD POST", "HEAD", true},
		{"within", "GET HEAD POST", "PUT", false},
		{"detectSQLi", "", "1' or 1=1 -- ", true},
		{"detectSQLi", "", "1 union select 1", true},
		{"detectSQLi", "", "O'Neill and sons", false},
		{"detectXSS", "", "<script>x</script>", true},
		{"detectXSS", "", "x onerror=alert(1)", true},
		{"detectXSS", "", "1 < 2", false},
	} {
		if got := compile(t, strings.ToUpper(c.name), c.argument).Match(c.value, "", nil); got != c.want {
			t.Errorf("@%s %q on %q: %v", c.name, c.argument, c.value, got)
		}
	}
}

// TestMacro gives arguments that are known only at run time.
func TestMacro(t *testing.T) {
	for _, c := range []struct {
		name, value, argument string
		want                  bool
	}{
		{"streq", "a", "a", true}, {"streq", "%{tx.x}", "a", false}, {"within", "b", "abc", true}, {"lt", "4", "5", true},
		{"ge", "4", "5", false}, {"endsWith", "abc", "", true}, {"containsWord", "abc", "", true},
	} {
		op := compile(t, c.name, "%{tx.x}")
		if got := op.Match(c.value, c.argument, nil); got != c.want {
			t.Errorf("@%s %q on %q: %v", c.name, c.argument, c.value, got)
		}
		if _, ok := op.Gate(); ok {
			t.Errorf("@%s has a gate for an argument it does not know", c.name)
		}
	}
}

func TestErrors(t *testing.T) {
	for _, c := range []struct{ name, argument, want string }{
		{"nonsense", "", "there is no operator @nonsense"},
		{"geoLookup", "", "operator @geoLookup is not supported: use the door's own countries and networks"},
		{"inspectFile", "/bin/x", "operator @inspectFile is not supported: no rule may start a program"},
		{"rbl", "x", "operator @rbl is not supported: no rule may ask the network"},
		{"rx", "a(", "@rx: error parsing regexp: missing closing ): `(?sm)a(`"},
		{"rx", "^%{tx.allowed}$", "@rx: " + errMacroInRx.Error()},
		{"pm", " ", "@pm: the list of phrases is empty"},
		{"pmFromFile", "no.data", "@pmFromFile: file does not exist"},
		{"pmFromFile", "", "@pmFromFile: an argument is missing"},
		{"streq", "", "@streq: an argument is missing"},
		{"eq", "", "@eq: an argument is missing"},
		{"validateByteRange", "1-256", `@validateByteRange: "1-256" is neither a byte (0-255) nor a range of bytes`},
		{"validateNid", "de x", `@validateNid: the argument is "cl" or "us" and an expression that finds candidates`},
	} {
		if _, err := New(c.name, c.argument, readData); err == nil || err.Error() != c.want {
			t.Errorf("@%s %q: %v, want %s", c.name, c.argument, err, c.want)
		}
	}
	if _, err := New("pmf", "no.data", readData); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file is not told apart: %v", err)
	}
}

func TestCaptures(t *testing.T) {
	for _, c := range []struct {
		name, argument, value string
		want                  []string
	}{
		{"rx", `(a)(b)?(c)`, "xac", []string{"ac", "a", "-", "c"}},
		{"rx", `(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)`, "0123456789", []string{"0123456789", "0", "1", "2", "3", "4", "5", "6", "7"}},
		{"rx", `(\xc3)(.)`, "\xe4\xc3\xa4", []string{"\xc3\xa4", "\xc3", "\xa4"}},
		{"pm", "bc abcd abc e", "zABCDabce", []string{"ABCD", "abc", "e"}},
		{"pm", "a", "aaaaaaaaaaaa", strings.Split(strings.Repeat("a", 10), "")},
		{"validateNid", `us \d{9}`, "123456789 078051120", []string{"-", "078051120"}},
		{"streq", "a", "a", nil},
	} {
		captures := Captures{}
		if !compile(t, c.name, c.argument).Match(c.value, "", &captures) {
			t.Errorf("@%s %q on %q: no match", c.name, c.argument, c.value)
		}
		if got := texts(c.value, &captures); fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("@%s %q on %q: captured %q, want %q", c.name, c.argument, c.value, got, c.want)
		}
	}
	captures := Captures{}
	if !compile(t, "detectSQLi", "").Match("1' or 1=1 -- ", "", &captures) || captures.Fingerprint != "s&1c" {
		t.Errorf("detectSQLi captured %+v", captures)
	}
}

// texts returns what was captured, "-" for a group that took no part.
func texts(value string, c *Captures) []string {
	var all []string
	for _, at := range c.At[:c.N] {
		if at[0] < 0 {
			all = append(all, "-")
		} else {
			all = append(all, value[at[0]:at[1]])
		}
	}
	return all
}

// gatedOperators are one of each kind of operator that has a gate.
func gatedOperators(t testing.TB) map[string]Operator {
	all := map[string]Operator{}
	for _, c := range [][2]string{
		{"beginsWith", "a'"}, {"contains", "\xe4b"}, {"containsWord", "or"}, {"endsWith", "--"}, {"streq", "a"}, {"strmatch", "select"},
		{"pm", "select \u00e4k union ?> 1e"}, {"rx", `^\s*(or|and)\b`}, {"rx", `[\xc0-\xff]k`}, {"validateByteRange", "9,10,13,32-126,128-255"},
		{"validateUrlEncoding", ""}, {"validateUtf8Encoding", ""}, {"validateNid", `us \d{9}`}, {"detectSQLi", ""}, {"detectXSS", ""},
	} {
		all["@"+c[0]+" "+c[1]] = compile(t, c[0], c[1])
	}
	return all
}

// value draws strings in which what operators look for is likely.
func value() *rapid.Generator[string] {
	words := strings.Fields(sqlWords)
	piece := rapid.OneOf(
		rapid.SampledFrom([]string{"'", `"`, "`", "--", "#", "/*", "*/", "(", ")", "{", "}", "[", "]", "@", "$$", "$a$", `\`, `\N`, "&&", "||", "|", "&", "=", "<", ">", "!",
			"1", "1e", "0x1f", "0b1", "1.", "1d", "2f", ".", ",", ";", ":", "::", ":=", " ", "\n", "\x00", "\xa0", "\u0131", "\u017f", "\xc5", "a", "x'1f'", "q'(", "n'", "u&'",
			"<script", "<!", "<a ", "onerror", "href=", "javascript:", "%", "%4", "%41", "\xe4b", "\u212a", "SELECT", "union", "078051120"}),
		rapid.SampledFrom(words),
		rapid.Map(rapid.SampledFrom(words), strings.ToUpper),
		rapid.SampledFrom([]string{"rollup", "null", "is", "user", "version", "sleep", "char", "like", "by", "all", "pw", "information_schema"}),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 3), func(b []byte) string { return string(b) }),
	)
	return rapid.Custom(func(t *rapid.T) string {
		pieces := rapid.SliceOfN(piece, 0, 9).Draw(t, "pieces")
		return strings.Join(pieces, rapid.SampledFrom([]string{"", "", " "}).Draw(t, "between"))
	})
}

func TestGateIsSound(t *testing.T) {
	for name, op := range gatedOperators(t) {
		gate := gateTwin(t, op)
		t.Run(name, rapid.MakeCheck(func(t *rapid.T) { checkGate(t, name, op, gate, value().Draw(t, "value")) }))
	}
}

// TestSQLiGateVectors gives injections that each have nothing but one of the signs that the gate looks for.
func TestSQLiGateVectors(t *testing.T) {
	op := compile(t, "detectSQLi", "")
	gate := gateTwin(t, op)
	for _, value := range []string{"1--", "1/**/", "1 union select 1", "0xfhaving 1", "1dunion select 1", "1 a\u017fc x=1 ;", "1 or\xa01=2", "1 \u017felect 1 union \u017felect 2",
		"1 ||1=1", "sleep(5)"} {
		if !op.Match(value, "", nil) || !gate(value) {
			t.Errorf("%q: found %v, passed by the gate %v", value, op.Match(value, "", nil), gate(value))
		}
	}
}

// gateTwin returns the gate as the slow, obvious test of a value.
func gateTwin(t testing.TB, op Operator) func(string) bool {
	t.Helper()
	g, ok := op.Gate()
	if !ok {
		t.Fatal("no gate")
	}
	re, err := regexp.Compile(g.Expr)
	if err != nil {
		t.Fatal(err)
	}
	return func(value string) bool {
		if g.Raw {
			value = latin1(value)
		}
		return re.MatchString(value)
	}
}

func checkGate(t rapid.TB, name string, op Operator, gate func(string) bool, value string) {
	g, _ := op.Gate()
	matched, passed := op.Match(value, "", nil), gate(value)
	if matched && !passed {
		t.Fatalf("%s matches %q, its gate does not", name, value)
	}
	if g.Exact && passed && !matched {
		t.Fatalf("%s: the gate, said to be exact, passes %q, which does not match", name, value)
	}
}

func FuzzGate(f *testing.F) {
	ops, gates := gatedOperators(f), map[string]func(string) bool{}
	for name, op := range ops {
		gates[name] = gateTwin(f, op)
	}
	for _, s := range []string{"1 union select 1", "1' or 1=1--", "<a href=javascript:x>", "%4", "1e select.1", "x\xa0or\xa01=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		for name, op := range ops {
			checkGate(t, name, op, gates[name], value)
		}
	})
}

// TestPhrasesTwin compares the automaton with a search for each phrase.
func TestPhrasesTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringOfN(rapid.RuneFrom([]rune("abAB")), 1, 5, -1)
		list := rapid.SliceOfN(word, 1, 6).Draw(t, "phrases")
		value := rapid.StringOfN(rapid.RuneFrom([]rune("abABc")), 0, 30, -1).Draw(t, "value")
		op, err := newPM(list)
		if err != nil {
			t.Fatal(err)
		}
		var c Captures
		op.Match(value, "", &c)
		if got, want := texts(value, &c), slowPhrases(list, value); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("phrases %q in %q: %q, want %q", list, value, got, want)
		}
		if got := op.Match(value, "", nil); got != (c.N > 0) {
			t.Fatalf("phrases %q in %q: with captures %v, without %v", list, value, c.N > 0, got)
		}
	})
}

// slowPhrases finds up to ten phrases, the leftmost longest first, by trying each at each place.
func slowPhrases(list []string, value string) (found []string) {
	for i := 0; i < len(value) && len(found) < 10; {
		best := 0
		for _, phrase := range list {
			if n := len(phrase); n > best && len(value)-i >= n && strings.EqualFold(value[i:i+n], phrase) {
				best = n
			}
		}
		if best > 0 {
			found = append(found, value[i:i+best])
		}
		i += max(best, 1)
	}
	return found
}

func TestParseIntTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.StringMatching(`[-+]?[0-9]{0,20}`), rapid.String()).Draw(t, "number")
		want, _ := strconv.Atoi(s)
		if got := parseInt(s); got != want {
			t.Fatalf("parseInt(%q) = %d, strconv.Atoi says %d", s, got, want)
		}
	})
}

// TestSQLiIsBounded gives libinjection what takes it a second when it is not held back.
func TestSQLiIsBounded(t *testing.T) {
	op := compile(t, "detectSQLi", "")
	hostile := `{\"a\":\"` + strings.Repeat(`b\",\"cccccccc\":\"d`, 64<<10/20)
	n := affordable(hostile)
	if work := n * strings.Count(hostile[:n], `\"`); n == len(hostile) || work > sqliWork+len(hostile) {
		t.Errorf("%d of %d bytes are judged, which is work of %d", n, len(hostile), work)
	}
	for _, padding := range []string{`\'`, `\"`, `''`, `it\'s `} {
		if !op.Match(strings.Repeat(padding, 20000)+`' or 1=1 -- `, "", nil) {
			t.Errorf("an injection hides behind 20000 times %s", padding)
		}
	}
	if op.Match(hostile, "", nil) {
		t.Error("JSON in a string is taken for an injection")
	}
	if n := affordable(strings.Repeat(`it\'s `, 300)); n != 1800 {
		t.Errorf("an ordinary text is cut at %d", n)
	}
}

func BenchmarkMatch(b *testing.B) {
	ordinary := "Please send the blue one to Wireless-Mouse_2024, not to me"
	for name, op := range gatedOperators(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(ordinary)))
			for b.Loop() {
				op.Match(ordinary, "", nil)
			}
		})
	}
}
