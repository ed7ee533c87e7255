package body

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"

	"pgregory.net/rapid"
)

// list writes fields as name=value, one behind the other.
func list(fields []Field) string {
	var b strings.Builder
	for _, f := range fields {
		fmt.Fprintf(&b, "%s=%s;", f.Name, f.Value)
	}
	return b.String()
}

func TestURLEncoded(t *testing.T) {
	for text, want := range map[string]string{
		"a=1&b=2&a=3":          "a=1;b=2;a=3;",
		"&&a&=x&b==c&":         "a=;=x;b==c;",
		"a%20b=%41+%4&%zz=%":   "a b=A %4;%zz=%;",
		"A=1;B=2":              "A=1;B=2;",
		"a[]=1&a%5b%5d=%26%3D": "a[]=1;a[]=&=;",
	} {
		var f Fields
		URLEncoded([]byte(text), Limits{}, &f)
		if got := list(f.Args); got != want || f.Problem.Kind != None {
			t.Errorf("%q: %s %v, want %s", text, got, f.Problem, want)
		}
	}
}

func TestCookies(t *testing.T) {
	var f Fields
	Cookies([]byte("a=1; b = 2;;=x; \x01=;c=d=e;B;a=%41"), Limits{}, &f)
	if got, want := list(f.Args), "a=1;b=2;=x;c=d=e;B=;a=%41;"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestJSON(t *testing.T) {
	for text, want := range map[string]string{
		`{"a":{"b":[1,{"c":null}]},"d":"x\u00e4\ud83d\ude00\n"}`: "json.a.b.0=1;json.a.b.1.c=;json.a.b=2;json.d=xä😀\n;",
		`[[],[true]]`:       "json.1.0=true;json.1=1;json=2;",
		` "a" `:             "json.0=a;json=1;",
		`{}`:                "",
		`{"":-1.5E+7}`:      "json.=-1.5E+7;",
		`["\ud800x\udc00"]`: "json.0=\ufffdx\ufffd;json=1;",
	} {
		var f Fields
		JSON([]byte(text), Limits{}, &f)
		if got := list(f.Args); got != want || f.Problem.Kind != None {
			t.Errorf("%s: %s %v, want %s", text, got, f.Problem, want)
		}
	}
}

func TestJSONProblems(t *testing.T) {
	for _, c := range []struct {
		text, want string
		limits     Limits
		kind       Kind
		at         int
	}{
		{text: ``, kind: Malformed},
		{text: `{"a":1,"b"`, want: "json.a=1;", kind: Malformed, at: 10},
		{text: `[1 2]`, want: "json.0=1;", kind: Malformed, at: 3},
		{text: `[01]`, want: "json.0=0;", kind: Malformed, at: 2},
		{text: `{a:1}`, kind: Malformed, at: 1},
		{text: `["\x"]`, kind: Malformed, at: 2},
		{text: "[\"\n\"]", kind: Malformed, at: 2},
		{text: `1 2`, want: "json.0=1;json=1;", kind: Malformed, at: 2},
		{text: `[[[1]]]`, limits: Limits{Depth: 2}, kind: TooDeep, at: 2},
		{text: `[[1],[2],[3]]`, limits: Limits{Depth: 2}, want: "json.0.0=1;json.0=1;json.1.0=2;json.1=1;json.2.0=3;json.2=1;json=3;"},
		{text: `[1,2,3]`, limits: Limits{Fields: 2}, want: "json.0=1;json.1=2;", kind: TooManyFields, at: 5},
		{text: `[1,2,3`, limits: Limits{Fields: 2}, want: "json.0=1;json.1=2;", kind: TooManyFields, at: 5},
		{text: `{"abcdefgh":{"i":1,"j":2}}`, limits: Limits{Bytes: 20}, want: "json.abcdefgh.i=1;", kind: TooLarge, at: 24},
	} {
		var f Fields
		JSON([]byte(c.text), c.limits, &f)
		if got := list(f.Args); got != c.want || f.Problem.Kind != c.kind || f.Problem.At != c.at {
			t.Errorf("%s: %s %+v, want %s %v at %d", c.text, got, f.Problem, c.want, c.kind, c.at)
		}
	}
}

// TestJSONCountsMemory reaches the limit of bytes beyond the first block of memory.
func TestJSONCountsMemory(t *testing.T) {
	var f Fields
	JSON([]byte(`{"abcdefghijkl":["`+strings.Repeat(`x","`, 700)+`"]}`), Limits{Bytes: 12000}, &f)
	total := 0
	for _, field := range f.Args {
		total += len(field.Name)
	}
	if f.Problem.Kind != TooLarge || total > 12000 || total < 11900 {
		t.Errorf("%+v after %d bytes", f.Problem, total)
	}
}

func TestJSONNoticesDuplicateKeys(t *testing.T) {
	var f Fields
	JSON([]byte(`{"a":1,"b":{"a":2},"\u0061":[{"a":3},{"a":4}]}`), Limits{}, &f)
	if f.DuplicateKeys != 1 {
		t.Errorf("%d duplicate keys, want 1", f.DuplicateKeys)
	}
	var many strings.Builder // more than are compared one by one
	for i := range 40 {
		fmt.Fprintf(&many, `"k%d":{"k%d":0},`, i, i)
	}
	f.Reset()
	JSON([]byte("{"+many.String()+`"k3":1,"k39":2,"new":3}`), Limits{}, &f)
	if f.DuplicateKeys != 2 {
		t.Errorf("%d duplicate keys in a large object, want 2", f.DuplicateKeys)
	}
}

func TestXML(t *testing.T) {
	var f Fields
	XML([]byte(`<?xml version="1.0"?><!DOCTYPE r [<!ENTITY e SYSTEM "file:///etc/passwd">]>
		<r a="1 &amp; 2"> t1 <b c='d'>&e;<![CDATA[<x>]]></b><!-- no --></r>`), Limits{}, &f)
	if got, want := list(f.Texts)+list(f.Attributes), "=t1;=&e;;=<x>;=&e;<x>;a=1 & 2;c=d;"; got != want || f.Problem.Kind != None {
		t.Errorf("%s %+v, want %s", got, f.Problem, want)
	}
	for text, want := range map[string]string{
		"<a>UNI<!-- -->ON<?x?> SEL<![CDATA[ECT]]></a>": "=UNI;=ON;=SEL;=ECT;=UNION SELECT;",
		"<a>b<!-- --> </a>c":                           "=b;=c;", "b<c/>d": "=b;=d;", "<a>b<!-- -->c": "=b;=c;=bc;",
	} {
		var f Fields
		if XML([]byte(text), Limits{}, &f); list(f.Texts) != want {
			t.Errorf("%s: %s, want %s", text, list(f.Texts), want)
		}
	}
	for text, want := range map[string]Kind{"<a>b<!-- -->c": TooManyFields, "<a><b><c>": TooDeep, "<a b='1' c='2'>3": TooManyFields, "</a>": Malformed, "<a>": None} {
		var f Fields
		XML([]byte(text), Limits{Depth: 2, Fields: 2}, &f)
		if f.Problem.Kind != want || len(f.Texts)+len(f.Attributes) > 2 {
			t.Errorf("%s: %+v, want %v", text, f, want)
		}
	}
}

// utf16LE is a text in UTF-16, the lower byte first.
func utf16LE(s string) string {
	var b []byte
	for _, unit := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, unit)
	}
	return string(b)
}

