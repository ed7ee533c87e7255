package wire

import (
	"strings"

	"stormdoor/flow"
)

// h2Kind sorts fields by what a request head has to do about them.
type h2Kind uint8

const (
	h2KindBroken h2Kind = iota // the name or the value may not stand in a message
	h2KindPlain
	h2KindMethod
	h2KindScheme
	h2KindAuthority
	h2KindPath
	h2KindProtocol
	h2KindHost
	h2KindLength
	h2KindCookie
	h2KindExpect
)

// h2KindOf checks a field by RFC 9113, section 8.2: lower-case names, no control characters, no white space around the
// value, nothing that belongs to one connection. What passes can be written into an HTTP/1.1 message as it is. Values of
// pseudo-header fields are checked with the whole head.
func h2KindOf(name, value string) h2Kind {
	if strings.HasPrefix(name, ":") {
		switch name {
		case ":method":
			return h2KindMethod
		case ":scheme":
			return h2KindScheme
		case ":authority":
			return h2KindAuthority
		case ":path":
			return h2KindPath
		case ":protocol":
			return h2KindProtocol
		}
		return h2KindBroken
	}
	if !validFieldName(name) || !validFieldValue(value) || trimOWS(value) != value {
		return h2KindBroken
	}
	for i := 0; i < len(name); i++ {
		if 'A' <= name[i] && name[i] <= 'Z' {
			return h2KindBroken
		}
	}
	switch name {
	case "host":
		return h2KindHost
	case "content-length":
		return h2KindLength
	case "cookie":
		return h2KindCookie
	case "expect":
		return h2KindExpect
	case "te":
		if !flow.EqualFold(value, "trailers") {
			return h2KindBroken
		}
	}
	if framingField(name) {
		return h2KindBroken
	}
	return h2KindPlain
}

// h2Head gathers the fields of one header or trailer section as they are decoded. It is pure; its zero value with the
// limits set is ready to use, reset makes it so again.
type h2Head struct {
	maxBytes, maxFields int

	method, scheme, authority, path, protocol, host string

	fields  flow.Header
	crumbs  []string // the values of cookie fields
	length  int64    // of the body as announced, -1 when it is not
	seen    uint16   // a bit for each pseudo-header field that came
	bytes   int      // as SETTINGS_MAX_HEADER_LIST_SIZE counts
	count   int
	trailer bool // it is a trailer section
	regular bool // a field other than a pseudo-header field has come
	broken  bool // malformed (RFC 9113, section 8.1.1)
	over    bool // over a limit
	expects bool // Expect: 100-continue
}

func (h *h2Head) reset() {
	h.fields.Reset()
	clear(h.crumbs)
	*h = h2Head{maxBytes: h.maxBytes, maxFields: h.maxFields, fields: h.fields, crumbs: h.crumbs[:0], length: -1}
}

// room is how many bytes of name and value the next field may have; negative when nothing more is wanted.
func (h *h2Head) room() int {
	if h.broken || h.over {
		return -1
	}
	return h.maxBytes - h.bytes - h2EntryCost
}

// add takes the next field.
func (h *h2Head) add(f h2Field) {
	if h.broken || h.over {
		return
	}
	h.bytes += f.size()
	h.count++
	if h.bytes > h.maxBytes || h.count > h.maxFields {
		h.over = true
		return
	}
	switch f.kind {
	case h2KindBroken:
		h.broken = true
		return
	case h2KindMethod, h2KindScheme, h2KindAuthority, h2KindPath, h2KindProtocol:
		h.pseudo(f)
		return
	}
	h.regular = true
	if h.trailer {
		if validTrailer(f.name) {
			h.fields.Add(f.name, f.value)
		}
		return
	}
	switch f.kind {
	case h2KindHost:
		h.broken = h.broken || h.host != "" || f.value == ""
		h.host = f.value
		return
	case h2KindLength:
		n, ok := parseContentLength(f.value)
		h.broken = h.broken || !ok || h.length >= 0
		h.length = n
	case h2KindCookie:
		if h.crumbs = append(h.crumbs, f.value); len(h.crumbs) > 1 {
			return
		}
	case h2KindExpect:
		h.expects = h.expects || flow.EqualFold(f.value, "100-continue")
	}
	h.fields.Add(f.name, f.value)
}

