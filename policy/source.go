package policy

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

// The bounds of a policy file. They are far above what people write, and keep the time and the memory for reading one in
// proportion to its size.
const (
	maxFile       = 4 << 20 // bytes
	maxDepth      = 16      // mappings and lists inside each other
	maxKeys       = 200     // fields in one mapping
	maxFields     = 100_000 // in all
	maxOpeners    = 4       // "- ", anchors and tags on one line
	maxBlanks     = 100     // entries of lists without a value
	maxColumn     = 200     // of what opens something outside of brackets
	maxEmptyLines = 100     // in a row
	maxShort      = 64      // entries of lists that are compared with each other: methods, addresses to listen on
	maxAliased    = 20_000  // values that aliases repeat
)

// pos is a place in a file; both count from 1, column in characters. The zero pos is not known.
type pos struct{ line, column int }

// source is the text of a policy file.
type source struct {
	text  string
	lines []int // the offset of each line
}

func newSource(data []byte) *source {
	s := &source{text: string(data)}
	for from := 0; from < len(s.text); {
		s.lines = append(s.lines, from)
		next := strings.IndexByte(s.text[from:], '\n')
		if next < 0 {
			break
		}
		from += next + 1
	}
	return s
}

// line returns the n-th line, counted from 1, with its line end.
func (s *source) line(n int) string {
	end := len(s.text)
	if n < len(s.lines) {
		end = s.lines[n]
	}
	return s.text[s.lines[n-1]:end]
}

// badEncoding says why data cannot be the text of a policy at all, before a line of it is looked at; "" when it can.
func badEncoding(data []byte) (msg, hint string) {
	const save = "save the file as UTF-8 without a byte order mark"
	switch {
	case len(data) > maxFile:
		return fmt.Sprintf("the file is larger than %s, which no policy is", Bytes(maxFile)), "put long lists of addresses into files of their own (lists[].file)"
	case bytes.HasPrefix(data, []byte("\xef\xbb\xbf")):
		return "the file begins with a byte order mark", save
	case bytes.HasPrefix(data, []byte("\xff\xfe")), bytes.HasPrefix(data, []byte("\xfe\xff")):
		return "the file is UTF-16", save
	}
	return "", ""
}

// checkText reports what is wrong with the characters of a file. It returns false when there is no sense in reading it as
// YAML.
func (s *source) checkText(r *report) bool {
	empty, ok := 0, true
	for i := range s.lines {
		line := s.line(i + 1)
		if strings.TrimSpace(line) == "" {
			empty++
		} else {
			empty = 0
		}
		if empty == maxEmptyLines+1 {
			r.add(pos{i + 1, 1}, "", fmt.Sprintf("there are more than %d empty lines in a row", maxEmptyLines), "remove them")
			ok = false
		}
		if msg, hint, column := badCharacter(line); msg != "" {
			r.add(pos{i + 1, column}, "", msg, hint)
			ok = false
		}
	}
	return ok
}

// badCharacter finds the first character of a line that a policy must not have; msg is "" when there is none.
func badCharacter(line string) (msg, hint string, column int) {
	column, indent := 1, true
	for i, c := range strings.TrimRight(line, "\r\n") {
		switch {
		case c == utf8.RuneError && !strings.HasPrefix(line[i:], "\uFFFD"):
			return fmt.Sprintf("byte 0x%02x is not UTF-8", line[i]), "save the file as UTF-8", column
		case c == '\t' && indent && strings.TrimSpace(line) != "":
			return "a tab in the indentation: YAML wants spaces", "replace the tab by two spaces", column
		case c < ' ' && c != '\t', c == 0x7f, c >= 0x80 && c < 0xa0, c == 0xfeff, c == 0x2028, c == 0x2029:
			return fmt.Sprintf("the control character U+%04X has no place in a policy", c), "remove it", column
		}
		indent = indent && c == ' '
		column++
	}
	return "", "", 0
}
