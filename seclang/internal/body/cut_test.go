package body

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// cut is what a body comes to in pieces: what each is, and what the parser makes of it.
type cut struct {
	pieces []string
	parsed []*Fields
}

// cutWhole cuts a body that arrives in steps into pieces through a window, and parses them.
func cutWhole(t rapid.TB, processor, contentType, text string, window, step int) cut {
	t.Helper()
	c := NewCutter(processor, contentType)
	if c == nil {
		t.Fatalf("no cutter for %s", processor)
	}
	var out cut
	buffer := make([]byte, 0, window)
	for rest := text; ; {
		n := min(len(rest), step, window-len(buffer))
		buffer, rest = append(buffer, rest[:n]...), rest[n:]
		final, full := rest == "", len(buffer) == window
		p := c.Cut(buffer, final, full)
		if p.Settled < 0 || p.Settled > len(buffer) || (full || final) && p.Settled == 0 && len(buffer) > 0 {
			t.Fatalf("%d of %d bytes are settled (final %v, full %v) of %q", p.Settled, len(buffer), final, full, text)
		}
		if len(p.Body) > 0 {
			whole := string(p.Head) + string(p.Body) + string(p.Tail)
			f := new(Fields)
			parseAs(processor, contentType, []byte(whole), f)
			out.pieces, out.parsed = append(out.pieces, whole), append(out.parsed, f)
		}
		buffer = buffer[:copy(buffer, buffer[p.Settled:])]
		if final && len(buffer) == 0 {
			return out
		}
	}
}

func parseAs(processor, contentType string, text []byte, out *Fields) {
	switch processor {
	case "URLENCODED":
		URLEncoded(text, Limits{Fields: 1 << 20}, out)
	case "JSON":
		JSON(text, Limits{Fields: 1 << 20}, out)
	case "XML":
		XML(text, Limits{Fields: 1 << 20, Tokens: true}, out)
	case "MULTIPART":
		Multipart(text, contentType, Limits{Fields: 1 << 20}, out)
	}
}

// faulty reports whether rules refuse a body for how it is written.
func faulty(f *Fields) bool {
	m := &f.Multipart
	return f.Problem.Kind != None || m.StrictError || m.UnmatchedBoundary || m.DataBefore || m.DataAfter
}

// holds reports whether a field of the whole is in a piece under its name; the elements of an array have other numbers there.
func (c *cut) holds(of func(*Fields) []Field, want Field) bool {
	for _, f := range c.parsed {
		for _, got := range of(f) {
			if strings.Contains(got.Value, want.Value) && unnumbered(got.Name) == unnumbered(want.Name) {
				return true
			}
		}
	}
	return false
}

func unnumbered(name string) string {
	parts := strings.Split(name, ".")
	for i, p := range parts {
		if p != "" && strings.Trim(p, "0123456789") == "" {
			parts[i] = "0"
		}
	}
	return strings.Join(parts, ".")
}

// faulty reports whether a piece is refused for how it is written.
func (c *cut) faulty() bool {
	for _, f := range c.parsed {
		if faulty(f) {
			return true
		}
	}
	return false
}

func args(f *Fields) []Field       { return f.Args }
func texts(f *Fields) []Field      { return f.Texts }
func attributes(f *Fields) []Field { return f.Attributes }

// checkCut holds for every body: what the parser finds in the whole, and is not longer than what pieces share, is in a piece, or the
// pieces are refused for how they are written; and pieces of a good body are good.
func checkCut(t rapid.TB, processor, contentType, text string, window, step int, roomy bool) {
	t.Helper()
	var whole Fields
	parseAs(processor, contentType, []byte(text), &whole)
	c := cutWhole(t, processor, contentType, text, window, step)
	bad := c.faulty()
	if roomy && !faulty(&whole) && bad {
		t.Fatalf("%q is good, and its pieces are not:\n%q\n%s", text, c.pieces, c.problems())
	}
	if bad {
		return
	}
	for _, of := range []func(*Fields) []Field{args, texts, attributes} {
		for _, want := range of(&whole) {
			if want.End-want.Start <= window/4 && len(want.Name) <= window/4 && !c.holds(of, want) && !isLength(want, text) {
				t.Fatalf("%q=%q of %q is in none of %q", want.Name, want.Value, text, c.pieces)
			}
		}
	}
}

// isLength reports whether a field of a JSON document stands nowhere in it: it is how many elements an array has.
func isLength(f Field, text string) bool { return f.Start == f.End && text[f.Start-1] == ']' }

