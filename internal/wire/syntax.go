package wire

import (
	"math"
	"net/netip"
	"strings"

	"stormdoor/flow"
)

// What a byte may be part of. The table classes holds one set of these for each byte.
const (
	classToken  = 1 << iota // RFC 9110, section 5.6.2
	classValue              // field values: VCHAR, obs-text, SP, HTAB (RFC 9110, section 5.5)
	classTarget             // request targets: visible US-ASCII without "#"
	classHost               // reg-name without percent-encoding (RFC 3986, section 3.2.2)
	classHex                // HEXDIG in either case
	classDigit              // DIGIT
	classQuoted             // qdtext of a quoted string, without obs-text (RFC 9110, section 5.6.4)
)

// classes is never changed.
var classes = buildClasses()

func buildClasses() (t [256]uint8) {
	mark := func(s string, class uint8) {
		for i := 0; i < len(s); i++ {
			t[s[i]] |= class
		}
	}
	const digits, letters = "0123456789", "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	mark(digits+letters+"!#$%&'*+-.^_`|~", classToken)
	mark(digits+letters+"-._~!$&'()*+,;=", classHost)
	mark(digits+"abcdefABCDEF", classHex)
	mark(digits, classDigit)
	for c := 0; c < 256; c++ {
		if c == '\t' || c >= ' ' && c != 0x7f {
			t[c] |= classValue
		}
		if c > ' ' && c < 0x7f && c != '#' {
			t[c] |= classTarget
		}
		if (c == '\t' || c >= ' ' && c < 0x7f) && c != '"' && c != '\\' {
			t[c] |= classQuoted
		}
	}
	return t
}

// only reports whether every byte of s is in the class.
func only[T string | []byte](s T, class uint8) bool {
	for i := 0; i < len(s); i++ {
		if classes[s[i]]&class == 0 {
			return false
		}
	}
	return true
}

// validToken reports whether s is a token: a method, a field name, a protocol name.
func validToken[T string | []byte](s T) bool { return len(s) > 0 && only(s, classToken) }

// validFieldName reports whether s can be the name of a field. HTTP/2 asks for lower case besides.
func validFieldName[T string | []byte](s T) bool { return validToken(s) }

// validFieldValue reports whether s can be the value of a field: no control character but HTAB. Whether it may begin
// or end with white space is the caller's question: HTTP/1.1 strips it, HTTP/2 refuses it (RFC 9113, section 8.2.1).
func validFieldValue[T string | []byte](s T) bool { return only(s, classValue) }

// validMethod reports whether s can be a method. Methods are case-sensitive.
func validMethod[T string | []byte](s T) bool { return validToken(s) }

// validTarget reports whether s is a request target in origin form, or "*". Bytes that RFC 3986 wants encoded but
// browsers send as they are ("|", "^", a quote) pass, as do odd percent signs; anything outside of visible US-ASCII and
// fragments do not.
func validTarget[T string | []byte](s T) bool {
	if len(s) == 0 || s[0] != '/' {
		return len(s) == 1 && s[0] == '*'
	}
	return only(s, classTarget)
}

// validAuthority reports whether s is host [":" port] (RFC 9110, section 7.2): a name or an address, never user
// information, never empty.
func validAuthority(s string) bool {
	host, port := s, ""
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return false
		}
		a, err := netip.ParseAddr(s[1:end])
		if err != nil || !a.Is6() || a.Zone() != "" {
			return false
		}
		rest := s[end+1:]
		return rest == "" || rest[0] == ':' && validPort(rest[1:])
	}
	if i := strings.IndexByte(s, ':'); i >= 0 {
		host, port = s[:i], s[i+1:]
	}
	return validRegName(host) && validPort(port)
}

func validRegName(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) && only(s[i+1:i+3], classHex) {
			i += 2
			continue
		}
		if classes[s[i]]&classHost == 0 {
			return false
		}
	}
	return s != ""
}

// validPort accepts the empty port, which RFC 3986 allows.
func validPort(s string) bool {
	n := 0
	for i := 0; i < len(s); i++ {
		if classes[s[i]]&classDigit == 0 || i == 5 {
			return false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n <= math.MaxUint16
}

// parseContentLength reads the value of a Content-Length field: digits and nothing else, no list, at most an int64.
func parseContentLength[T string | []byte](s T) (n int64, ok bool) {
	if len(s) == 0 || len(s) > 19 || !only(s, classDigit) {
		return 0, false
	}
	for i := 0; i < len(s); i++ {
		d := int64(s[i] - '0')
		if n > (math.MaxInt64-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, true
}

// parseHex reads a chunk's size: 1 to 16 hexadecimal digits and nothing else, at most an int64.
func parseHex[T string | []byte](s T) (n int64, ok bool) {
	if len(s) == 0 || len(s) > 16 {
		return 0, false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if classes[c]&classHex == 0 || n > math.MaxInt64>>4 {
			return 0, false
		}
		switch {
		case c <= '9':
			c -= '0'
		default:
			c = c&^0x20 - 'A' + 10
		}
		n = n<<4 | int64(c)
	}
	return n, true
}

// hasListToken reports whether the comma-separated list s holds the token want (in lower case), ignoring case.
func hasListToken(s, want string) bool {
	for s != "" {
		var item string
		item, s, _ = strings.Cut(s, ",")
		if flow.EqualFold(trimOWS(item), want) {
			return true
		}
	}
	return false
}

// trimOWS strips optional white space: SP and HTAB only (RFC 9110, section 5.6.3).
func trimOWS(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for s != "" && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

// framingField reports whether name belongs to one connection and is written by whoever owns the connection
// (RFC 9110, section 7.6.1, and the fields that frame a message).
func framingField(name string) bool {
	switch len(name) {
	case 7:
		return flow.EqualFold(name, "upgrade")
	case 10:
		return flow.EqualFold(name, "connection") || flow.EqualFold(name, "keep-alive")
	case 14:
		return flow.EqualFold(name, "content-length")
	case 16:
		return flow.EqualFold(name, "proxy-connection")
	case 17:
		return flow.EqualFold(name, "transfer-encoding")
	}
	return false
}

// forbiddenTrailers lists fields that frame, route, authenticate or say how to process a message. They mean nothing in
// a trailer section, and a recipient that merged them into the header would be misled (RFC 9110, section 6.5.1).
var forbiddenTrailers = [...]string{
	"host", "trailer", "te", "expect", "range", "max-forwards", "authorization", "proxy-authorization",
	"proxy-authenticate", "www-authenticate", "cookie", "set-cookie", "cache-control", "age", "date", "expires",
	"location", "retry-after", "vary", "pragma", "content-type", "content-encoding", "content-range",
}

// validTrailer reports whether a field may stand in a trailer section; one that may not is left out, never merged.
func validTrailer(name string) bool {
	if framingField(name) {
		return false
	}
	for _, f := range forbiddenTrailers {
		if flow.EqualFold(name, f) {
			return false
		}
	}
	return true
}
