package tape

import (
	"bytes"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"stormdoor/flow"
)

// section is which object of a line a member belongs to.
type section uint8

const (
	sectionTop     section = iota
	sectionRequest         // Caddy: "request": {…}
	sectionHeaders         // "headers": {"User-Agent": ["…"]}
	sectionOther           // anything else: read over
)

// maxDepth is how deep objects and lists may be nested.
const maxDepth = 16

// jsonLine is a line of JSON that is being read.
type jsonLine struct {
	p    *parser
	b    []byte
	i    int
	e    *Entry
	rank int // how good the source of Client is
	// path and query are apart in Stormdoor's own log.
	path, query []byte
}

// json parses an object a line with the names that Stormdoor, Caddy and nginx (by its usual log_format for JSON) give:
// time, ts, time_iso8601, msec, time_local or @timestamp; client, client_ip, remote_ip or remote_addr; request, or method
// and uri, request_uri, target or path with query; proto, server_protocol or protocol; host, http_host or server_name; status;
// bytes, bytes_out, bytes_sent, body_bytes_sent or size; referer, http_referer; user_agent, http_user_agent; took,
// duration or request_time in seconds. Numbers may be in quotes. Other members are read over.
func (p *parser) json(line []byte, e *Entry) string {
	j := jsonLine{p: p, b: line, e: e}
	j.space()
	if !j.at('{') {
		return "it is not a JSON object"
	}
	if !j.members('}', sectionTop, nil, 0) {
		return "it is not valid JSON"
	}
	if j.space(); j.i != len(j.b) {
		return "something follows the JSON object"
	}
	if e.Target == "" && j.path != nil {
		e.Target = text(j.path)
		if len(j.query) > 0 {
			at := len(p.scratch)
			p.scratch = append(append(append(p.scratch, j.path...), '?'), j.query...)
			e.Target = text(p.scratch[at:])
		}
	}
	switch {
	case e.Time.IsZero():
		return "it has no time"
	case !e.Client.IsValid():
		return "it has no client"
	case e.Method == "" || e.Target == "":
		return "it has no request"
	}
	if e.Host == "" {
		e.Host = hostOf(e.Target)
	}
	return ""
}

// member takes what is known of one member; v is its text without quotes and escapes.
func (j *jsonLine) member(in section, key, v []byte) {
	e := j.e
	if in == sectionHeaders {
		j.header(key, v)
		return
	}
	switch string(key) {
	case "time", "ts", "time_iso8601", "msec", "time_local", "@timestamp", "timestamp":
		if t, ok := j.p.anyTime(v); ok {
			e.Time = t
		}
	case "client", "client_ip":
		j.client(v, 2)
	case "remote_addr", "remote_ip", "remote_host":
		j.client(v, 1)
	case "request":
		e.request(v)
	case "method", "request_method":
		if isMethod(v) {
			e.Method = text(v)
		}
	case "uri", "request_uri", "target", "url":
		e.Target = text(v)
	case "path":
		j.path = v
	case "query":
		j.query = v
	case "proto", "server_protocol", "protocol":
		e.Proto = proto(v)
	case "host", "http_host":
		e.Host = hostname(text(v))
	case "server_name":
		if e.Host == "" {
			e.Host = hostname(text(v))
		}
	default:
		j.answer(key, v)
	}
}

func (j *jsonLine) answer(key, v []byte) {
	e := j.e
	switch string(key) {
	case "status":
		if n, ok := number(v); ok && n < 1000 {
			e.Status = int(n)
		}
	case "bytes", "bytes_out", "bytes_sent", "body_bytes_sent", "size":
		e.Bytes, _ = number(v)
	case "referer", "http_referer":
		e.Referer = dash(v)
	case "user_agent", "http_user_agent":
		e.UserAgent = dash(v)
	case "took", "duration", "request_time":
		e.Took, _ = duration(v)
	}
}

func (j *jsonLine) header(key, v []byte) {
	switch name := text(key); {
	case flow.EqualFold(name, "user-agent") && j.e.UserAgent == "":
		j.e.UserAgent = text(v)
	case flow.EqualFold(name, "referer") && j.e.Referer == "":
		j.e.Referer = text(v)
	}
}

func (j *jsonLine) client(v []byte, rank int) {
	if rank > j.rank && len(v) > 0 {
		j.e.Client, j.rank = client(v), rank
	}
}

// members reads an object or a list from its opening bracket on, up to end, its closing one. The elements of a list count as
// members with its name; those of an object have names of their own.
func (j *jsonLine) members(end byte, in section, name []byte, depth int) bool {
	if depth > maxDepth {
		return false
	}
	j.i++
	if j.space(); j.at(end) {
		j.i++
		return true
	}
	for {
		if end == '}' {
			ok := false
			if name, ok = j.name(); !ok {
				return false
			}
		}
		if !j.value(in, name, depth) {
			return false
		}
		j.space()
		switch {
		case j.at(','):
			j.i++
		case j.at(end):
			j.i++
			return true
		default:
			return false
		}
	}
}

// name reads the name of a member of an object, with its colon.
func (j *jsonLine) name() (name []byte, ok bool) {
	j.space()
	if name, ok = j.str(); !ok {
		return nil, false
	}
	if j.space(); !j.at(':') {
		return nil, false
	}
	j.i++
	return name, true
}

