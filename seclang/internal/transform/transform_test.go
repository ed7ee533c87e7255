package transform

import (
	"bytes"
	"crypto/sha1"
	"html"
	"path"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func lookup(t testing.TB, name string) T {
	t.Helper()
	tr, ok := Lookup(name)
	if !ok {
		t.Fatalf("no transformation %q", name)
	}
	return tr
}

func TestVectors(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"none", "A%41", "A%41"},
		{"base64Decode", "c2VsZWN0IDE=", "select 1"},
		{"base64Decode", "c2Vs\nZWN0!IDE", "select"},
		{"base64Decode", "YW", "a"},
		{"base64Decode", "YWI", "ab"},
		{"base64Decode", "Y", ""},
		{"base64Decode", "!", ""},
		{"base64DecodeExt", "c2Vs.ZWN0 \xffIDE=x", "select 1"},
		{"base64DecodeExt", "-_-_", "\xfb\xff\xbf"},
		{"base64Encode", "ab", "YWI="},
		{"cmdLine", `C^a"t  /e'tc\/p,;asswd`, "cat/etc/p asswd"},
		{"cmdLine", "a (b", "a(b"},
		{"compressWhitespace", "a \t\n b\u00a0\u0085c\xa0d", "a b c d"},
		{"compressWhitespace", "déjà vu", "déjà vu"},
		{"cssDecode", `\69 f\000061l\ff01\0`, "ifal!\ufffd"},
		{"cssDecode", "a\\\nb\\", "ab"},
		{"cssDecode", `\zj`, "zj"},
		{"escapeSeqDecode", `\x41\101\n\?\q\777`, "AA\n?q\xff"},
		{"escapeSeqDecode", `a\`, `a\`},
		{"hexDecode", "61626", "61626"},
		{"hexDecode", "6162", "ab"},
		{"hexEncode", "a\xff", "61ff"},
		{"htmlEntityDecode", "&lt;&LTx&#60;&#x3c;&#x3C&notit;&bogus;&", "<<x<<<¬it;&bogus;&"},
		{"jsDecode", `\u0041\u{41}\uff21\x41\101\477\'\`, `AAAAA'7'\`},
		{"length", "", "0"},
		{"length", "äb", "3"},
		{"lowercase", "ÄbC\u212a", "äbck"},
		{"md5", "", "\xd4\x1d\x8c\xd9\x8f\x00\xb2\x04\xe9\x80\x09\x98\xec\xf8\x42\x7e"},
		{"normalizePath", "/a/./b//../c/", "/a/c/"},
		{"normalisePath", "../../a", "../../a"},
		{"normalisePath", "a/..", ""},
		{"normalisePath", "/", "//"},
		{"normalisePathWin", `c:\a\..\b. \x.txt::$DATA`, "c:/b/x.txt"},
		{"normalisePathWin", `\a\x.asp:y\`, "/a/x.asp/"},
		{"removeComments", "a/*b*/c<!--d-->e--f", "ace"},
		{"removeComments", "a#b", "a"},
		{"removeComments", "a/*b", "a "},
		{"removeComments", "/**//*x*/", "/*x*/"},
		{"removeCommentsChar", "a/*b*/c<!--d-->e#--f", "abcdef"},
		{"removeNulls", "a\x00b\x00", "ab"},
		{"removeWhitespace", " a\tb\u2003\u00a0c", "abc"},
		{"replaceComments", "a/*b*/c/*", "a c "},
		{"replaceNulls", "a\x00b", "a b"},
		{"trim", "\v a b \n", "a b"},
		{"trimLeft", "\v a b \n", "a b \n"},
		{"trimRight", "\v a b \n", "\v a b"},
		{"uppercase", "äbc", "ÄBC"},
		{"urlDecode", "a+%41%4%zz%", "a A%4%zz%"},
		{"urlDecodeUni", "%u0041%uff1c%u2039%u00fg%U0142%", "A<<%u00fgl%"},
		{"urlEncode", "a b*-\xff", "a+b*%2d%ff"},
		{"utf8toUnicode", "aä€\xff\U0001f600\U0010ffff", "a%u00e4%u20ac%ufffd%u1f600%u10ffff"},
	} {
		if got := lookup(t, c.name).Apply(nil, []byte(c.in)); string(got) != c.want {
			t.Errorf("%s(%q) = %q, want %q", c.name, c.in, got, c.want)
		}
	}
	sum := sha1.Sum([]byte("x"))
	if got := lookup(t, "SHA1").Apply(nil, []byte("x")); !bytes.Equal(got, sum[:]) {
		t.Errorf("sha1(x) = %x", got)
	}
}

func TestLookupKnowsNoOther(t *testing.T) {
	if _, ok := Lookup("sqlHexDecode"); ok {
		t.Error("sqlHexDecode is no transformation of Coraza 3.8.1")
	}
	for _, name := range Names() {
		if got := lookup(t, strings.ToUpper(name)).String(); got != name {
			t.Errorf("Lookup(%q in upper case) = %q", name, got)
		}
	}
}

// value draws strings in which escapes, marks and limits are likely.
func value() *rapid.Generator[string] {
	piece := rapid.OneOf(
		rapid.SampledFrom([]string{"%", "+", "%u", "%41", "%uff1c", "&", "&#", "&#x", "&lt", "&nGt;", ";", `\`, `\u{`, `\u00`, `\x`, "}", "/*", "*/",
			"<!--", "-->", "--", "#", "/", "..", ".", ":", " ", "\t", "\x00", "\u00a0", "\u0085", "\xa0", "\xff", "ä", "K", "\u212a", "\u2028", "0", "7", "f", "A", "="}),
		rapid.StringOfN(rapid.RuneFrom([]rune("aZ09 /-")), 0, 4, -1),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 3), func(b []byte) string { return string(b) }),
	)
	return rapid.Map(rapid.SliceOfN(piece, 0, 12), func(p []string) string { return strings.Join(p, "") })
}

func TestIdentityIsSound(t *testing.T) {
	for i := range table {
		tr := T(i)
		t.Run(tr.String(), rapid.MakeCheck(func(t *rapid.T) { checkIdentity(t, tr, []byte(value().Draw(t, "value"))) }))
	}
}

// TestIdentityOfEachByte tries every set of one and of two bytes, twice each so that repetition counts.
func TestIdentityOfEachByte(t *testing.T) {
	for i := range table {
		for a := 0; a < 256; a++ {
			for b := a; b < 256; b++ {
				checkIdentity(t, T(i), []byte{byte(a), byte(b), byte(a), byte(b)})
			}
		}
	}
}

func checkIdentity(t rapid.TB, tr T, src []byte) {
	var present [4]uint64
	Present(&present, src)
	if got := tr.Apply(nil, src); tr.Identity(&present) && !bytes.Equal(got, src) {
		t.Fatalf("%s: Identity holds for the bytes of %q, which becomes %q", tr, src, got)
	}
}

// TestIdentityIsUseful holds the masks to their purpose: an ordinary value needs no copy.
func TestIdentityIsUseful(t *testing.T) {
	var present [4]uint64
	Present(&present, []byte("/shop/item: 5 % off"))
	for _, name := range []string{"removeComments", "removeCommentsChar", "replaceComments", "jsDecode", "lowercase", "utf8toUnicode"} {
		if !lookup(t, name).Identity(&present) {
			t.Errorf("%s: an ordinary path may change", name)
		}
	}
	present = [4]uint64{}
	Present(&present, []byte("Wireless-Mouse_2024"))
	for _, name := range []string{"urlDecodeUni", "jsDecode", "htmlEntityDecode", "cssDecode", "utf8toUnicode", "removeNulls",
		"replaceComments", "normalizePath", "escapeSeqDecode", "removeWhitespace", "compressWhitespace"} {
		if !lookup(t, name).Identity(&present) {
			t.Errorf("%s: an ordinary value may change", name)
		}
	}
}

func TestApplyKeepsItsContract(t *testing.T) {
	for i := range table {
		tr := T(i)
		t.Run(tr.String(), rapid.MakeCheck(func(t *rapid.T) { checkContract(t, tr, value().Draw(t, "value")) }))
	}
}

func checkContract(t rapid.TB, tr T, in string) {
	src := []byte(in)
	scratch := bytes.Repeat([]byte("x"), 8*len(in)+64)
	got := tr.Apply(scratch, src)
	if string(src) != in {
		t.Fatalf("%s wrote to its source: %q became %q", tr, in, src)
	}
	switch {
	case len(got) == 0:
	case string(got) == in:
		if &got[0] != &src[0] {
			t.Fatalf("%s(%q): unchanged, but not the source itself", tr, in)
		}
	case &got[0] != &scratch[0]:
		t.Fatalf("%s(%q): changed, but not in the scratch", tr, in)
	}
	if again := tr.Apply(nil, src); !bytes.Equal(again, got) {
		t.Fatalf("%s(%q) depends on the scratch: %q or %q", tr, in, got, again)
	}
}

// TestTwins compares with what the standard library does slowly and obviously.
func TestTwins(t *testing.T) {
	twins := map[string]func(string) string{
		"lowercase":        strings.ToLower,
		"uppercase":        strings.ToUpper,
		"htmlEntityDecode": unescapeHTML,
		"normalisePath":    cleanPath,
		"trim":             func(s string) string { return strings.Trim(s, asciiSpace) },
		"replaceNulls":     func(s string) string { return strings.ReplaceAll(s, "\x00", " ") },
		"removeNulls":      func(s string) string { return strings.ReplaceAll(s, "\x00", "") },
	}
	for name, twin := range twins {
		tr := lookup(t, name)
		t.Run(name, rapid.MakeCheck(func(t *rapid.T) {
			in := value().Draw(t, "value")
			if got, want := string(tr.Apply(nil, []byte(in))), twin(in); got != want {
				t.Fatalf("%s(%q) = %q, its twin says %q", name, in, got, want)
			}
		}))
	}
}

// unescapeHTML unescapes piece by piece: html.UnescapeString works in place and overwrites what it has not read yet when a
// reference is shorter than what it stands for ("&nGt;").
func unescapeHTML(s string) string {
	first, rest, found := strings.Cut(s, "&")
	if !found {
		return s
	}
	for i := 1; i < len(rest); i++ {
		if rest[i] == '&' {
			return first + html.UnescapeString("&"+rest[:i]) + unescapeHTML(rest[i:])
		}
	}
	return first + html.UnescapeString("&"+rest)
}

func cleanPath(s string) string {
	clean := path.Clean(s)
	switch {
	case clean == ".":
		return ""
	case strings.HasSuffix(s, "/"):
		return clean + "/"
	}
	return clean
}

func TestEntityListIsWhole(t *testing.T) {
	if n := len(entities()); n != 2229 {
		t.Errorf("%d named character references, want 2229", n)
	}
	for name, text := range entities() {
		if want := html.UnescapeString("&" + name + "    "); text+"    " != want && !strings.HasPrefix(want, text) {
			t.Errorf("&%s is %q, package html says %q", name, text, want)
		}
		if !utf8.ValidString(text) || text == "" || !strings.HasSuffix(name, ";") && len(name) > longestOpenName {
			t.Errorf("&%s: bad entry %q", name, text)
		}
	}
}

func TestNoAllocation(t *testing.T) {
	values := [][]byte{[]byte("plain"), []byte(`%41+&lt; \x41\u0041 /* c */ ../a "B" ä`), []byte("4142")}
	dst := make([]byte, 0, 1024)
	entities()
	for i := range table {
		for _, v := range values {
			if n := testing.AllocsPerRun(20, func() { T(i).Apply(dst, v) }); n > 0 {
				t.Errorf("%s(%q): %v allocations", T(i), v, n)
			}
		}
	}
}

func FuzzApply(f *testing.F) {
	f.Add([]byte(`a%u0041+&#x41;\u{41}/*x*/<!--y-->..\z:"`))
	f.Fuzz(func(t *testing.T, src []byte) {
		for i := range table {
			checkIdentity(t, T(i), src)
			checkContract(t, T(i), string(src))
		}
		if got, want := string(htmlEntityDecode(nil, src)), unescapeHTML(string(src)); got != want {
			t.Errorf("htmlEntityDecode(%q) = %q, its twin says %q", src, got, want)
		}
	})
}

func BenchmarkApply(b *testing.B) {
	dst := make([]byte, 0, 16<<10)
	for _, v := range []struct{ name, value string }{
		{"plain", "Wireless-Mouse_2024"},
		{"text", strings.Repeat("The quick brown fox jumps over the lazy dog, and déjà vu: it's 5 o'clock.\n", 40)},
		{"encoded", "id%3D1%27+UNION%2F%2A%2A%2FSELECT+%22a%22%26lt%3B+%5Cx41..%2F..%2Fetc"},
	} {
		for _, name := range []string{"urlDecodeUni", "lowercase", "jsDecode", "htmlEntityDecode", "cmdLine", "normalizePath", "removeWhitespace",
			"compressWhitespace", "utf8toUnicode"} {
			tr := lookup(b, name)
			src := []byte(v.value)
			b.Run(name+"/"+v.name, func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(src)))
				for b.Loop() {
					tr.Apply(dst, src)
				}
			})
		}
	}
}
