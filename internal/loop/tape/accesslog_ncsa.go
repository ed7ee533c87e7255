package tape

import (
	"bytes"
	"time"
)

// common parses the NCSA common log format: host ident user [time] "request" status bytes.
func (p *parser) common(line []byte, e *Entry) string {
	_, why := p.ncsa(line, e)
	return why
}

// combined parses the combined log format: common and "referer" "user agent". What follows is skipped, but for a decimal
// number of seconds, which is how long the request took.
func (p *parser) combined(line []byte, e *Entry) string {
	rest, why := p.ncsa(line, e)
	if why != "" {
		return why
	}
	referer, rest, ok := p.quoted(rest)
	if !ok {
		return "there is no quoted referer behind the bytes"
	}
	agent, rest, ok := p.quoted(rest)
	if !ok {
		return "there is no quoted user agent behind the referer"
	}
	e.Referer, e.UserAgent = dash(referer), dash(agent)
	for len(rest) > 1 && e.Took == 0 {
		var word []byte
		word, rest, _ = bytes.Cut(rest, []byte{' '})
		if isDecimal(word) {
			e.Took, _ = duration(word)
		}
	}
	return ""
}

// ncsa parses what common and combined share and returns what follows.
func (p *parser) ncsa(line []byte, e *Entry) (rest []byte, why string) {
	i := bytes.IndexByte(line, ' ')
	if i <= 0 {
		return nil, "there is no client"
	}
	host := line[:i]
	if i+1 < len(line) && line[i+1] != '-' {
		if second, _, _ := bytes.Cut(line[i+1:], []byte{' '}); isAddress(second) {
			// Apache's vhost_combined: the virtual host stands before the rest.
			e.Host = hostname(text(host))
			host = second
		}
	}
	open := bytes.Index(line[i:], []byte(" ["))
	if open < 0 {
		return nil, "there is no [time]"
	}
	rest = line[i+open+2:]
	// 10/Oct/2000:13:55:36 -0700]
	if len(rest) < 28 || rest[26] != ']' {
		return nil, "the time is not like 10/Oct/2000:13:55:36 -0700"
	}
	var ok bool
	if e.Time, ok = p.clock(rest[:26]); !ok {
		return nil, "the time is not like 10/Oct/2000:13:55:36 -0700"
	}
	request, rest, ok := p.quoted(rest[27:])
	if !ok {
		return nil, "there is no quoted request"
	}
	if !e.request(request) {
		return nil, "the request is not \"METHOD target version\""
	}
	if len(rest) < 2 || rest[0] != ' ' {
		return nil, "there is no status"
	}
	status, rest, ok := bytes.Cut(rest[1:], []byte{' '})
	if !ok {
		return nil, "there are no bytes"
	}
	size := rest
	if j := bytes.IndexByte(rest, ' '); j >= 0 {
		size, rest = rest[:j], rest[j:]
	} else {
		rest = nil
	}
	if e.Status, e.Bytes, ok = result(status, size); !ok {
		return nil, "status or bytes are not numbers"
	}
	e.Client = client(host)
	return rest, ""
}

// request takes a request's line apart. One without a version is of HTTP/0.9, or was cut.
func (e *Entry) request(b []byte) bool {
	method, target, ok := bytes.Cut(b, []byte{' '})
	if !ok || !isMethod(method) {
		return false
	}
	if i := bytes.LastIndexByte(target, ' '); i >= 0 && bytes.HasPrefix(target[i+1:], []byte("HTTP/")) {
		e.Proto = proto(target[i+1:])
		target = target[:i]
	}
	e.Method, e.Target = text(method), text(target)
	if h := hostOf(e.Target); h != "" {
		e.Host = h
	}
	return len(target) > 0
}

// quoted reads a text in quotes with a space before it, and undoes what Apache and nginx escape. The quote that ends it
// has a space or the line's end behind it: old servers did not escape any.
func (p *parser) quoted(b []byte) (in, rest []byte, ok bool) {
	if len(b) < 3 || b[0] != ' ' || b[1] != '"' {
		return nil, nil, false
	}
	b = b[2:]
	escaped := false
	for i := 0; ; {
		j := bytes.IndexByte(b[i:], '"')
		if j < 0 {
			return nil, nil, false
		}
		i += j
		if slashes(b[:i])%2 == 1 {
			escaped = true
			i++
			continue
		}
		if i+1 < len(b) && b[i+1] != ' ' {
			i++
			continue
		}
		in, rest = b[:i], b[i+1:]
		break
	}
	if escaped || bytes.IndexByte(in, '\\') >= 0 {
		in = p.unescape(in)
	}
	return in, rest, true
}

// isDecimal reports whether b is digits with one dot among them.
func isDecimal(b []byte) bool {
	dots := 0
	for _, c := range b {
		if c == '.' {
			dots++
		} else if c < '0' || c > '9' {
			return false
		}
	}
	return dots == 1 && len(b) > 2 && b[0] != '.'
}

// slashes counts the backslashes at the end.
func slashes(b []byte) (n int) {
	for n < len(b) && b[len(b)-1-n] == '\\' {
		n++
	}
	return n
}

// unescape undoes \", \\, \n, \r, \t and \xHH in scratch. Other escapes stay as they are.
func (p *parser) unescape(b []byte) []byte {
	at := len(p.scratch)
	for i := 0; i < len(b); i++ {
		if b[i] != '\\' || i+1 == len(b) {
			p.scratch = append(p.scratch, b[i])
			continue
		}
		i++
		switch b[i] {
		case '"', '\\':
			p.scratch = append(p.scratch, b[i])
		case 'n':
			p.scratch = append(p.scratch, '\n')
		case 'r':
			p.scratch = append(p.scratch, '\r')
		case 't':
			p.scratch = append(p.scratch, '\t')
		case 'x':
			if i+2 < len(b) && hex(b[i+1]) >= 0 && hex(b[i+2]) >= 0 {
				p.scratch = append(p.scratch, byte(hex(b[i+1])<<4|hex(b[i+2])))
				i += 2
				continue
			}
			fallthrough
		default:
			p.scratch = append(p.scratch, '\\', b[i])
		}
	}
	return p.scratch[at:len(p.scratch):len(p.scratch)]
}

func hex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// clock reads 10/Oct/2000:13:55:36 -0700. Lines of the same minute and zone, nearly all, cost a comparison.
func (p *parser) clock(b []byte) (time.Time, bool) {
	if b[17] != ':' || b[18] < '0' || b[18] > '6' || b[19] < '0' || b[19] > '9' || b[20] != ' ' {
		return time.Time{}, false
	}
	sec := int64(b[18]-'0')*10 + int64(b[19]-'0')
	if sec > 60 {
		return time.Time{}, false
	}
	if string(b[:17]) == string(p.minute[:17]) && string(b[21:26]) == string(p.minute[17:]) {
		return time.Unix(p.since+sec, 0).UTC(), true
	}
	var at [26]byte
	copy(at[:], b)
	at[18], at[19] = '0', '0'
	t, err := time.Parse("02/Jan/2006:15:04:05 -0700", string(at[:]))
	if err != nil {
		return time.Time{}, false
	}
	copy(p.minute[:17], b)
	copy(p.minute[17:], b[21:26])
	p.since = t.Unix()
	return time.Unix(p.since+sec, 0).UTC(), true
}
