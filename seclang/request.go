package seclang

import (
	"net/url"
	"strings"

	"stormdoor/seclang/internal/body"
)

// RequestLine tells the request's first line, as sent.
func (t *Transaction) RequestLine(method, target, protocol string) {
	t.singles[requestMethod], t.singles[requestProtocol] = method, protocol
	t.singles[requestURIRaw] = target
	line := append(append(append(t.arena.free(), method...), ' '), target...)
	t.singles[requestLine] = t.arena.keep(append(append(line, ' '), protocol...))

	target, _, _ = strings.Cut(target, "#")
	path, query, uri, ok := splitTarget(target)
	if !ok {
		t.singles[uriParseError] = "1"
	}
	t.arguments(argsGet, query)
	t.singles[requestURI], t.singles[requestFilename], t.singles[queryString] = uri, path, query
	t.singles[requestBasename] = path
	if i := strings.LastIndexAny(path, `/\`); i >= 0 && i+1 < len(path) {
		t.singles[requestBasename] = path[i+1:]
	}
}

// splitTarget takes a request's target apart. The path is decoded, and the URI is the target in normal form; of a
// target that is none (ok is false) both are as sent.
func splitTarget(target string) (path, query, uri string, ok bool) {
	path, query, _ = strings.Cut(target, "?")
	if plainPath(path) && !hasControl(query) {
		return path, query, target, true
	}
	u, err := url.ParseRequestURI(target)
	if err != nil {
		return path, query, target, false
	}
	return u.Path, u.RawQuery, u.String(), true
}

// plainPath reports whether a path reads the same decoded and encoded again.
func plainPath(s string) bool {
	if s == "" || s[0] != '/' || len(s) > 1 && s[1] == '/' {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte("/-_.~$&+:=@", c) >= 0:
		default:
			return false
		}
	}
	return true
}

func hasControl(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return true
		}
	}
	return false
}

// arguments adds the pairs of a query.
func (t *Transaction) arguments(to collection, query string) {
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		if pair == "" {
			continue
		}
		if len(t.fields[to]) >= t.set.arguments {
			t.singles[argumentsLimitReached] = "1"
			return
		}
		key, value, _ := strings.Cut(pair, "=")
		key, value = t.unescape(key), t.unescape(value)
		t.fields[to] = append(t.fields[to], field{key: key, folded: key, value: value})
	}
}

// unescape decodes %xx and +. What is no escape stays as it is.
func (t *Transaction) unescape(s string) string {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		return s
	}
	b := t.arena.free()
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '+':
			b = append(b, ' ')
		case s[i] == '%' && i+2 < len(s) && hexDigit(s[i+1]) < 16 && hexDigit(s[i+2]) < 16:
			b = append(b, hexDigit(s[i+1])<<4|hexDigit(s[i+2]))
			i += 2
		default:
			b = append(b, s[i])
		}
	}
	return t.arena.keep(b)
}

// hexDigit is the value of a hexadecimal digit, 16 of anything else.
func hexDigit(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 16
}

// RequestHeader tells a field of the request's head, in the order sent. Of HTTP/2 the :authority is told as Host.
func (t *Transaction) RequestHeader(name, value string) {
	if name == "" {
		return
	}
	folded := t.arena.lower(name)
	switch folded {
	case "content-type":
		if _, given := t.header("content-type"); !given { // the first one is what an application reads
			t.chooseProcessor(value)
		}
	case "cookie":
		t.cookies(value)
	}
	t.fields[requestHeaders] = append(t.fields[requestHeaders], field{key: name, folded: folded, value: value})
}

// header returns the first header of that name, in lower case.
func (t *Transaction) header(name string) (value string, ok bool) {
	for i := range t.fields[requestHeaders] {
		if f := &t.fields[requestHeaders][i]; f.folded == name {
			return f.value, true
		}
	}
	return "", false
}

// chooseProcessor sets who reads the body, of the types that need no rule for it.
func (t *Transaction) chooseProcessor(contentType string) {
	kind := strings.TrimSpace(t.arena.lower(contentType))
	switch {
	case strings.HasPrefix(kind, "application/x-www-form-urlencoded"):
		t.singles[reqbodyProcessor] = "URLENCODED"
	case strings.HasPrefix(kind, "multipart/form-data"):
		t.singles[reqbodyProcessor] = "MULTIPART"
	}
}

// cookies adds the pairs of a Cookie field. Nothing in them is decoded.
func (t *Transaction) cookies(s string) {
	for s != "" {
		var pair string
		pair, s, _ = strings.Cut(s, ";")
		name, value, _ := strings.Cut(pair, "=")
		name, value = trimControl(name), trimControl(value)
		if name == "" && value == "" {
			continue
		}
		t.fields[requestCookies] = append(t.fields[requestCookies], field{key: name, folded: t.arena.lower(name), value: value})
	}
}

// trimControl takes spaces and control characters off both ends.
func trimControl(s string) string {
	for s != "" && (s[0] <= ' ' || s[0] == 0x7f) {
		s = s[1:]
	}
	for s != "" && (s[len(s)-1] <= ' ' || s[len(s)-1] == 0x7f) {
		s = s[:len(s)-1]
	}
	return s
}

// Argument is a field of a body that was taken apart by somebody else.
type Argument struct{ Name, Value string }

// RequestArguments tells what a body holds that this package has no reader for, such as messages of Protocol Buffers, in the place of
// RequestBody: its fields, and what is wrong with it, "" for nothing. The strings are used until the transaction is closed.
func (t *Transaction) RequestArguments(arguments []Argument, problem string) Interruption {
	if !t.WantsRequestBody() {
		return t.interruption
	}
	t.parsed.Reset()
	for _, a := range arguments {
		if len(t.fields[argsPost]) >= t.set.arguments {
			t.singles[argumentsLimitReached] = "1"
			break
		}
		t.fields[argsPost] = append(t.fields[argsPost], field{key: a.Name, folded: a.Name, value: a.Value})
		t.cost.Work += int64(len(a.Value))
	}
	t.nestedIn(argsPost)
	if problem != "" {
		t.parsed.Problem = body.Problem{Kind: body.Malformed, Text: problem}
		t.bodyProblem("body")
	}
	return t.interruption
}
