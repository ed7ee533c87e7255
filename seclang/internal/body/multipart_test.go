package body

import (
	"io"
	"mime"
	"mime/multipart"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const upload = "--b\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\nA \r\n--bx\r\n--b\r\n" +
	"Content-Disposition: form-data; name=\"doc\"; filename=\"a.png\"\r\ncontent-type: image/png\r\n\r\n\x89PNG\r\n\x1a\n0123456789abcdef\r\n--b--\r\n"

func TestMultipart(t *testing.T) {
	var f Fields
	Multipart([]byte(upload), "multipart/form-data; boundary=b", Limits{}, &f)
	if got, want := list(f.Args), "title=A \r\n--bx;"; got != want || f.Problem.Kind != None {
		t.Errorf("%q %+v, want %q", got, f.Problem, want)
	}
	want := File{Field: "doc", Name: "a.png", Type: "image/png", Size: 24, Begin: "\x89PNG\r\n\x1a\n0123456789abcdef", Start: strings.Index(upload, "\x89")}
	if len(f.Files) != 1 || f.Files[0] != want {
		t.Errorf("files %+v, want %+v", f.Files, want)
	}
	if got, want := list(f.PartHeaders), "title=Content-Disposition: form-data; name=\"title\";"+
		"doc=Content-Disposition: form-data; name=\"doc\"; filename=\"a.png\";doc=Content-Type: image/png;"; got != want {
		t.Errorf("headers %s, want %s", got, want)
	}
	if f.Multipart != (MultipartFlags{UnmatchedBoundary: true}) || f.FilesSize != 32 {
		t.Errorf("%+v, size %d", f.Multipart, f.FilesSize)
	}
}

func TestMultipartIrregular(t *testing.T) {
	part := func(header, content string) string { return "--b\r\n" + header + "\r\n\r\n" + content }
	const plain = "Content-Disposition: form-data; name=\"a\""
	for _, c := range []struct {
		name, text string
		flags      MultipartFlags
		kind       Kind
	}{
		{"no header", "--b\r\n\r\nx\r\n--b--", MultipartFlags{}, None},
		{"preamble and epilogue", "hi\r\n" + part(plain, "x\r\n--b--\r\nbye"), MultipartFlags{DataBefore: true, DataAfter: true}, None},
		{"line feeds", "--b\n" + plain + "\n\nx\n--b--\n", MultipartFlags{LFLine: true}, None},
		{"folded", part("Content-Disposition: form-data;\r\n name=a", "x\r\n--b--"), MultipartFlags{HeaderFolding: true}, None},
		{"twice", part(plain+"\r\n"+plain, "x\r\n--b--"), MultipartFlags{StrictError: true, DuplicatePartHeader: true}, None},
		{"two names", part(`Content-Disposition: form-data; name=a; name=b`, "x\r\n--b--"), MultipartFlags{StrictError: true, DuplicatePartHeader: true}, None},
		{"quoted", part(`Content-Disposition: form-data; name=a; filename*="UTF-8''x"`, "x\r\n--b--"), MultipartFlags{StrictError: true, InvalidQuoting: true}, None},
		{"open", part(plain, "x"), MultipartFlags{StrictError: true}, Truncated},
		{"open header", "--b\r\n" + plain, MultipartFlags{StrictError: true}, Truncated},
		{"no header line", part("nonsense", "x\r\n--b--"), MultipartFlags{StrictError: true}, Malformed},
		{"many header lines", part(strings.Repeat("X: y\r\n", 101)+"Y: z", "x\r\n--b--"), MultipartFlags{StrictError: true}, Malformed},
		{"no boundary", "nothing", MultipartFlags{StrictError: true}, Malformed},
		{"many parts", strings.Repeat(part(plain, "x\r\n"), 4) + "--b--", MultipartFlags{}, TooManyFields},
	} {
		var f Fields
		Multipart([]byte(c.text), "multipart/form-data; boundary=b", Limits{Fields: 3}, &f)
		if f.Multipart != c.flags || f.Problem.Kind != c.kind {
			t.Errorf("%s: %+v %+v, want %+v %v", c.name, f.Multipart, f.Problem, c.flags, c.kind)
		}
	}
	for contentType, want := range map[string]Kind{"text/plain": Malformed, "multipart/form-data": Malformed, "multipart/form-data; boundary=": Malformed, ";": Malformed} {
		var f Fields
		Multipart([]byte(upload), contentType, Limits{}, &f)
		if f.Problem.Kind != want || len(f.Args) > 0 {
			t.Errorf("%q: %+v", contentType, f.Problem)
		}
	}
}

func TestFileNames(t *testing.T) {
	for text, want := range map[string]disposition{
		`form-data; name="a"; filename="b"`:                            {field: "a", filename: "b"},
		`form-data; name="a"; filename="C:\x\b.txt"`:                   {field: "a", filename: `C:\x\b.txt`},
		`form-data; name="a"; filename="p"; filename*=UTF-8'en'%65%2e`: {field: "a", filename: "e.", other: "p", charset: "UTF-8", language: "en", extended: true},
		`form-data; name="a"; filename*=x`:                             {field: "a", malformed: true},
		`form-data; name="a"; filename*=UTF-8''%zz`:                    {field: "a", filename: "%zz", charset: "UTF-8", extended: true, onlyExtended: true, malformed: true},
		`form-data; a'="x"; filename="b"; b'="y"; name="a"`:            {field: "a", filename: "b", malformed: true},
		`form-data'; filename="b"; b'="y"; name="a"`:                   {filename: "b", malformed: true},
		`attachment; filename=b`:                                       {filename: "b"},
		`form-data; name="a`:                                           {malformed: true},
		`form-data; name="a"; filename ="b"`:                           {field: "a", filename: "b", malformed: true},
		`form-data; name="a"; x='; filename="b"; y='`:                  {field: "a", filename: "b", malformed: true},
		`form-data; name="a\\"; filename="b"`:                          {field: `a\`, filename: "b", malformed: true},
		`form-data; name="a'"; filename="it's = b.txt"`:                {field: "a'", filename: "it's = b.txt"},
	} {
		if got := parseDisposition(text); got != want {
			t.Errorf("%s: %+v, want %+v", text, got, want)
		}
	}
}

// TestPartial parses the fronts of bodies.
func TestPartial(t *testing.T) {
	for i := range len(upload) {
		var f Fields
		Multipart([]byte(upload[:i]), "multipart/form-data; boundary=b", Limits{Partial: true}, &f)
		if f.Problem.Kind != Truncated && i < len(upload)-4 || f.Multipart.StrictError {
			t.Errorf("%q: %+v %+v", upload[:i], f.Problem, f.Multipart)
		}
	}
	const document = `{"a":[1.5e3,"\u0041",{"b":null}],"c":true}`
	for i := 1; i < len(document); i++ {
		var f Fields
		if JSON([]byte(document[:i]), Limits{Partial: true}, &f); f.Problem.Kind != Truncated {
			t.Errorf("%s: %+v", document[:i], f.Problem)
		}
	}
}

// TestMultipartTwin compares with mime/multipart: the names and contents of all parts of a form that it reads without error.
func TestMultipartTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { compareWithMime(t, form().Draw(t, "form")) })
}

func compareWithMime(t rapid.TB, text string) {
	var want []string
	reader := multipart.NewReader(strings.NewReader(text), "bo")
	for {
		part, err := reader.NextRawPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			return
		}
		content, err := io.ReadAll(part)
		if err != nil {
			return
		}
		_, params, _ := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
		if params["filename"] == "" && !strings.Contains(part.Header.Get("Content-Disposition"), "*") {
			want = append(want, part.FormName()+"="+string(content))
		}
	}
	var f Fields
	Multipart([]byte(text), "multipart/form-data; boundary=bo", Limits{Bytes: 1 << 20}, &f)
	var got []string
	for i := range f.Args {
		got = append(got, f.Args[i].Name+"="+f.Args[i].Value)
	}
	for _, w := range want {
		if !slices.Contains(got, w) {
			t.Fatalf("%q: %q is missing in %q (%+v)", text, w, got, f.Problem)
		}
	}
}

func TestABoundaryBehindHalfALineEndIsTold(t *testing.T) {
	for content, told := range map[string]bool{"a\n--x\nb": true, "a\r--x\rb": true, "a --x b": false, "--y\n-x": false} {
		var f Fields
		Multipart([]byte("--x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a\"\r\n\r\n"+content+"\r\n--x--\r\n"), "multipart/form-data; boundary=x", Limits{}, &f)
		if f.Multipart.UnmatchedBoundary != told || len(f.Files) != 1 {
			t.Errorf("%q: %+v, %d files", content, f.Multipart, len(f.Files))
		}
	}
}