// swapped has the bytes of each pair the other way round.
func swapped(s string) string {
	b := []byte(s)
	for i := 0; i+1 < len(b); i += 2 {
		b[i], b[i+1] = b[i+1], b[i]
	}
	return string(b)
}

// TestXMLCharsets reads documents in UTF-16 and in encodings in which a byte is a character, as the document says or else its Content-Type, and
// refuses the others, in which a byte of ASCII may be something else.
func TestXMLCharsets(t *testing.T) {
	for _, tt := range []struct{ charset, text, want string }{
		{"", `<?xml version="1.0" encoding="ISO-8859-1"?><a b="K` + "\xf6" + `ln">Stra` + "\xdf" + `e</a>`, "=Straße;b=Köln;"},
		{"", `<?xml version='1.0' encoding = 'windows-1252' ?><a>` + "\x80 5" + `</a>`, "=€ 5;"},
		{"", `<?xml version="1.0" encoding="iso-8859-15"?><a>` + "\xa4 5" + `</a>`, "=€ 5;"},
		{"", `<?xml version="1.0" encoding="KOI8-R"?><a>` + "\xc4\xd7\xc5\xd2\xd8" + `</a>`, "=дверь;"},
		{"ISO-8859-1", `<?xml version="1.0"?><a>` + "\xe9" + `</a>`, "=é;"},
		{"windows-1252", `<?xml version="1.0" encoding="UTF-8"?><a>` + "\x80" + `</a>`, "=€;"},
		{"iso-8859-1", "<a>é</a>", "=é;"}, // it is in UTF-8
		{"", `<?xml version="1.0" encoding="us-ascii"?><a>b</a>`, "=b;"},
		{"", "<a>\xe9</a>", "malformed"},
		{"shift_jis", "<a>\xe9</a>", "malformed"},
		{"", `<?xml version="1.0" encoding="GBK"?><a>b</a>`, "malformed"},
		{"", `<?xml version="1.0" encoding="utf-7"?><a>b</a>`, "malformed"},
		{"utf-8", `<?xml version="1.0" encoding="utf-16"?><a>b</a>`, "malformed"},
		{"", `<a><?xml version="1.0" encoding="ISO-8859-1"?>b</a>`, "malformed"},
		{"", "\ufeff" + `<?xml version="1.0" encoding="ISO-8859-1"?><a>b</a>`, "malformed"},
		{"utf-16", utf16LE("\ufeff" + `<?xml version="1.0" encoding="utf-16"?><a b="ü">Tür 🚪</a>`), "=Tür 🚪;b=ü;"},
		{"", utf16LE(`<?xml version="1.0"?><a>b</a>`), "=b;"},
		{"", utf16LE("\ufeff<a>b</a>"), "=b;"},
		{"", swapped(utf16LE("\ufeff" + `<?xml version="1.0" encoding="UTF-16"?><a>Tür</a>`)), "=Tür;"},
		{"", utf16LE("\ufeff" + `<?xml version="1.0" encoding="UTF-8"?><a>b</a>`), "malformed"},
		{"", utf16LE("\ufeff<a>b</a>") + "x", "malformed"},
		{"", utf16LE("\ufeff<a>b") + "\x00\xd8<\x00/\x00a\x00>\x00", "malformed"},
	} {
		var f Fields
		XML([]byte(tt.text), Limits{Charset: tt.charset, Tokens: true}, &f)
		got := list(f.Texts) + list(f.Attributes)
		if f.Problem.Kind == Malformed {
			got = "malformed"
		}
		if got != tt.want {
			t.Errorf("%q %q: %q, want %q", tt.charset, tt.text, got, tt.want)
		}
	}
	var f Fields
	text := `<?xml version="1.0" encoding="ISO-8859-1"?><a>` + "\xe9\xe8" + `<b>` + "\xfcber" + `</b></a>`
	XML([]byte(text), Limits{}, &f)
	var w Fields
	wideText := utf16LE("\ufeff<a>Tür 🚪<b>über</b></a>")
	XML([]byte(wideText), Limits{}, &w)
	for i, want := range []string{"Tür 🚪", "über"} {
		if at := w.Texts[i]; wideText[at.Start:at.End] != utf16LE(want) {
			t.Errorf("%s stands at %q", at.Value, wideText[at.Start:at.End])
		}
	}
	for i, want := range []string{"\xe9\xe8", "\xfcber"} {
		if at := f.Texts[i]; text[at.Start:at.End] != want {
			t.Errorf("%s stands at %q", at.Value, text[at.Start:at.End])
		}
	}
}

