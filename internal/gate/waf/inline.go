package waf

import "regexp"

// inlined is a file as an address that holds it (RFC 2397): of pixels, of sound, a document or an archive by its type and by what it begins
// with, and nothing behind it. Line ends stand only behind long lines, and the last line is no plain word: no shell would find a
// command in it. No type that browsers run is one of them.
var inlined = regexp.MustCompile(`^\s*data:(?:image/(?:png|jpe?g|gif|webp|bmp|tiff|heic|avif)|audio/[\w.+-]+|video/[\w.+-]+|font/[\w.+-]+|` +
	`application/(?:pdf|zip|gzip|x-[\w-]+|msword|vnd\.[\w.+-]+|octet-stream))(?:;(?:file)?name=[\w.%-]+|;codecs=[\w.,%-]+)*;base64, ?` +
	`(?:iVBORw0KGgo|/9j/|R0lGOD|UklGR|SUkq|TU0A|JVBERi0|UEsDB|H4sI|0M8R4KGx|SUQz|//[su]|T2dnUw|GkXfo|AAAA[\w+/]{2}Z0eXA|d09G)[A-Za-z0-9+/]*` +
	`(?:\r?\n[ \t]*[A-Za-z0-9+/]{48,})*(?:\r?\n[ \t]*[A-Za-z0-9+/]*[A-Z0-9+][A-Za-z0-9+/]*)?={0,2}\s*$`)

// inlineFile reports whether a value is a file as interfaces and SVG write it where an address is due. It is neither a script nor
// a page, as other addresses of this kind may be.
func inlineFile(s string) bool { return inlined.MatchString(s) }