func (j *jsonLine) value(in section, key []byte, depth int) bool {
	j.space()
	switch {
	case j.at('"'):
		v, ok := j.str()
		if ok && in != sectionOther {
			j.member(in, key, v)
		}
		return ok
	case j.at('{'):
		return j.members('}', below(in, key), nil, depth+1)
	case j.at('['):
		if in != sectionHeaders {
			in = sectionOther
		}
		return j.members(']', in, key, depth+1)
	}
	from := j.i
	for j.i < len(j.b) && bytes.IndexByte([]byte(",]} \t"), j.b[j.i]) < 0 {
		j.i++
	}
	v := j.b[from:j.i]
	switch {
	case string(v) == "null" || string(v) == "true" || string(v) == "false":
		return true
	case len(v) == 0 || v[0] != '-' && (v[0] < '0' || v[0] > '9'):
		return false
	}
	if in != sectionOther {
		j.member(in, key, v)
	}
	return true
}

func below(in section, key []byte) section {
	switch {
	case in == sectionTop && string(key) == "request":
		return sectionRequest
	case in <= sectionRequest && (string(key) == "headers" || string(key) == "request_headers"):
		return sectionHeaders
	}
	return sectionOther
}

// str reads a string from its opening quote on and undoes its escapes.
func (j *jsonLine) str() ([]byte, bool) {
	if !j.at('"') {
		return nil, false
	}
	rest := j.b[j.i+1:]
	n := bytes.IndexByte(rest, '"')
	if n < 0 {
		return nil, false
	}
	if bytes.IndexByte(rest[:n], '\\') < 0 {
		j.i += n + 2
		return rest[:n:n], true
	}
	return j.escaped(rest)
}

func (j *jsonLine) escaped(rest []byte) ([]byte, bool) {
	out := j.p.scratch
	at := len(out)
	for i := 0; i < len(rest); i++ {
		c := rest[i]
		if c == '"' {
			j.i += i + 2
			j.p.scratch = out
			return out[at:len(out):len(out)], true
		}
		if c != '\\' {
			out = append(out, c)
			continue
		}
		i++
		if i == len(rest) {
			return nil, false
		}
		switch c := rest[i]; c {
		case '"', '\\', '/':
			out = append(out, c)
		case 'b', 'f', 'n', 'r', 't':
			out = append(out, "\b\f\n\r\t"[bytes.IndexByte([]byte("bfnrt"), c)])
		case 'x': // nginx without escape=json
			if i+2 >= len(rest) || hex(rest[i+1]) < 0 || hex(rest[i+2]) < 0 {
				return nil, false
			}
			out = append(out, byte(hex(rest[i+1])<<4|hex(rest[i+2])))
			i += 2
		case 'u':
			r, n := codeUnit(rest[i+1:])
			if n == 0 {
				return nil, false
			}
			i += n
			if utf16.IsSurrogate(r) && i+2 < len(rest) && rest[i+1] == '\\' && rest[i+2] == 'u' {
				if low, n := codeUnit(rest[i+3:]); n > 0 && utf16.DecodeRune(r, low) != utf8.RuneError {
					r, i = utf16.DecodeRune(r, low), i+2+n
				}
			}
			out = utf8.AppendRune(out, r)
		default:
			return nil, false
		}
	}
	return nil, false
}

// codeUnit reads four hexadecimal digits; n is 0 when they are not.
func codeUnit(b []byte) (r rune, n int) {
	if len(b) < 4 {
		return 0, 0
	}
	for _, c := range b[:4] {
		h := hex(c)
		if h < 0 {
			return 0, 0
		}
		r = r<<4 | rune(h)
	}
	return r, 4
}

func (j *jsonLine) at(c byte) bool { return j.i < len(j.b) && j.b[j.i] == c }

func (j *jsonLine) space() {
	for j.i < len(j.b) && (j.b[j.i] == ' ' || j.b[j.i] == '\t') {
		j.i++
	}
}

// anyTime reads a time as RFC 3339, as NCSA logs write it, or as seconds since 1970.
func (p *parser) anyTime(b []byte) (time.Time, bool) {
	switch {
	case len(b) == 26 && b[2] == '/':
		return p.clock(b)
	case len(b) >= 20 && (b[10] == 'T' || b[10] == ' '):
		return p.rfc3339(b)
	}
	return seconds(b)
}

// rfc3339 reads 2006-01-02T15:04:05.999Z07:00. Lines of the same minute and zone cost a comparison.
func (p *parser) rfc3339(b []byte) (time.Time, bool) {
	if b[16] != ':' || b[17] < '0' || b[17] > '6' || b[18] < '0' || b[18] > '9' {
		return time.Time{}, false
	}
	sec := int64(b[17]-'0')*10 + int64(b[18]-'0')
	if sec > 60 {
		return time.Time{}, false
	}
	zone, nano := b[19:], int64(0)
	if zone[0] == '.' {
		n := 1
		for unit := int64(1e8); n < len(zone) && zone[n] >= '0' && zone[n] <= '9'; n++ {
			nano += int64(zone[n]-'0') * unit
			unit /= 10
		}
		zone = zone[n:]
	}
	if len(zone) == 0 || len(zone) > 6 {
		return time.Time{}, false
	}
	var key [22]byte
	copy(key[:16], b)
	copy(key[16:], zone)
	if key != p.minute {
		at := append(append(append(make([]byte, 0, 32), key[:16]...), ":00"...), zone...)
		at[10] = 'T'
		t, err := time.Parse(time.RFC3339, string(at))
		if err != nil {
			return time.Time{}, false
		}
		p.minute, p.since = key, t.Unix()
	}
	return time.Unix(p.since+sec, nano).UTC(), true
}
