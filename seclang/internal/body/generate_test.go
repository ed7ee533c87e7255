package body

import (
	"strings"

	"pgregory.net/rapid"
)

// pieces draws texts made of these pieces.
func pieces(all ...string) *rapid.Generator[string] {
	return rapid.Map(rapid.SliceOfN(rapid.SampledFrom(all), 0, 14), func(p []string) string { return strings.Join(p, "") })
}

// document draws JSON documents, most of them well-formed.
func document() *rapid.Generator[string] {
	text := pieces("a", "b", "\u00e4", `\n`, `\u0041`, `\ud83d\ude00`, `\\`, `\"`, `\/`, "<", ".")
	scalar := rapid.OneOf(rapid.SampledFrom([]string{"1", "-0.5e+3", "true", "false", "null", "0", "12345678901234567890", `""`}),
		rapid.Map(text, func(s string) string { return `"` + s + `"` }))
	value := scalar
	for range 3 {
		inner := rapid.OneOf(scalar, value)
		array := rapid.Map(rapid.SliceOfN(inner, 0, 4), func(v []string) string { return "[" + strings.Join(v, ", ") + "]" })
		member := rapid.Custom(func(t *rapid.T) string { return `"` + text.Draw(t, "name") + `": ` + inner.Draw(t, "value") })
		object := rapid.Map(rapid.SliceOfN(member, 0, 4), func(m []string) string { return "{" + strings.Join(m, ",") + "}" })
		value = rapid.OneOf(scalar, array, object)
	}
	return rapid.Custom(func(t *rapid.T) string {
		s := value.Draw(t, "document")
		if len(s) > 1 && rapid.IntRange(0, 4).Draw(t, "spoil") == 0 {
			at := rapid.IntRange(0, len(s)-1).Draw(t, "at")
			s = s[:at] + rapid.SampledFrom([]string{"", ",", "}", "]", "\"", "\\", "x", "0"}).Draw(t, "with") + s[at+1:]
		}
		return s
	})
}

// form draws multipart forms with the boundary "bo", many of them irregular.
func form() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		end := rapid.SampledFrom([]string{"\r\n", "\r\n", "\r\n", "\n"}).Draw(t, "line end")
		disposition := rapid.SampledFrom([]string{`form-data; name="a"`, `form-data; name="b"; filename="f.txt"`, `form-data; name="a"; filename=""`, `form-data; name=c`,
			`form-data; name="a"; filename*=UTF-8'en'%41%zz`, `form-data; name="a"; filename="x"; filename*="UTF-8''y"`, `form-data; filename="x"; filename="y"`,
			`attachment; name="a"; filename="g"`, `form-data; name="a\"b"; filename="c\d"`, `form-data; name="a"; filename="p"; filename*0="q"; filename*1="r"`, ``, `;`, `form-data; name="a`,
			`form-data; name="a"; filename="x"; filename*=nonsense`, `FORM-DATA; NAME="a"`, "form-data;\tname=\"a\" ; filename=\"b\"", "form-data; name=\"\u00e4\""})
		header := rapid.SampledFrom([]string{"Content-Type: text/plain", "content-type:x", "X: 1", "X : 1", "X", " folded", "\tfolded: x", "Content-Disposition: form-data; name=z", ": y", "X: \x01", "Y:"})
		content := pieces("x", "value", "\r\n", "\n", "--", "--bo", "\r\n--bo", "\r\n--box", "\r", " ", "\r\n--bo-")
		var b strings.Builder
		b.WriteString(rapid.SampledFrom([]string{"", "", "", "preamble" + end, end, "--"}).Draw(t, "preamble"))
		for range rapid.IntRange(0, 3).Draw(t, "parts") {
			b.WriteString("--bo" + rapid.SampledFrom([]string{"", "", "", " ", "\t", "x"}).Draw(t, "blanks") + end)
			b.WriteString("Content-Disposition: " + disposition.Draw(t, "disposition") + end)
			for _, h := range rapid.SliceOfN(header, 0, 1).Draw(t, "headers") {
				b.WriteString(h + end)
			}
			b.WriteString(end + content.Draw(t, "content") + rapid.SampledFrom([]string{end, end, end, end, "", "\n"}).Draw(t, "content end"))
		}
		b.WriteString(rapid.SampledFrom([]string{"--bo--" + end, "--bo--" + end, "--bo--", "--bo-- ", "", "--bo", "--bo" + end, "--b", "--bo--x", "--bo--" + end + "epilogue"}).Draw(t, "end"))
		return b.String()
	})
}