func (c *cut) problems() string {
	var b strings.Builder
	for _, f := range c.parsed {
		fmt.Fprintf(&b, "%+v %+v\n", f.Problem, f.Multipart)
	}
	return b.String()
}

const formOfBo = "multipart/form-data; boundary=bo"

// TestCutBodiesHoldTheSame cuts bodies of all kinds, good and bad, through windows of all sizes.
func TestCutBodiesHoldTheSame(t *testing.T) {
	markup := pieces("<a>", "</a>", "<b c='d'>", `<b c="d" e="f<g"/>`, "</b>", "text", " ", "&amp;", "<!-- x > -->", "<![CDATA[<y>]]>", "<?z?>", "ü")
	pairs := pieces("a=1", "&", "b=%41", "=", "+", "ü", "cd", "%", "name=value")
	for _, kind := range []struct {
		processor, contentType string
		text                   *rapid.Generator[string]
		least, roomy           int // bytes of a window
	}{
		{"URLENCODED", "", pairs, 8, 8}, {"JSON", "", document(), 16, 48}, {"XML", "", markup, 16, 48}, {"MULTIPART", formOfBo, form(), 24, 400},
	} {
		t.Run(kind.processor, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				text := strings.Join(rapid.SliceOfN(kind.text, 1, 3).Draw(t, "text"), "")
				if kind.processor == "JSON" {
					text = kind.text.Draw(t, "document")
				}
				window := rapid.IntRange(kind.least, 2*kind.roomy).Draw(t, "window")
				checkCut(t, kind.processor, kind.contentType, text, window, rapid.IntRange(1, 50).Draw(t, "step"), window >= kind.roomy)
			})
		})
	}
}

// TestCutValues cuts bodies of which one value takes many windows: an attack in it is whole in one of the pieces, under the
// value's name, and pieces of a picture are pictures.
func TestCutValues(t *testing.T) {
	const window = 4 << 10
	filler, attack := strings.Repeat("lorem ipsum dolor ", 1000), "<script>alert(1)</script>"
	picture := "data:image/png;base64,iVBORw0KGgoAAAANSUhEUg" + strings.Repeat("AAECAwQFBgc", 2000)
	for _, c := range []struct {
		name, processor, before, after string
		of                             func(*Fields) []Field
		field                          string
	}{
		{"a form", "URLENCODED", "x=1&long=", "&y=2", args, "long"},
		{"a text", "URLENCODED", "", "", args, ""},
		{"an object", "JSON", `{"x":[1,{"long":"`, `"}],"y":2}`, args, "json.x.0.long"},
		{"an array", "JSON", `["`, `"]`, args, "json.0"},
		{"a JSON string", "JSON", `"`, `"`, args, "json.0"},
		{"a text of XML", "XML", "<a><b>", "</b><c/></a>", texts, ""},
		{"an attribute", "XML", "<a><b x='y' long='", "'>z</b></a>", attributes, "long"},
		{"a section", "XML", "<a><![CDATA[", "]]></a>", texts, ""},
		{"a part", "MULTIPART", "--bo\r\nContent-Disposition: form-data; name=\"long\"\r\n\r\n", "\r\n--bo--\r\n", args, "long"},
	} {
		for at := 0; at < len(filler); at += 997 {
			value := filler[:at] + attack + filler[at:]
			if c.processor != "URLENCODED" || c.before != "" {
				value = strings.ReplaceAll(value, " ", "+")
			}
			if c.processor == "XML" && c.of != nil && c.name != "a section" {
				value = strings.NewReplacer("<", "&lt;").Replace(value)
			}
			got := cutWhole(t, c.processor, formOfBo, c.before+value+c.after, window, 1000)
			if got.faulty() {
				t.Fatalf("%s: %s", c.name, got.problems())
			}
			found := false
			for _, f := range got.parsed {
				for _, field := range c.of(f) {
					found = found || strings.Contains(field.Value, attack) && (field.Name == c.field || c.processor == "XML" || c.field == "")
					found = found || strings.Contains(field.Name, attack) && c.field == ""
				}
			}
			if !found {
				t.Fatalf("%s: an attack behind %d bytes is in none of %d pieces", c.name, at, len(got.pieces))
			}
		}
		if c.name == "a text" || c.name == "a text of XML" || c.name == "a section" {
			continue
		}
		got := cutWhole(t, c.processor, formOfBo, c.before+picture+c.after, window, 1000)
		for i, f := range got.parsed {
			for _, field := range c.of(f) {
				if strings.Contains(field.Value, "AAEC") && !strings.HasPrefix(field.Value, "data:image/png;base64,iVBORw0KGgo") {
					t.Errorf("%s: piece %d is no picture: %.60q", c.name, i, field.Value)
				}
			}
		}
	}
}