// TestPositions finds each plain value where its field says that it stands.
func TestPositions(t *testing.T) {
	for name, parse := range map[string]func(*Fields) string{
		"form":    func(f *Fields) string { s := "a=1&bc=22&d="; URLEncoded([]byte(s), Limits{}, f); return s },
		"cookies": func(f *Fields) string { s := " a=1; bc = 22 ;d"; Cookies([]byte(s), Limits{}, f); return s },
		"json":    func(f *Fields) string { s := `{"a":"1","b":22,"c":true}`; JSON([]byte(s), Limits{}, f); return s },
		"multipart": func(f *Fields) string {
			Multipart([]byte(upload), "multipart/form-data; boundary=b", Limits{}, f)
			return upload
		},
	} {
		var f Fields
		text := parse(&f)
		for _, field := range f.Args {
			if text[field.Start:field.End] != field.Value {
				t.Errorf("%s: %+v stands at %q", name, field, text[field.Start:field.End])
			}
		}
	}
}

func TestLimitOfFields(t *testing.T) {
	var f Fields
	URLEncoded([]byte("a=1&&b=2&&c"), Limits{Fields: 2}, &f)
	if got := list(f.Args); got != "a=1;b=2;" || f.Problem != (Problem{TooManyFields, 10, "more fields than the limit"}) {
		t.Errorf("%s %+v", got, f.Problem)
	}
	f.Reset()
	URLEncoded([]byte("a=1&b=2&&"), Limits{Fields: 2}, &f)
	if f.Problem.Kind != None || len(f.Args) != 2 {
		t.Errorf("exactly as many as allowed: %+v", f.Problem)
	}
}