func (h *h2Head) pseudo(f h2Field) {
	bit := uint16(1) << f.kind
	if h.trailer || h.regular || h.seen&bit != 0 {
		h.broken = true
		return
	}
	h.seen |= bit
	switch f.kind {
	case h2KindMethod:
		h.method = f.value
	case h2KindScheme:
		h.scheme = f.value
	case h2KindAuthority:
		h.authority = f.value
	case h2KindPath:
		h.path = f.value
	case h2KindProtocol:
		h.protocol = f.value
	}
}

func (h *h2Head) has(k h2Kind) bool { return h.seen&(1<<k) != 0 }

// The ways in which a request head of HTTP/2 is refused. Those without a status reset the stream (RFC 9113, section 8.1.1).
// They are never changed.
var (
	errH2Fields    = &MalformedError{0, MalformedField, "a field or a pseudo-header field that may not stand there"}
	errH2Pseudo    = &MalformedError{0, MalformedHTTP2, "pseudo-header fields that are missing or do not fit each other"}
	errH2Length    = &MalformedError{0, MalformedFraming, "a length that does not fit the body"}
	errH2Hosts     = &MalformedError{0, MalformedHost, ":authority and host name different hosts"}
	errH2Large     = &MalformedError{431, MalformedSize, "the head is too large"}
	errH2Connect   = &MalformedError{405, MalformedHTTP2, "CONNECT to another server"}
	errH2Protocols = &MalformedError{501, MalformedHTTP2, "an extended CONNECT for another protocol than websocket"}
	errH2Target    = &MalformedError{400, MalformedLine, "a path that is not in origin form"}
	errH2Authority = &MalformedError{400, MalformedHost, "an authority that is not a host"}
)

// fit judges the whole head of a request, nil for a good one; ended means that no body follows (RFC 9113, sections 8.3.1
// and 8.5; RFC 8441).
func (h *h2Head) fit(ended bool) *MalformedError {
	if h.broken {
		return errH2Fields
	}
	if h.over {
		return errH2Large
	}
	extended := h.has(h2KindProtocol)
	switch {
	case !validMethod(h.method), extended && h.method != "CONNECT":
		return errH2Pseudo
	case h.method == "CONNECT" && !extended:
		if h.has(h2KindScheme) || h.has(h2KindPath) || !h.has(h2KindAuthority) {
			return errH2Pseudo
		}
		return errH2Connect
	case h.scheme != "http" && h.scheme != "https", h.path == "":
		return errH2Pseudo
	case ended && h.length > 0:
		return errH2Length
	case h.has(h2KindAuthority) && h.host != "" && !flow.EqualFold(h.host, h.authority):
		return errH2Hosts
	case extended && !flow.EqualFold(h.protocol, "websocket"):
		return errH2Protocols
	case extended && (ended || h.length >= 0):
		return errH2Length
	}
	if !h.has(h2KindAuthority) {
		h.authority = h.host
	}
	if !validAuthority(h.authority) {
		return errH2Authority
	}
	if !validTarget(h.path) || h.path == "*" && h.method != "OPTIONS" {
		return errH2Target
	}
	return nil
}

// request writes the head to r; cookie crumbs are joined in arena (RFC 9113, section 8.2.3).
func (h *h2Head) request(r *Request, c *Conn, ended bool, arena *[]byte) {
	*r = Request{
		Proto: flow.HTTP2, Method: h.method, Target: h.path, Scheme: "http", Authority: h.authority,
		Length: h.length, Trailers: true,
	}
	if c.TLS {
		r.Scheme = "https"
	}
	if ended {
		r.Length = 0
	}
	if h.protocol != "" {
		r.Upgrade = "websocket"
	}
	if len(h.crumbs) > 1 {
		mark := len(*arena)
		for i, crumb := range h.crumbs {
			if i > 0 {
				*arena = append(*arena, "; "...)
			}
			*arena = append(*arena, crumb...)
		}
		h.fields.Set("cookie", h2ArenaString(*arena, mark))
	}
	r.Header = h.fields
}
