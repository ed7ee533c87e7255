package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// ErrPlace is returned where exclusions cannot be written into a policy because the place where they belong is not written
// line by line.
var ErrPlace = errors.New("waf.exclude is not written line by line in this policy: paste the exclusions by hand")

// AddExclusions writes exclusions behind those of a policy, and leaves every other byte of its text as it is. The result is
// the text of a right policy that has just these exclusions more, or there is an error. at is the line, from 1 on, before
// which the lines were put.
func AddExclusions(name string, text []byte, add []WAFExclusion) (edited []byte, at int, lines []string, err error) {
	before, err := Parse(name, text)
	if err != nil {
		return nil, 0, nil, err
	}
	rows := strings.SplitAfter(string(text), "\n")
	if rows[len(rows)-1] == "" {
		rows = rows[:len(rows)-1]
	}
	at, lines = placeOf(rows, add)
	if at < 0 {
		return nil, 0, nil, ErrPlace
	}
	end := "\n"
	if bytes.Contains(text, []byte("\r\n")) {
		end = "\r\n"
	}
	if at > 0 && !strings.HasSuffix(rows[at-1], "\n") {
		rows[at-1] += end
	}
	put := make([]string, len(lines))
	for i, l := range lines {
		put[i] = l + end
	}
	edited = []byte(strings.Join(slices.Insert(rows, at, put...), ""))
	after, err := Parse(name, edited)
	if err != nil || !slices.Equal(after.WAF.Exclude, append(before.WAF.Exclude, add...)) {
		return nil, 0, nil, errors.Join(ErrPlace, err)
	}
	return edited, at + 1, lines, nil
}

var (
	topWAF    = regexp.MustCompile(`^waf:\s*(#.*)?\r?\n?$`)
	anyTopWAF = regexp.MustCompile(`^["']?waf["']?\s*:`)
	ownLine   = regexp.MustCompile(`^\s*(#.*)?\r?\n?$`) // blank, or a comment
)

// placeOf says before which row the lines for the exclusions go, and what they are; -1 where that cannot be told.
func placeOf(rows []string, add []WAFExclusion) (at int, lines []string) {
	waf := slices.IndexFunc(rows, topWAF.MatchString)
	if waf < 0 {
		if slices.ContainsFunc(rows, anyTopWAF.MatchString) {
			return -1, nil
		}
		return len(rows), append([]string{"waf:", "  exclude:"}, items(add, "    ")...)
	}
	end := blockEnd(rows, waf+1, 1)
	indent := "  "
	for i := waf + 1; i < end; i++ {
		if ownLine.MatchString(rows[i]) {
			continue
		}
		if i == firstOf(rows, waf+1, end) {
			indent = indentOf(rows[i])
		}
		rest, ok := strings.CutPrefix(rows[i], indent+"exclude:")
		if !ok {
			continue
		}
		if !ownLine.MatchString(rest) {
			return -1, nil
		}
		last := blockEnd(rows, i+1, len(indent))
		item := indent + "  "
		if first := firstOf(rows, i+1, last); first < last {
			item = indentOf(rows[first])
		}
		return last, items(add, item)
	}
	return end, append([]string{indent + "exclude:"}, items(add, indent+"  ")...)
}

// blockEnd is the row behind the last one, from the given one on, that is indented at least so far, or is an item of a list at that depth.
func blockEnd(rows []string, from, indent int) int {
	end := from
	for i := from; i < len(rows); i++ {
		if ownLine.MatchString(rows[i]) {
			continue
		}
		n := len(indentOf(rows[i]))
		if n < indent || n == indent && indent > 1 && !strings.HasPrefix(rows[i][n:], "-") {
			break
		}
		end = i + 1
	}
	return end
}

func firstOf(rows []string, from, to int) int {
	for from < to && ownLine.MatchString(rows[from]) {
		from++
	}
	return from
}

func indentOf(row string) string { return row[:len(row)-len(strings.TrimLeft(row, " "))] }

func items(add []WAFExclusion, indent string) (out []string) {
	for i := range add {
		out = append(out, indent+"- "+add[i].String())
	}
	return out
}

// String writes the exclusion as a policy has it, in one line.
func (x WAFExclusion) String() string {
	out := fmt.Sprintf("{rule: %d", x.Rule)
	for _, f := range []struct{ name, text string }{
		{"field", x.Field}, {"site", x.Site}, {"route", x.Route}, {"path", x.Path}, {"until", x.Until}, {"why", x.Why},
	} {
		if f.text != "" {
			out += ", " + f.name + ": " + scalar(f.text)
		}
	}
	if x.SwitchesOff {
		out += ", switches_off: true"
	}
	return out + "}"
}

var plainScalar = regexp.MustCompile(`^[A-Za-z/][A-Za-z0-9_./-]*$|^\d{4}-\d\d-\d\d$`)

// scalar writes a text as YAML; a string of JSON is one of YAML.
func scalar(s string) string {
	switch strings.ToLower(s) {
	case "true", "false", "yes", "no", "on", "off", "null", "y", "n":
	default:
		if plainScalar.MatchString(s) {
			return s
		}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string always encodes
	return strings.TrimSuffix(b.String(), "\n")
}
