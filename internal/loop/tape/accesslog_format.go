package tape

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"stormdoor/flow"
)

// format is a way to write an access log. parse says what is wrong with a line, or "".
type format struct {
	name  string
	parse func(p *parser, line []byte, e *Entry) (why string)
}

// formats lists what is recognised. Where several fit, the first counts.
var formats = [...]format{
	{"json", (*parser).json},
	{"tsv", (*parser).tsv},
	{"combined", (*parser).combined},
	{"common", (*parser).common},
}

// recogniseBy is how many lines are looked at to recognise the format.
const recogniseBy = 32

// recognise picks the format that fits most of the first lines.
func (l *Log) recognise() error {
	var lines [][]byte
	for rest := l.buf[l.start:l.end]; len(rest) > 0 && len(lines) < recogniseBy; {
		line, more, whole := bytes.Cut(rest, []byte{'\n'})
		if !whole && (l.eof == nil || len(lines) > 0) {
			break
		}
		rest = more
		if line = bytes.TrimSuffix(line, []byte{'\r'}); len(line) > 0 && line[0] != '#' && len(line) <= MaxLine {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return l.nothing()
	}
	most := 0
	var p parser
	for i := range formats {
		n := 0
		for _, line := range lines {
			var e Entry
			if formats[i].parse(&p, line, &e) == "" {
				n++
			}
		}
		if n > most {
			l.format, most = &formats[i], n
		}
	}
	if most*2 < len(lines) || l.format == nil {
		return fmt.Errorf("access log %s is in none of the known formats (combined, common, JSON lines, tab-separated); its first line: %s", l.name, shown(lines[0]))
	}
	return nil
}

// nothing is for a log whose beginning has no line to recognise it by.
func (l *Log) nothing() error {
	if l.start == l.end && l.eof != nil && l.line == 0 {
		if l.eof == io.EOF {
			return fmt.Errorf("access log %s is empty", l.name)
		}
		return fmt.Errorf("access log %s: %w", l.name, l.eof)
	}
	return fmt.Errorf("access log %s has no line to recognise its format by; it begins: %s", l.name, shown(l.buf[l.start:l.end]))
}

// parser holds what parsing keeps from line to line.
type parser struct {
	scratch []byte // unescaped texts of the current line
	// minute is the last minute that was read, as the log writes it with its zone, and since when it is.
	minute [22]byte
	since  int64
}

// tsv parses "t_seconds client method target status bytes user_agent", separated by tabs. Times are in seconds, counted
// from whatever the log counts from.
func (p *parser) tsv(line []byte, e *Entry) string {
	var col [7][]byte
	for i := range col {
		var more bool
		col[i], line, more = bytes.Cut(line, []byte{'\t'})
		if more != (i < len(col)-1) {
			return "not seven columns"
		}
	}
	var ok bool
	if e.Time, ok = seconds(col[0]); !ok {
		return "the first column is not a time in seconds"
	}
	e.Client = client(col[1])
	e.Method, e.Target = text(col[2]), text(col[3])
	e.UserAgent = dash(col[6])
	e.Status, e.Bytes, ok = result(col[4], col[5])
	if !ok || !isMethod(col[2]) || len(col[3]) == 0 {
		return "method, target, status or bytes are not such"
	}
	e.Host = hostOf(e.Target)
	return ""
}

// result reads a status and a number of bytes, which may be "-".
func result(status, size []byte) (int, int64, bool) {
	s, ok := number(status)
	if !ok || s > 999 {
		return 0, 0, false
	}
	if len(size) == 1 && size[0] == '-' {
		return int(s), 0, true
	}
	n, ok := number(size)
	return int(s), n, ok
}

// number reads up to 18 decimal digits.
func number(b []byte) (n int64, ok bool) {
	if len(b) == 0 || len(b) > 18 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// seconds reads a number of seconds since 1970, whole or decimal.
func seconds(b []byte) (time.Time, bool) {
	if n, ok := number(b); ok && n < 1<<36 {
		return time.Unix(n, 0).UTC(), true
	}
	whole, part, _ := bytes.Cut(b, []byte{'.'})
	n, ok := number(whole)
	f, ok2 := number(part[:min(len(part), 9)])
	if !ok || !ok2 || n >= 1<<36 {
		return time.Time{}, false
	}
	for i := len(part); i < 9; i++ {
		f *= 10
	}
	return time.Unix(n, f).UTC(), true
}

// duration reads a decimal number of seconds.
func duration(b []byte) (time.Duration, bool) {
	f, err := strconv.ParseFloat(text(b), 64)
	if err != nil || !(f >= 0 && f < 1e6) {
		return 0, false
	}
	return time.Duration(f * float64(time.Second)), true
}

// dash is the text, or "" for "-", which stands for nothing.
func dash(b []byte) string {
	if len(b) == 1 && b[0] == '-' {
		return ""
	}
	return text(b)
}

// client reads an address, with or without a port, or makes one for a name (see Entry.Client).
func client(b []byte) netip.Addr {
	if n, ok := number(b); ok {
		return substitute(uint64(n))
	}
	if isAddress(b) {
		if a, err := netip.ParseAddr(text(b)); err == nil {
			return a.Unmap().WithZone("")
		}
	}
	if bytes.IndexByte(b, ':') > 0 {
		if a, err := netip.ParseAddrPort(text(b)); err == nil {
			return a.Addr().Unmap().WithZone("")
		}
	}
	// FNV-1a, 64 bits (draft-eastlake-fnv), folded.
	h := uint64(14695981039346656037)
	for _, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		h = (h ^ uint64(c)) * 1099511628211
	}
	return substitute(h ^ h>>17 ^ h>>34)
}

// isAddress reports whether b looks like an address without a port. It spares host names the error of netip, which
// allocates.
func isAddress(b []byte) bool {
	dots, colons := 0, 0
	for _, c := range b {
		switch {
		case c == '.':
			dots++
		case c == ':':
			colons++
		case c >= '0' && c <= '9', colons > 0 && hex(c) >= 0, colons == 0 && dots == 0 && hex(c) >= 0:
		default:
			return false
		}
	}
	return colons > 1 || dots == 3 && colons == 0
}

func substitute(n uint64) netip.Addr {
	return netip.AddrFrom4([4]byte{198, 18 | byte(n>>16&1), byte(n >> 8), byte(n)})
}

// isMethod reports whether b can be a method (RFC 9110, section 9.1).
func isMethod(b []byte) bool {
	if len(b) == 0 || len(b) > 32 {
		return false
	}
	for _, c := range b {
		if (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

func proto(b []byte) flow.Proto {
	switch string(b) {
	case "HTTP/1.0":
		return flow.HTTP10
	case "HTTP/1.1":
		return flow.HTTP11
	case "HTTP/2.0", "HTTP/2":
		return flow.HTTP2
	case "HTTP/3.0", "HTTP/3":
		return flow.HTTP3
	}
	return flow.ProtoUnknown
}

// hostOf returns the host of a target in absolute form (RFC 9112, section 3.2.2), "" for any other.
func hostOf(target string) string {
	if len(target) == 0 || target[0] == '/' {
		return ""
	}
	scheme, rest, ok := strings.Cut(target, "://")
	if !ok || scheme != "http" && scheme != "https" {
		return ""
	}
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		rest = rest[:i]
	}
	return hostname(rest)
}

// hostname returns an authority in lower case, without port and trailing dot.
func hostname(s string) string {
	if i := strings.LastIndexByte(s, ':'); i >= 0 && !strings.HasSuffix(s, "]") {
		s = s[:i]
	}
	return strings.ToLower(strings.TrimSuffix(s, "."))
}
