package body

import (
	"strings"
	"testing"
)

// checkSane holds for whatever was parsed: limits are kept and positions lie within the text.
func checkSane(t *testing.T, f *Fields, size int, limits Limits) {
	t.Helper()
	if len(f.Args)+len(f.Files) > 2*limits.Fields+1 || len(f.Texts)+len(f.Attributes) > limits.Fields {
		t.Errorf("%d fields, %d files, %d texts, %d attributes", len(f.Args), len(f.Files), len(f.Texts), len(f.Attributes))
	}
	for _, fields := range [][]Field{f.Args, f.PartHeaders, f.Texts, f.Attributes} {
		for _, field := range fields {
			if field.Start < 0 || field.Start > field.End || field.End > size {
				t.Errorf("%+v lies outside of the %d bytes", field, size)
			}
		}
	}
	if f.Problem.At < 0 || f.Problem.At > size || (f.Problem.Kind == None) != (f.Problem.Text == "") {
		t.Errorf("problem %+v in %d bytes", f.Problem, size)
	}
}

func FuzzURLEncoded(f *testing.F) {
	f.Add([]byte("a=1&b=%41+&=&"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var out Fields
		limits := Limits{Fields: 10}
		URLEncoded(text, limits, &out)
		checkSane(t, &out, len(text), limits)
		out.Reset()
		Cookies(text, limits, &out)
		checkSane(t, &out, len(text), limits)
	})
}

func FuzzJSON(f *testing.F) {
	f.Add([]byte(`{"a":[1,{"b":"\u0041\ud83d\ude00"}],"a":null}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var out Fields
		limits := Limits{Fields: 10, Depth: 5}
		JSON(text, limits, &out)
		checkSane(t, &out, len(text), limits)
		compareWithEncodingJSON(t, text)
	})
}

func FuzzXML(f *testing.F) {
	f.Add([]byte(`<a b="c">d<![CDATA[e]]></a>`))
	f.Add([]byte("<a><b><c><d><e>" + strings.Repeat("x<!-- -->", 10) + "<f>"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var out Fields
		limits := Limits{Fields: 10, Depth: 5}
		XML(text, limits, &out)
		checkSane(t, &out, len(text), limits)
	})
}

func FuzzMultipart(f *testing.F) {
	f.Add(strings.ReplaceAll(upload, "--b", "--bo"))
	f.Fuzz(func(t *testing.T, text string) {
		var out Fields
		limits := Limits{Fields: 10}
		Multipart([]byte(text), "multipart/form-data; boundary=bo", limits, &out)
		checkSane(t, &out, len(text), limits)
		compareWithMime(t, text)
	})
}
