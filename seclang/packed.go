package seclang

import (
	"bytes"
	"io"
	"mime"
	"slices"
	"strings"

	"stormdoor/seclang/internal/body"
	"stormdoor/seclang/internal/unpack"
)

// UnpackedMost is the most that a packed body of a size may become, in bytes: one that becomes more counts as one that cannot be read.
func UnpackedMost(size int64) int64 { return unpack.Most(size) }

// ErrUnpack is what reading a Packed ends with where the body cannot be unpacked: it is none of its coding, or becomes too much.
var ErrUnpack = unpack.ErrUnpack

// Unpack returns what packed holds by the value of a field such as Content-Encoding or grpc-encoding, at most most bytes. It is not ok where it holds
// more, is none of its coding, or that is not known; plain is then what came before.
func Unpack(packed []byte, codings string, most int) (plain []byte, ok, more bool) {
	if most <= 0 {
		return nil, false, true
	}
	var u unpack.Unpacker
	defer u.Close()
	plain, outcome := u.Unpack(nil, packed, codings, unpack.Limits{Bytes: most, Ratio: most})
	return plain, outcome == unpack.Whole, outcome == unpack.TooLarge || outcome == unpack.TooDense
}

// Packed reads what a body with a Content-Encoding of gzip or deflate holds, as it comes, and gives of the packed bytes what unfolds
// to nothing that has not been judged. It is for one goroutine at a time.
type Packed struct{ of *unpack.Stream }

// Packed returns what unpacks a body of whose packed bytes some are there and the others come from src, nil for no others. Of those that
// were not taken, it holds about as many as said at most; begun is kept. What comes out has at most most bytes. nil: the body is not
// packed, or not in such a way.
func (c *Cutter) Packed(begun []byte, src io.Reader, held, most int) *Packed {
	of := unpack.NewStream(c.codings, begun, src, held, unpack.Limits{Bytes: most})
	if of == nil {
		return nil
	}
	return &Packed{of}
}

// Read gives what the body holds. It ends with io.EOF, with ErrUnpack, or with the error of src.
func (p *Packed) Read(b []byte) (int, error) { return p.of.Read(b) }

// Ready is how many packed bytes may be taken, when so many of those that Read gave have been judged.
func (p *Packed) Ready(judged int64) int { return p.of.Ready(judged) }

// Take gives packed bytes that are ready.
func (p *Packed) Take(b []byte, judged int64) int { return p.of.Take(b, judged) }

// Rest reads the packed bytes that were not taken, to the end of the body. The Packed is no more to be used.
func (p *Packed) Rest() io.Reader { return p.of.Rest() }

// codings are those of the body, "" for none: several fields are one list (RFC 9110, section 5.3).
func (t *Transaction) codings() (list string) {
	for i := range t.fields[requestHeaders] {
		f := &t.fields[requestHeaders][i]
		switch {
		case f.folded != "content-encoding" || strings.EqualFold(f.value, "identity"):
		case list == "":
			list = f.value
		default:
			list += "," + f.value
		}
	}
	return list
}

// unpackBody undoes the Content-Encoding of the body; see Options.Nested. False when that cannot be done within the limits:
// then there is nothing to look at, and the body counts as one that cannot be read. packed is the body as it came, nil where it was not
// packed.
func (t *Transaction) unpackBody() (packed []byte, ok bool) {
	codings := t.codings()
	if !t.rules.nested || codings == "" || t.piece {
		return nil, true
	}
	var u unpack.Unpacker
	defer u.Close()
	plain, outcome := u.Unpack(nil, t.requestPieces, codings, unpack.Limits{Bytes: t.set.requestLimit})
	t.cost.Work += int64(len(plain)) * unpackWork
	if outcome != unpack.Whole && (outcome != unpack.Malformed || t.singles[inboundDataError] != "1") {
		t.parsed.Problem = body.Problem{Kind: body.Malformed, Text: "Content-Encoding: " + outcome.String()}
		return nil, false
	}
	packed, t.requestPieces = t.requestPieces, plain
	return packed, true
}

// unpackWork is what a byte that comes out of a decoder costs, in bytes that an automaton reads.
const unpackWork = 4

// readPacked looks at a packed body as programs do that know no Content-Encoding in requests, such as PHP: bytes of which a decoder makes
// a harmless text may spell a form. Bytes that look like chance cannot be judged by rules, so a packed form counts as one that cannot be read,
// and so does whatever else is a body of its type as it came. kind is the processor of that type.
func (t *Transaction) readPacked(kind string, packed []byte, limits body.Limits) {
	twice := false
	switch kind {
	case "URLENCODED":
		twice = true
	case "MULTIPART":
		sent, _ := t.header("content-type")
		_, params, err := mime.ParseMediaType(sent)
		twice = err != nil || bytes.Contains(packed, []byte("--"+params["boundary"]))
	default:
		twice = isDocument(packed, limits)
	}
	if twice && t.parsed.Problem.Kind == body.None {
		t.parsed.Problem = body.Problem{Kind: body.Malformed, Text: "a packed body that is another one to programs that do not unpack it"}
	}
}

// isDocument reports whether packed bytes are a document of JSON or XML, or begin with a part of one that holds something. gzip, zlib and zstd
// begin otherwise; deflate without a header and brotli may begin with such a byte, and go on as chance has it.
func isDocument(packed []byte, limits body.Limits) bool {
	const something, index = 3, len("json.000")
	begin := bytes.TrimLeft(bytes.TrimPrefix(packed, []byte("\xef\xbb\xbf")), " \t\r\n")
	if len(begin) == 0 {
		return false
	}
	var found body.Fields
	switch begin[0] {
	case '{', '[', '"':
		body.JSON(begin, limits, &found)
	case '<':
		body.XML(begin, limits, &found)
	default:
		return false
	}
	holds := func(f body.Field) bool { return len(f.Value) >= something || len(f.Name) > index }
	return found.Problem.Kind == body.None || slices.ContainsFunc(found.Args, holds) ||
		slices.ContainsFunc(found.Texts, holds) || slices.ContainsFunc(found.Attributes, holds) || len(found.Declarations) > 0
}
