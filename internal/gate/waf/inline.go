package waf

import "regexp"

// inlined is a file as an address that holds it (RFC 2397), by its type and by what it begins with, and nothing behind it: pixels and sound, which
// no browser runs as a script whatever they hold (Fetch: "should response to request be blocked due to its MIME type?"), and documents and
// archives, whose first bytes no script can have. Line ends stand only behind long lines, and the last line is no plain word: no shell would
// find a command in it.
var inlined = regexp.MustCompile(`^\s*data:(?:` +
	`(?:image/(?:png|jpe?g|gif|webp|bmp|tiff|heic|avif)|(?:audio|video)/[\w.-]+)` + parameters + `(?:iVBORw0KGgo|/9j/|R0lGOD|UklGR|SUkq|TU0A|SUQz|//[su]|T2dnUw|GkXfo|AAAA[\w+/]{2}Z0eXA)|` +
	`application/(?:pdf|zip|gzip|x-zip-compressed|x-gzip|msword|vnd\.[\w.-]+|octet-stream)` + parameters + `(?:JVBERi0|UEsDB|H4sI|0M8R4KGx))` +
	`[A-Za-z0-9+/]*(?:\r?\n[ \t]*[A-Za-z0-9+/]{48,})*(?:\r?\n[ \t]*[A-Za-z0-9+/]*[A-Z0-9+][A-Za-z0-9+/]*)?={0,2}\s*$`)

// parameters stand behind the type of a file.
const parameters = `(?:;(?:file)?name=[\w.%-]+|;codecs=[\w.,%-]+)*;base64, ?`

// inlineFile reports whether a value is a file as interfaces and SVG write it where an address is due. It is neither a script nor
// a page, as other addresses of this kind may be.
func inlineFile(s string) bool { return inlined.MatchString(s) }
