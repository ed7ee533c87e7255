package wire

import (
	"strings"

	"stormdoor/flow"
)

// The ways in which a request is refused besides those of any message. They are never changed.
var (
	errRequestLine = &MalformedError{400, MalformedLine, "not a request line"}
	// errNotHTTP is for what has neither a path nor a version of HTTP in its first line: its sender could not read an answer
	// either (a broken HTTP/2 preface, RFC 9113, section 3.4), so the connection is closed without one.
	errNotHTTP    = &MalformedError{0, MalformedNoHTTP, "not HTTP"}
	errMethod     = &MalformedError{400, MalformedLine, "a method that is not a token"}
	errTarget     = &MalformedError{400, MalformedLine, "a target that is not in origin form"}
	errVersion    = &MalformedError{505, MalformedVersion, "a version of HTTP that is not spoken here"}
	errHost       = &MalformedError{400, MalformedHost, "a Host field that is not a host"}
	errHosts      = &MalformedError{400, MalformedHost, "not exactly one Host field"}
	errHostTarget = &MalformedError{400, MalformedHost, "Host and target name different hosts"}
	errUpgrade    = &MalformedError{400, MalformedField, "an Upgrade field that is not a list of protocols"}
	errExpect     = &MalformedError{417, MalformedExpectation, "an expectation other than 100-continue"}
)

// h1Request is the head of a request as it was read.
type h1Request struct {
	Request
	framing h1Framing
	// keep is true when the client wants to go on using the connection.
	keep bool
	// expect is true when the client waits for 100 Continue before it sends the body.
	expect bool
}

// parse reads a head that h1Reader.head returned. What can be read in two ways is refused (RFC 9112). Strings of r are
// parts of head; r.Header keeps its memory.
func (r *h1Request) parse(head, scheme string, maxFields int) error {
	h := r.Header
	h.Reset()
	*r = h1Request{Request: Request{Scheme: scheme, Header: h}}
	line, rest := h1Line(head)
	target, err := r.parseLine(line)
	if err != nil {
		return err
	}
	var f h1Fields
	if err := f.parse(rest, &r.Header, maxFields); err != nil {
		return err
	}
	if err := r.route(target, &f); err != nil {
		return err
	}
	if err := r.frame(&f); err != nil {
		return err
	}
	r.keep = !f.connClose && (r.Proto == flow.HTTP11 || f.connKeep)
	if f.expects > 1 || f.expects == 1 && !flow.EqualFold(f.expect, "100-continue") {
		return errExpect // in HTTP/1.0 too: on its way to an origin the request becomes one of HTTP/1.1
	}
	if r.Proto == flow.HTTP10 {
		return nil // it waits for no 100, and knows no trailers or upgrades
	}
	r.Trailers = f.trailers
	r.expect = f.expects == 1 && r.framing != h1NoBody
	return r.wish(&f)
}

// parseLine reads method SP target SP version, and nothing else.
func (r *h1Request) parseLine(line string) (target string, err error) {
	i, k := strings.IndexByte(line, ' '), strings.LastIndexByte(line, ' ')
	if i < 0 || i == k {
		return "", errRequestLine
	}
	r.Method = line[:i]
	if !validMethod(r.Method) {
		return "", errMethod
	}
	switch v := line[k+1:]; {
	case v == "HTTP/1.1":
		r.Proto = flow.HTTP11
	case v == "HTTP/1.0":
		r.Proto = flow.HTTP10
	case len(v) == 8 && v[:5] == "HTTP/" && only(v[5:6], classDigit) && v[6] == '.' && only(v[7:], classDigit) && v[5] != '0':
		return "", errVersion
	case !strings.HasPrefix(v, "HTTP") && line[i+1] != '/':
		return "", errNotHTTP
	default:
		return "", errRequestLine
	}
	return line[i+1 : k], nil
}

func judgeRequestLine(line []byte) error {
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	var r h1Request
	_, err := r.parseLine(string(line))
	return err
}

// route sets Target and Authority (RFC 9112, section 3.2). The authority form, and with it CONNECT, is refused.
func (r *h1Request) route(target string, f *h1Fields) error {
	if f.hosts > 1 || f.hosts == 0 && r.Proto == flow.HTTP11 {
		return errHosts
	}
	if f.hosts == 1 && !validAuthority(f.host) {
		return errHost
	}
	r.Target, r.Authority = target, f.host
	if target == "" {
		return errRequestLine
	}
	if target[0] != '/' && target != "*" {
		authority, rest, ok := splitAbsolute(target)
		if !ok || !validAuthority(authority) {
			return errTarget
		}
		if f.hosts == 1 && !flow.EqualFold(authority, f.host) {
			return errHostTarget
		}
		r.Target, r.Authority = rest, authority
		if rest == "/" && r.Method == "OPTIONS" && target[len(target)-1] != '/' {
			r.Target = "*" // RFC 9112, section 3.2.4
		}
	}
	if !validTarget(r.Target) || r.Target == "*" && r.Method != "OPTIONS" || r.Method == "CONNECT" {
		return errTarget
	}
	return nil
}

// splitAbsolute takes an absolute form apart. The scheme's case does not matter.
func splitAbsolute(s string) (authority, target string, ok bool) {
	i := strings.Index(s, "://")
	if i < 0 || !flow.EqualFold(s[:i], "http") && !flow.EqualFold(s[:i], "https") {
		return "", "", false
	}
	s = s[i+3:]
	switch k := strings.IndexAny(s, "/?#"); {
	case k < 0:
		return s, "/", true
	case s[k] == '?':
		return s[:k], "/" + s[k:], true
	default:
		return s[:k], s[k:], true
	}
}

// frame says how the body is delimited. Where two fields speak of it the request is refused, though RFC 9112, section
// 6.3, would let chunked win.
func (r *h1Request) frame(f *h1Fields) error {
	length, announced, chunked, err := f.framing(r.Proto)
	if err != nil {
		return err
	}
	switch {
	case chunked && announced:
		return errTwoFramings
	case chunked:
		r.framing, r.Length = h1Chunked, -1
	case length > 0:
		r.framing, r.Length = h1Sized, length
	}
	return nil
}

// wish sets Upgrade. A wish for HTTP/2 or TLS is not heard, and one that a body or another method than GET comes with
// neither: HTTP/1.1 goes on, as RFC 9110, section 7.8, allows.
func (r *h1Request) wish(f *h1Fields) error {
	if f.upgrades == 0 || !f.connUpgrade {
		return nil
	}
	if f.upgrades > 1 {
		return errUpgrade
	}
	chosen := ""
	for list := f.upgrade; ; {
		item, rest, more := strings.Cut(list, ",")
		item = trimOWS(item)
		name, version, versioned := strings.Cut(item, "/")
		if !validToken(name) || versioned && !validToken(version) {
			return errUpgrade
		}
		if chosen == "" && !flow.EqualFold(name, "h2c") && !flow.EqualFold(name, "tls") && !flow.EqualFold(name, "http") {
			chosen = item
		}
		if !more {
			break
		}
		list = rest
	}
	if r.Method == "GET" && r.framing == h1NoBody {
		r.Upgrade = strings.ToLower(chosen)
	}
	return nil
}
