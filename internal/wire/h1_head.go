package wire

import (
	"strings"

	"stormdoor/flow"
)

// The ways in which an HTTP/1.1 message is malformed. They are never changed.
var (
	errBareLF      = &MalformedError{400, MalformedLine, "a line ends in LF without CR"}
	errLineLong    = &MalformedError{400, MalformedFraming, "a line of the chunked coding is too long"}
	errHeadLarge   = &MalformedError{431, MalformedSize, "the head is too large"}
	errTargetLong  = &MalformedError{414, MalformedSize, "the first line is too long"}
	errEmptyLines  = &MalformedError{400, MalformedLine, "empty lines before the message"}
	errFieldCount  = &MalformedError{431, MalformedSize, "too many fields"}
	errFold        = &MalformedError{400, MalformedField, "a folded or indented field line"}
	errNoColon     = &MalformedError{400, MalformedField, "a field line without a colon"}
	errFieldName   = &MalformedError{400, MalformedField, "a field name that is not a token"}
	errFieldValue  = &MalformedError{400, MalformedField, "a control character in a field value"}
	errLength      = &MalformedError{400, MalformedFraming, "a Content-Length that is not a number"}
	errLengths     = &MalformedError{400, MalformedFraming, "more than one Content-Length"}
	errCoding      = &MalformedError{400, MalformedFraming, "a Transfer-Encoding other than chunked"}
	errCodingOld   = &MalformedError{400, MalformedFraming, "Transfer-Encoding in HTTP/1.0"}
	errTwoFramings = &MalformedError{400, MalformedFraming, "both Content-Length and Transfer-Encoding"}
	errChunkSize   = &MalformedError{400, MalformedFraming, "a chunk size that is not a number"}
	errChunkExt    = &MalformedError{400, MalformedFraming, "an odd chunk extension"}
	errChunkEnd    = &MalformedError{400, MalformedFraming, "chunk data that is not followed by CRLF"}
	errChunkWaste  = &MalformedError{400, MalformedFraming, "chunks with much more framing than data"}
)

// h1Fields is what the fields of a head say about the connection and the message's framing.
type h1Fields struct {
	host, length, coding, upgrade, expect string
	hosts, lengths, codings               int
	upgrades, expects                     int
	// From Connection: close, keep-alive and upgrade.
	connClose, connKeep, connUpgrade bool
	// trailers is true for "TE: trailers".
	trailers bool
}

// h1Line cuts the first line off s, without its end. s holds at least one LF.
func h1Line(s string) (line, rest string) {
	i := strings.IndexByte(s, '\n')
	line, rest = s[:i], s[i+1:]
	if i > 0 && line[i-1] == '\r' {
		line = line[:i-1]
	}
	return line, rest
}

// parseFields reads field lines up to the empty line into h, whose strings are parts of s, and notes in f what
// matters to the connection. s ends in an empty line, as h1Reader.head returns it.
func (f *h1Fields) parse(s string, h *flow.Header, max int) error {
	for {
		var line string
		line, s = h1Line(s)
		if line == "" {
			return nil
		}
		if h.Len() >= max {
			return errFieldCount
		}
		name, value, err := h1Field(line)
		if err != nil {
			return err
		}
		h.Add(name, value)
		f.note(name, value)
	}
}

// h1Field takes a field line apart (RFC 9112, section 5).
func h1Field(line string) (name, value string, err error) {
	if line[0] == ' ' || line[0] == '\t' {
		return "", "", errFold
	}
	colon := strings.IndexByte(line, ':')
	if colon < 0 {
		return "", "", errNoColon
	}
	name, value = line[:colon], trimOWS(line[colon+1:])
	if !validFieldName(name) {
		return "", "", errFieldName
	}
	if !validFieldValue(value) {
		return "", "", errFieldValue
	}
	return name, value, nil
}

func (f *h1Fields) note(name, value string) {
	switch len(name) {
	case 2:
		if flow.EqualFold(name, "te") {
			f.trailers = f.trailers || hasListToken(value, "trailers")
		}
	case 4:
		if flow.EqualFold(name, "host") {
			f.host = value
			f.hosts++
		}
	case 6:
		if flow.EqualFold(name, "expect") {
			f.expect = value
			f.expects++
		}
	case 7:
		if flow.EqualFold(name, "upgrade") {
			f.upgrade = value
			f.upgrades++
		}
	case 10:
		if flow.EqualFold(name, "connection") {
			f.connClose = f.connClose || hasListToken(value, "close")
			f.connKeep = f.connKeep || hasListToken(value, "keep-alive")
			f.connUpgrade = f.connUpgrade || hasListToken(value, "upgrade")
		}
	case 14:
		if flow.EqualFold(name, "content-length") {
			f.length = value
			f.lengths++
		}
	case 17:
		if flow.EqualFold(name, "transfer-encoding") {
			f.coding = value
			f.codings++
		}
	}
}

// framing says how the body is delimited: chunked, or length bytes with announced true, or neither.
func (f *h1Fields) framing(proto flow.Proto) (length int64, announced, chunked bool, err error) {
	if f.codings > 0 {
		if proto != flow.HTTP11 {
			return 0, false, false, errCodingOld
		}
		if f.codings > 1 || !flow.EqualFold(f.coding, "chunked") {
			return 0, false, false, errCoding
		}
		chunked = true
	}
	if f.lengths > 1 {
		return 0, false, false, errLengths
	}
	if f.lengths == 1 {
		n, ok := parseContentLength(f.length)
		if !ok {
			return 0, false, false, errLength
		}
		return n, true, chunked, nil
	}
	return 0, false, chunked, nil
}