// finds reports whether a value of any piece holds the text.
func (c *cut) finds(text string) bool {
	for _, f := range c.parsed {
		for _, of := range [][]Field{f.Args, f.Texts, f.Attributes} {
			for _, field := range of {
				if strings.Contains(field.Value, text) {
					return true
				}
			}
		}
	}
	return false
}

// upTo is text with blanks behind it up to a length; the test shifts it by a few bytes.
func upTo(text string, length int) string { return text + strings.Repeat(" ", length-len(text)) }

// TestCutHidesNothing cuts bodies that were made to have something overlooked. It is in a piece, or a piece is refused for how it is
// written, whatever the alignment.
func TestCutHidesNothing(t *testing.T) {
	const window, part, attack = 4 << 10, "--bo\r\nContent-Disposition: form-data; name=\"a\"", "1' UNION SELECT"
	much := strings.Repeat("filler ", 2*window/7)
	for name, c := range map[string]struct {
		processor, body string
		certain         bool // it is found, not only refused
	}{
		"a comment in a literal of a declaration": {"XML", `<!DOCTYPE a PUBLIC "-//x" "><!--"><a>` + much + "<b>" + attack + "</b></a>", true},
		"a section in one":                        {"XML", `<!DOCTYPE a PUBLIC "-//x" "><![CDATA["><a>` + much + "<b>" + attack + "</b></a>", true},
		"a declaration that fills the window":     {"XML", `<!DOCTYPE a [` + strings.Repeat("<!ELEMENT b ANY>", window/8) + `]><a>` + attack + "</a>", false},
		"references before the cut":               {"XML", "<a>" + attack + strings.Repeat("&amp;", window) + "</a>", true},
		"long references":                         {"XML", "<a>" + attack + strings.Repeat("&#00000000000000000000000000000000000000000000000000000000000000000000000065;", window/8) + "</a>", false},
		"a tag that does not end in the window":   {"XML", `<a x="` + attack + `" y="` + strings.Repeat("A", 2*window) + `"/>`, true},
		"two values that are cut":                 {"XML", `<?xml version="1.0"?><r x='` + strings.Repeat("A", window+window/2) + `' y="` + strings.Repeat("B", window+window/2) + attack + `"/>`, true},
		"text over comments":                      {"XML", "<a>" + attack[:6] + strings.Repeat("<!-- x -->", window/4) + attack[6:] + "</a>", true},
		"an apostrophe in a bare value":           {"XML", "<a b=c'd>" + much + "<e>" + attack + "</e></a>", false},
		"a string that fills the window":          {"JSON", `"` + attack + strings.Repeat("A", 2*window) + `"`, true},
		"a name that fills the window":            {"JSON", `{"` + strings.Repeat("A", 2*window) + `":"` + attack + `"}`, true},
		"brackets that do not fit":                {"JSON", `[{"a":1]` + much + `"` + attack + `"`, false},
		"spaces that fill the window":             {"JSON", `{"a":` + strings.Repeat(" ", 2*window) + `"` + attack + `"}`, true},
		"a header that fills the window":          {"MULTIPART", part + "\r\nX: " + strings.Repeat("A", 2*window) + "\r\n\r\n" + attack + "\r\n--bo--\r\n", false},
		"a file behind half a line end":           {"MULTIPART", part + "\r\n\r\nhi\n" + part + "; filename=\"x\"\r\n\r\n" + much + attack + much + "\r\n--bo--\r\n", true},
		"a field behind half a line end":          {"MULTIPART", part + "; filename=\"x\"\r\n\r\n" + much + "\n" + part + "\r\n\r\n" + attack + "\r\n--bo--\r\n", true},
		"a field that is named as a file":         {"MULTIPART", strings.Replace(part, `"a"`, `"filename"`, 1) + "\r\n\r\n" + much + attack + "\r\n--bo--\r\n", true},
		"a boundary where a piece begins":         {"MULTIPART", upTo(part+"\r\n\r\n", 3*window/4) + "--bo\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x\"\r\n\r\n" + much[:window/2] + attack + much + "\r\n--bo--\r\n", true},
		"a boundary line with half a line end":    {"MULTIPART", part + "\r\n\r\n" + much[:3*window/4] + "\r\n--bo\nContent-Disposition: form-data; name=\"f\"; filename=\"" + much[:window/2] + "\"\n\n" + attack + "\n--bo--\n", false},
		"a field behind a boundary within a line": {"MULTIPART", part + "; filename=\"x\"\r\n\r\n" + much + part + "\r\n\r\n" + attack + much + "\r\n--bo--\r\n", true},
		"declarations in a text":                  {"XML", "<a>" + attack[:6] + "<!x>" + attack[6:12] + "<!y>" + attack[12:] + "</a>" + much, true},
		"a quotation mark where a window ends":    {"XML", upTo("<a", window-4) + ` x="` + attack + much + `"/>`, true},
		"a section of hyphens":                    {"XML", "<a><![CDATA[" + strings.Repeat("-", 3*window) + attack + "]]></a>", true},
		"a comment of hyphens":                    {"XML", "<a><!-- " + strings.Repeat("-", 3*window) + " -->" + attack + "</a>", false},
		"ends of elements that nobody opened":     {"XML", strings.Repeat("<a>", 50) + strings.Repeat("</b>", window) + attack, false},
		"a string that is no UTF-8":               {"JSON", `["` + strings.Repeat("\x80", 3*window) + attack + `"]`, true},
		"an escape at the cut":                    {"URLENCODED", "a=" + strings.Repeat("%41", window) + "1%27+UNION+SELECT", true},
	} {
		t.Run(name, func(t *testing.T) {
			for shift := range 12 {
				body := c.body
				switch c.processor {
				case "XML":
					body = "<!--" + strings.Repeat("x", shift) + "-->" + body
				case "JSON":
					body = strings.Repeat(" ", shift) + body
				case "MULTIPART":
					body = strings.Replace(body, "name=", strings.Repeat(" ", shift)+"name=", 1)
				default:
					body = strings.Repeat("x", shift) + body
				}
				got := cutWhole(t, c.processor, formOfBo, body, window, 1500)
				if !got.finds(attack) && (c.certain || !got.faulty()) {
					t.Fatalf("%d bytes on: not in any of %d pieces (faulty: %v)", shift, len(got.pieces), got.faulty())
				}
			}
		})
	}
}

