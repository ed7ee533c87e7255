package seclang

import (
	"bytes"
	"mime"
	"strings"

	"stormdoor/seclang/internal/body"
	"stormdoor/seclang/internal/unpack"
)

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
func (t *Transaction) readPacked(kind string, packed []byte) {
	twice := false
	switch kind {
	case "URLENCODED":
		twice = true
	case "MULTIPART":
		sent, _ := t.header("content-type")
		_, params, err := mime.ParseMediaType(sent)
		twice = err != nil || bytes.Contains(packed, []byte("--"+params["boundary"]))
	default:
		twice = spellsText(packed)
	}
	if twice && t.parsed.Problem.Kind == body.None {
		t.parsed.Problem = body.Problem{Kind: body.Malformed, Text: "a packed body that is another one to programs that do not unpack it"}
	}
}

// spellsText reports whether bytes begin as a document of JSON or XML does. gzip, zlib and zstd do not; deflate without a header may.
func spellsText(b []byte) bool {
	b = bytes.TrimLeft(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")), " \t\r\n")
	return len(b) > 0 && bytes.IndexByte([]byte(`{["<`), b[0]) >= 0
}
