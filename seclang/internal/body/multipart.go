package body

import (
	"mime"
	"strings"
)

// MultipartFlags says what is irregular about a multipart form; each is the variable MULTIPART_… of its name.
type MultipartFlags struct {
	// StrictError: it, or the header of a part, cannot be read, ends early, or can be read in two ways.
	StrictError bool
	// UnmatchedBoundary: a line begins as a boundary and goes on as none, or is one behind half a line end.
	UnmatchedBoundary bool
	// BoundaryQuoted, DataBefore, DataAfter: the boundary is quoted; there is something before the first or behind the last.
	BoundaryQuoted, DataBefore, DataAfter bool
	// HeaderFolding, LFLine: a header continues on the next line; lines end without a carriage return.
	HeaderFolding, LFLine bool
	// InvalidQuoting, DuplicatePartHeader: an extended file name is quoted; a part has a header or parameter twice.
	InvalidQuoting, DuplicatePartHeader bool
}

// Multipart parses a multipart form (RFC 7578): parts without a file name become Args, parts with one become Files. Its
// reading of boundaries is that of mime/multipart, on which Coraza and much of what stands behind a door builds.
func Multipart(text []byte, contentType string, limits Limits, out *Fields) {
	p := multipartParser{limits: limits.withDefaults(len(text)), out: out, used: out.arena.used(), text: text}
	if p.open(contentType) {
		p.run()
	}
}

// open reads the boundary. False: there is none.
func (p *multipartParser) open(contentType string) bool {
	kind, params, err := mime.ParseMediaType(contentType)
	p.phase = atEnd
	switch {
	case err != nil:
		p.malformed(0, "the Content-Type cannot be read")
	case !strings.HasPrefix(kind, "multipart/"):
		p.out.fail(Malformed, 0, "the Content-Type is not multipart")
	case params["boundary"] == "":
		p.malformed(0, "the boundary is empty")
	case readsBoundaryTwoWays(contentType, params["boundary"]):
		p.malformed(0, "the boundary can be read in two ways")
	default:
		p.phase = atBoundary
		p.dash, p.delimiter = []byte("--"+params["boundary"]), []byte("\r\n--"+params["boundary"])
		p.out.Multipart.BoundaryQuoted = strings.Contains(contentType, `"`)
	}
	return p.phase == atBoundary
}

// readsBoundaryTwoWays reports whether a program may take another boundary from the field. PHP takes what stands behind the first
// "boundary" in it, wherever that is, up to the next semicolon or comma, and blanks are part of it.
func readsBoundaryTwoWays(contentType, boundary string) bool {
	_, rest, _ := strings.Cut(strings.ToLower(contentType), "boundary")
	boundary = strings.ToLower(boundary)
	behind, ok := strings.CutPrefix(rest, "="+boundary)
	if !ok {
		behind, ok = strings.CutPrefix(rest, `="`+boundary+`"`)
	}
	return !ok || behind != "" && behind[0] != ';' || strings.Contains(behind, "boundary")
}