// TestCutBearsWhatIsGood cuts good bodies at places where a cut could spoil them.
func TestCutBearsWhatIsGood(t *testing.T) {
	const window, part = 4 << 10, "--bo\r\nContent-Disposition: form-data; name=\"%s\"%s\r\n\r\n%s\r\n"
	for shift := range 300 {
		for name, c := range map[string]struct{ processor, body string }{
			"characters of several bytes":             {"XML", "<a>" + strings.Repeat("x", shift%12) + strings.Repeat("é€", window) + "</a>"},
			"an attribute of them":                    {"XML", "<a b='" + strings.Repeat("x", shift%12) + strings.Repeat("é€", window) + "'/>"},
			"another encoding":                        {"XML", `<?xml version="1.0" encoding="ISO-8859-1"?><a b='` + "\xe9" + `'>` + strings.Repeat("x", shift%12) + strings.Repeat("\xe9\xe8<b>\xfc</b>", window) + "</a>"},
			"a section of them":                       {"XML", "<a><![CDATA[" + strings.Repeat("x", shift%12) + strings.Repeat("é€", window) + "]]></a>"},
			"a comment of hyphens":                    {"XML", "<a><!--" + strings.Repeat("x", shift%12) + strings.Repeat(" -", window) + " --></a>"},
			"elements that HTML knows without an end": {"XML", "<p>" + strings.Repeat("x<br ></br ><link>y</link><param><b/></param>", window+shift%12) + "</p>"},
			"instructions of question marks":          {"XML", "<a><?x " + strings.Repeat("x", shift%12) + strings.Repeat("?", 3*window) + "?></a>"},
			"a field behind a file":                   {"MULTIPART", fmt.Sprintf(part, "f", "; filename=\"f\"", strings.Repeat("x", window-300+shift)) + fmt.Sprintf(part, "a", "", "value of the field") + "--bo--\r\n"},
		} {
			if shift >= 12 && c.processor == "XML" {
				continue
			}
			got := cutWhole(t, c.processor, formOfBo, c.body, window, window)
			if got.faulty() {
				t.Fatalf("%s, %d bytes on: %s", name, shift, got.problems())
			}
			if c.processor == "MULTIPART" && !got.holds(args, Field{Name: "a", Value: "value of the field"}) {
				t.Fatalf("%s, %d bytes on: its value is in no piece", name, shift)
			}
		}
	}
}

// TestCutHeadsAreBounded nests elements without end: pieces grow by what encloses them, and by no more than the parser bears.
func TestCutHeadsAreBounded(t *testing.T) {
	for _, body := range []string{strings.Repeat("<>", 1<<17), strings.Repeat("<a>", 1<<16), strings.Repeat("<br>", 1<<15) + strings.Repeat("<b></b>", 1<<15), strings.Repeat("<"+strings.Repeat("n", 500)+">", 1<<9)} {
		got := cutWhole(t, "XML", "", body, 16<<10, 16<<10)
		if n := len(strings.Join(got.pieces, "")); n > 3*len(body) {
			t.Errorf("%.20q…: %d bytes of pieces from %d", body, n, len(body))
		}
	}
}

