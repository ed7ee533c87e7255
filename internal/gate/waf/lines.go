package waf

import (
	"bytes"
	"regexp"
	"strings"

	"stormdoor/flow"
	"stormdoor/seclang"
)

// hasLines reports whether a body is a calendar or a card (RFC 5545, RFC 6350): lines with a name, parameters and a value. As a form its lines would be cut at
// "&" and "=", and what stands between them is found in no calendar.
func hasLines(f *flow.Facts) bool {
	t, _, _ := strings.Cut(f.Header.Get("Content-Type"), ";")
	switch strings.ToLower(strings.TrimSpace(t)) {
	case "text/calendar", "text/vcard", "text/x-vcard", "text/x-vcalendar", "text/directory":
		return true
	}
	return false
}

// linesOf takes a calendar or a card apart. Whatever is none of its lines is a value by itself.
func linesOf(body []byte) []seclang.Argument {
	var out []seclang.Argument
	for len(body) > 0 {
		var line string
		line, body = unfolded(body)
		if line == "" {
			continue
		}
		head, value, ok := cutOutsideQuotes(line, ':')
		if !ok {
			out = append(out, seclang.Argument{Name: "line", Value: line})
			continue
		}
		name, parameters, _ := cutOutsideQuotes(head, ';')
		name = "line." + strings.ToLower(name)
		if !simple(name) {
			out = append(out, seclang.Argument{Name: "line", Value: line})
			continue
		}
		for value, more := value, true; more; {
			one := value
			if more = structured[name]; more {
				one, value, more = strings.Cut(value, ";")
			}
			if !recurrence.MatchString(one) {
				out = append(out, seclang.Argument{Name: name, Value: one})
			}
		}
		for parameters != "" {
			var one string
			one, parameters, _ = cutOutsideQuotes(parameters, ';')
			parameter, text, _ := strings.Cut(one, "=")
			if parameter = strings.ToLower(parameter); !simple(parameter) {
				parameter, text = "", one
			}
			out = append(out, seclang.Argument{Name: name + "." + parameter, Value: strings.Trim(text, `"`)})
		}
	}
	return out
}

// structured are the lines whose values are several, parted by semicolons.
var structured = map[string]bool{"line.n": true, "line.adr": true, "line.org": true, "line.gender": true, "line.rrule": true, "line.exrule": true}

// recurrence is a part of a rule of recurrence (RFC 5545, section 3.3.10), of which the days are commands of a shell.
var recurrence = regexp.MustCompile(`^(?:FREQ|UNTIL|COUNT|INTERVAL|BY[A-Z]+|WKST)=[A-Z0-9,+-]+$`)

// unfolded is the first line of a body, with the lines that go on with it: those begin with a blank.
func unfolded(body []byte) (line string, rest []byte) {
	at, whole := body, []byte(nil)
	for {
		one, behind, more := bytes.Cut(at, []byte("\n"))
		one = bytes.TrimSuffix(one, []byte("\r"))
		if whole == nil {
			whole = one[:len(one):len(one)]
		} else {
			whole = append(whole, one[1:]...)
		}
		if at = behind; !more || len(at) == 0 || at[0] != ' ' && at[0] != '\t' {
			return string(whole), at
		}
	}
}

// cutOutsideQuotes is strings.Cut at a byte that does not stand in quotes.
func cutOutsideQuotes(s string, at byte) (before, after string, ok bool) {
	quoted := false
	for i := range len(s) {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case s[i] == at && !quoted:
			return s[:i], s[i+1:], true
		}
	}
	return s, "", false
}

// simple reports whether a name is one of letters, digits, points and hyphens, as all are.
func simple(name string) bool {
	return len(name) < 80 && !strings.ContainsFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '.' || r == '-')
	})
}