// TestJSONTwin compares with encoding/json: what is valid, and every value under its name.
func TestJSONTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { compareWithEncodingJSON(t, []byte(document().Draw(t, "document"))) })
}

func compareWithEncodingJSON(t rapid.TB, text []byte) {
	var f Fields
	JSON(text, Limits{Fields: 1 << 20, Depth: 9000, Bytes: 1 << 28}, &f)
	if got, want := f.Problem.Kind == None, json.Valid(text); got != want {
		t.Fatalf("%q: valid %v, encoding/json says %v (%+v)", text, got, want, f.Problem)
	}
	if f.Problem.Kind != None || f.DuplicateKeys > 0 {
		return
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		t.Fatal(err)
	}
	switch v.(type) {
	case map[string]any, []any:
	default:
		v = []any{v}
	}
	var want, got []string
	flatten("json", v, &want)
	for _, field := range f.Args {
		got = append(got, strings.ToValidUTF8(field.Name, "\ufffd")+"="+strings.ToValidUTF8(field.Value, "\ufffd"))
	}
	for i := range want { // encoding/json writes one U+FFFD for each invalid byte, strings.ToValidUTF8 one for each run
		want[i] = shorten(want[i])
		got[min(i, len(got)-1)] = shorten(got[min(i, len(got)-1)])
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Fatalf("%q: %q, encoding/json says %q", text, got, want)
	}
}

// shorten makes one of each run of U+FFFD.
func shorten(s string) string {
	for strings.Contains(s, "\ufffd\ufffd") {
		s = strings.ReplaceAll(s, "\ufffd\ufffd", "\ufffd")
	}
	return s
}

func flatten(name string, v any, out *[]string) {
	switch v := v.(type) {
	case map[string]any:
		for k, member := range v {
			flatten(name+"."+k, member, out)
		}
	case []any:
		for i, element := range v {
			flatten(name+"."+strconv.Itoa(i), element, out)
		}
		if len(v) > 0 {
			*out = append(*out, name+"="+strconv.Itoa(len(v)))
		}
	case nil:
		*out = append(*out, name+"=")
	default:
		*out = append(*out, fmt.Sprintf("%s=%v", name, v))
	}
}