// TestCutFiles cuts a form with large files: what they begin with is in a piece, the rest in none, and every field is.
func TestCutFiles(t *testing.T) {
	var b bytes.Buffer
	for i := range 5 {
		fmt.Fprintf(&b, "--bo\r\nContent-Disposition: form-data; name=\"file%d\"; filename=\"f.bin\"\r\nContent-Type: application/octet-stream\r\n\r\n%s\r\n", i, strings.Repeat("<script>\n", 10_000))
		fmt.Fprintf(&b, "--bo\r\nContent-Disposition: form-data; name=\"field%d\"\r\n\r\nvalue %d\r\n", i, i)
	}
	b.WriteString("--bo--\r\n")
	got := cutWhole(t, "MULTIPART", formOfBo, b.String(), 8<<10, 3000)
	all := strings.Join(got.pieces, "")
	if got.faulty() || strings.Count(all, "<script>") > 5*BeginSize/len("<script>") {
		t.Fatalf("pieces %.300q: %s", got.pieces, got.problems())
	}
	for i := range 5 {
		if !got.holds(args, Field{Name: fmt.Sprint("field", i), Value: fmt.Sprint("value ", i)}) || !strings.Contains(all, fmt.Sprintf("file%d", i)) {
			t.Errorf("part %d is in no piece", i)
		}
		if name := fmt.Sprint("file", i); !slices.ContainsFunc(got.pieces, func(p string) bool { return strings.Contains(p, name) && strings.Count(p, "<script>") > 50 }) {
			t.Errorf("%s: its beginning is in no piece", name)
		}
	}
}

// TestCutSmallFiles cuts a form of many small files: there are not more pieces than windows, for each is judged with the whole head.
func TestCutSmallFiles(t *testing.T) {
	form := strings.Repeat("--bo\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f.bin\"\r\n\r\n<script>\r\n", 5000) + "--bo--\r\n"
	got := cutWhole(t, "MULTIPART", formOfBo, form, 64<<10, 64<<10)
	if most := 2 + len(form)/(48<<10); got.faulty() || len(got.pieces) > most {
		t.Errorf("%d pieces of %d bytes, want at most %d: %s", len(got.pieces), len(form), most, got.problems())
	}
}

// TestCutManyFields cuts bodies of very many small values: no piece has more of them than are read of a request.
func TestCutManyFields(t *testing.T) {
	for _, c := range []struct{ processor, body string }{
		{"JSON", "[1" + strings.Repeat(",1", 60_000) + "]"}, {"JSON", `{"a":1` + strings.Repeat(`,"b":1`, 60_000) + "}"},
		{"URLENCODED", "a" + strings.Repeat("&a", 60_000)}, {"XML", "<a>" + strings.Repeat("<b>1</b>", 60_000) + "</a>"},
	} {
		fields, whole := 0, new(Fields)
		parseAs(c.processor, "", []byte(c.body), whole)
		for i, f := range cutWhole(t, c.processor, "", c.body, 128<<10, 64<<10).parsed {
			n := len(f.Args) + len(f.Texts)
			if fields += n; n > 16<<10 || faulty(f) {
				t.Errorf("%.20q: %d fields in piece %d: %v", c.body, n, i, f.Problem)
			}
		}
		if fields < len(whole.Args)+len(whole.Texts) {
			t.Errorf("%.20q: %d fields in the pieces, %d in the whole", c.body, fields, len(whole.Args)+len(whole.Texts))
		}
	}
}

func FuzzCut(f *testing.F) {
	f.Add("JSON", `{"a":[1,{"b":"\u0041\ud83d\ude00"}],"a":null}`, 16, 7)
	f.Add("XML", `<a b="c"><b>d<![CDATA[e]]></b></a>`, 16, 5)
	f.Add("URLENCODED", "a=1&b=%41+&=&", 8, 3)
	f.Add("MULTIPART", strings.ReplaceAll(upload, "--b", "--bo"), 40, 11)
	f.Fuzz(func(t *testing.T, processor, text string, window, step int) {
		if NewCutter(processor, formOfBo) == nil || len(text) > 1<<14 {
			return
		}
		checkCut(t, processor, formOfBo, text, 24+window&0x1ff, 1+step&0xff, false)
	})
}
