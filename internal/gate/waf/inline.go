package waf

import (
	"regexp"
	"strings"
)

// inlined begins a file as an address that holds it (RFC 2397), by its type and by what it begins with: pixels and sound, which
// no browser runs as a script whatever they hold (Fetch: "should response to request be blocked due to its MIME type?"), and documents and
// archives, whose first bytes no script can have.
var inlined = regexp.MustCompile(`^\s*data:(?:` +
	`(?:image/(?:png|jpe?g|gif|webp|bmp|tiff|heic|avif)|(?:audio|video)/[\w.-]+)` + parameters + `(?:iVBORw0KGgo|/9j/|R0lGOD|UklGR|SUkq|TU0A|SUQz|//[su]|T2dnUw|GkXfo|AAAA[\w+/]{2}Z0eXA)|` +
	`application/(?:pdf|zip|gzip|x-zip-compressed|x-gzip|msword|vnd\.[\w.-]+|octet-stream)` + parameters + `(?:JVBERi0|UEsDB|H4sI|0M8R4KGx))`)

// parameters stand behind the type of a file.
const parameters = `(?:;(?:file)?name=[\w.%-]+|;codecs=[\w.,%-]+)*;base64, ?`

// mostBegun is in how many bytes of a value inlined has to match.
const mostBegun = 512

// inlineFile reports whether a value is a file as interfaces and SVG write it where an address is due, and nothing else. It is neither a script nor
// a page, as other addresses of this kind may be.
func inlineFile(s string) bool {
	begin := inlined.FindStringIndex(s[:min(len(s), mostBegun)])
	return begin != nil && base64Lines(s[begin[1]:])
}

// leastLine is how long lines of base64 are but for the last, in bytes.
const leastLine = 48

// base64Lines reports whether a text is base64 to its end. Line ends stand only behind long lines, and the last line is no plain word: no shell would
// find a command in it.
func base64Lines(s string) bool {
	s = s[base64Run(s):]
	for {
		line, ok := strings.CutPrefix(strings.TrimPrefix(s, "\r"), "\n")
		if !ok {
			break
		}
		line = strings.TrimLeft(line, " \t")
		n := base64Run(line)
		if n < leastLine && !strings.ContainsFunc(line[:n], func(r rune) bool { return r == '+' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' }) {
			break
		}
		if s = line[n:]; n < leastLine {
			break
		}
	}
	s = strings.TrimPrefix(strings.TrimPrefix(s, "="), "=")
	return strings.Trim(s, " \t\r\n\f") == ""
}

// base64Run is how many of the first bytes are digits of base64.
func base64Run(s string) int {
	for i := range len(s) {
		if c := s[i]; !(c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || c == '+' || c == '/') {
			return i
		}
	}
	return len(s)
}
