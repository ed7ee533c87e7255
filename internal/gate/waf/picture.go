package waf

import "regexp"

// inlined is a picture of pixels as an address that holds it (RFC 2397): PNG, JPEG, GIF or WebP by what it begins with, and nothing
// behind it. Line ends stand only behind long lines, and the last line is no plain word: no shell would find a command in it.
var inlined = regexp.MustCompile(`^\s*data:image/(?:png|jpe?g|gif|webp);base64, ?(?:iVBORw0KGgo|/9j/|R0lGOD|UklGR)[A-Za-z0-9+/]*(?:\r?\n[ \t]*[A-Za-z0-9+/]{48,})*(?:\r?\n[ \t]*[A-Za-z0-9+/]*[A-Z0-9+][A-Za-z0-9+/]*)?={0,2}\s*$`)

// picture reports whether a value is a picture as interfaces and SVG write it where an address is due. It is neither a script nor
// a document, as other addresses of this kind may be.
func picture(s string) bool { return inlined.MatchString(s) }
