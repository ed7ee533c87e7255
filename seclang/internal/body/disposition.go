package body

import (
	"mime"
	"strings"
)

// disposition is what a part's Content-Disposition says.
type disposition struct {
	field    string // the form's field; empty unless the disposition is form-data
	filename string
	// other is a second file name that another reader may see: the plain one where an extended one (RFC 5987, filename*)
	// says otherwise.
	other             string
	charset, language string // of an extended file name
	extended          bool   // there is one
	quoted            bool   // it is quoted, which RFC 5987 does not allow
	onlyExtended      bool   // there is no plain one: PHP reads a field
	malformed         bool   // it cannot be read, or is continued (RFC 2231, filename*0)
	duplicate         bool   // a parameter is there twice
}

// parseDisposition reads a Content-Disposition; text is empty if there is none.
func parseDisposition(text string) disposition {
	if d, ok := plainDisposition(text); ok {
		return d
	}
	var d disposition
	kind, params, err := mime.ParseMediaType(text)
	if err != nil {
		if text != "" {
			d.malformed = true
			d.duplicate = hasTwice(text)
		}
		return d
	}
	if kind == "form-data" {
		d.field = params["name"]
	}
	d.filename = params["filename"]
	d.malformed = isContinued(text) || readsTwoWays(text)
	raw, ok := parameter(text, "filename*")
	if ok {
		d.readExtended(text, raw)
		return d
	}
	if d.malformed {
		if plain, ok := parameter(text, "filename"); ok {
			decoded := d.filename
			d.filename, _ = unquote(plain)
			if decoded != d.filename {
				d.other = decoded
			}
		}
	}
	return d
}

// readExtended reads charset'language'percent-encoded.
func (d *disposition) readExtended(text, raw string) {
	raw, d.quoted = unquote(raw)
	charset, rest, ok1 := strings.Cut(raw, "'")
	language, encoded, ok2 := strings.Cut(rest, "'")
	if !ok1 || !ok2 {
		d.malformed = true
		return
	}
	var invalid bool
	d.filename, invalid = percentDecode(encoded)
	d.malformed = d.malformed || invalid
	d.charset, d.language, d.extended = charset, language, true
	plain, ok := parameter(text, "filename")
	if d.onlyExtended = !ok; ok {
		if plain, _ = unquote(plain); plain != "" && plain != d.filename {
			d.other = plain
		}
	}
}

// plainDisposition reads the form that browsers send, form-data; name="a"; filename="b", without allocation. False: it is
// another form.
func plainDisposition(text string) (d disposition, ok bool) {
	rest, ok := strings.CutPrefix(text, `form-data; name="`)
	if !ok {
		return d, false
	}
	d.field, rest, ok = plainQuoted(rest)
	if !ok || rest == "" {
		return d, ok
	}
	rest, ok = strings.CutPrefix(rest, `; filename="`)
	if !ok {
		return d, false
	}
	d.filename, rest, ok = plainQuoted(rest)
	return d, ok && rest == ""
}

// plainQuoted reads up to a quote what holds no backslash.
func plainQuoted(s string) (value, rest string, ok bool) {
	i := strings.IndexAny(s, `"\`)
	if i < 0 || s[i] == '\\' {
		return "", "", false
	}
	return s[:i], s[i+1:], true
}

// parameters yields the name, in lower case, and the raw value of each parameter, quotes considered.
func parameters(text string, yield func(name, value string) bool) {
	quoted, start := false, 0
	for i := 0; i <= len(text); i++ {
		switch {
		case i == len(text) || text[i] == ';' && !quoted:
			name, value, ok := strings.Cut(text[start:i], "=")
			if ok && !yield(strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)) {
				return
			}
			start = i + 1
		case text[i] == '\\' && quoted && i+1 < len(text):
			i++
		case text[i] == '"':
			quoted = !quoted
		}
	}
}

func parameter(text, name string) (value string, ok bool) {
	parameters(text, func(n, v string) bool {
		value, ok = v, n == name
		return !ok
	})
	return value, ok
}

func hasTwice(text string) bool {
	seen, twice := map[string]bool{}, false
	parameters(text, func(name, _ string) bool {
		twice = seen[name]
		seen[name] = true
		return !twice
	})
	return twice
}

// isContinued reports whether a file name is given in pieces: filename*0, filename*1* and so on.
func isContinued(text string) bool {
	found := false
	parameters(text, func(name, _ string) bool {
		number, ok := strings.CutPrefix(strings.TrimSuffix(name, "*"), "filename*")
		found = ok && number != "" && strings.Trim(number, "0123456789") == ""
		return !found
	})
	return found
}

// readsTwoWays reports what PHP reads otherwise than most others, so that a file for the one is a field for the other: a blank before
// an equals sign belongs to the name, apostrophes quote, and a backslash before a quote escapes it whatever stands before.
func readsTwoWays(text string) bool {
	if kind, _, _ := strings.Cut(text, ";"); strings.Contains(text, `\\"`) || strings.Contains(kind, "'") {
		return true
	}
	found := false
	parameters(text, func(name, value string) bool {
		quotes := strings.Count(name, "'")
		if !strings.HasPrefix(value, `"`) {
			quotes += strings.Count(value, "'")
		}
		found = quotes > 0 && !(quotes == 2 && strings.HasSuffix(name, "*"))
		return !found
	})
	return found || blankBeforeEquals(text)
}

// blankBeforeEquals reports whether a blank stands before an equals sign outside of quotes.
func blankBeforeEquals(text string) bool {
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == '=' && !quoted && i > 0 && (text[i-1] == ' ' || text[i-1] == '\t'):
			return true
		}
	}
	return false
}

// unquote takes a quoted string out of its quotes; false: it is not quoted.
func unquote(s string) (string, bool) {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s, false
	}
	var b strings.Builder
	for i := 1; i < len(s)-1; i++ {
		if s[i] == '\\' && i+1 < len(s)-1 {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String(), true
}

// percentDecode decodes what is a percent escape and keeps what is none, which it reports.
func percentDecode(s string) (decoded string, invalid bool) {
	var b []byte
	for i := 0; i < len(s); i++ {
		if s[i] == '%' {
			if c, ok := hexPair([]byte(s[i+1 : min(len(s), i+3)])); ok {
				b = append(b, c)
				i += 2
				continue
			}
			invalid = true
		}
		b = append(b, s[i])
	}
	return string(b), invalid
}