// TestURLEncodedTwin compares with net/url for what that accepts.
func TestURLEncodedTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := pieces("&", "=", "a", "b=1", "%41", "%26", "+", "A", "\xff", "%3d", "c").Draw(t, "form")
		want, err := url.ParseQuery(text)
		if err != nil {
			return
		}
		var f Fields
		URLEncoded([]byte(text), Limits{}, &f)
		got := url.Values{}
		for _, field := range f.Args {
			got.Add(field.Name, field.Value)
		}
		if got.Encode() != want.Encode() {
			t.Fatalf("%q: %v, net/url says %v", text, got, want)
		}
	})
}

// TestResetKeepsNothing parses two bodies with one list.
func TestResetKeepsNothing(t *testing.T) {
	var f Fields
	for range 3 {
		f.Reset()
		JSON([]byte(`{"a":"\u0041","a":1} x`), Limits{}, &f)
		Multipart([]byte(upload), "multipart/form-data; boundary=b", Limits{}, &f)
		if f.DuplicateKeys != 1 || len(f.Args) != 3 || len(f.Files) != 1 || f.Problem.Kind != Malformed || f.Args[0].Value != "A" {
			t.Fatalf("%+v", f)
		}
	}
	f.Reset()
	if len(f.Args)+len(f.Files)+len(f.PartHeaders)+f.FilesSize+f.DuplicateKeys > 0 || f.Problem.Kind != None || f.Multipart != (MultipartFlags{}) {
		t.Errorf("after Reset: %+v", f)
	}
}

// TestResetKeepsLittle holds a list that has seen a large body to the memory of an ordinary one.
func TestResetKeepsLittle(t *testing.T) {
	var f Fields
	JSON([]byte(`["`+strings.Repeat(`\n`, 1<<20)+`"]`), Limits{}, &f)
	if f.Reset(); cap(f.arena.block) > arenaKept {
		t.Errorf("%d bytes are kept", cap(f.arena.block))
	}
}

func TestNoAllocation(t *testing.T) {
	for name, parse := range parsers() {
		var f Fields
		parse(&f)
		if n := testing.AllocsPerRun(20, func() { f.Reset(); parse(&f) }); n > 0 && name != "multipart" && name != "xml" {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// parsers parse an ordinary text of each kind.
func parsers() map[string]func(*Fields) {
	form := []byte("name=Jane+Doe&street=Main%20St.+5&city=Berlin&zip=10115&mail=jane%40example.org&phone=%2B49301234&note=please+ring&agree=on&lang=de&token=a8f5f167f44f4964e6c998dee827110c")
	cookies := []byte("session=a8f5f167f44f4964e6c998dee827110c; theme=dark; _ga=GA1.2.12345.678; lang=de; consent=1; cart=17")
	document := []byte(`{"items":[` + strings.Repeat(`{"id":17,"name":"blue \"pen\"","price":1.25,"tags":["a","b"]},`, 60) + `null]}`)
	doc := []byte(`<r>` + strings.Repeat(`<item id="17">blue pen</item>`, 60) + `</r>`)
	return map[string]func(*Fields){
		"form":      func(f *Fields) { URLEncoded(form, Limits{}, f) },
		"cookies":   func(f *Fields) { Cookies(cookies, Limits{}, f) },
		"json4k":    func(f *Fields) { JSON(document, Limits{}, f) },
		"xml":       func(f *Fields) { XML(doc, Limits{}, f) },
		"multipart": func(f *Fields) { Multipart([]byte(upload), "multipart/form-data; boundary=b", Limits{}, f) },
	}
}

func BenchmarkParse(b *testing.B) {
	for name, parse := range parsers() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var f Fields
			for b.Loop() {
				f.Reset()
				parse(&f)
			}
		})
	}
}
