package cache

import (
	"strconv"
	"strings"

	"stormdoor/flow"
)

// span is a part of a body: length bytes from the byte at start.
type span struct{ start, length int64 }

// rangeResult says what becomes of a Range field.
type rangeResult uint8

const (
	rangeIgnored     rangeResult = iota // the whole is the answer
	rangeSatisfied                      // 206
	rangeUnsatisfied                    // 416
)

// parseRange reads a Range field for a body of size bytes (RFC 9110, section 14.2). Several ranges are answered with the
// whole, which is allowed and costs nobody a multipart body.
func parseRange(field string, size int64) (span, rangeResult) {
	unit, set, ok := strings.Cut(field, "=")
	if !ok || !flow.EqualFold(trim(unit), "bytes") || strings.Contains(set, ",") {
		return span{}, rangeIgnored
	}
	first, last, ok := strings.Cut(trim(set), "-")
	if !ok {
		return span{}, rangeIgnored
	}
	if first == "" {
		n, ok := parsePosition(last)
		switch {
		case !ok:
			return span{}, rangeIgnored
		case n == 0 || size == 0:
			return span{}, rangeUnsatisfied
		}
		n = min(n, size)
		return span{size - n, n}, rangeSatisfied
	}
	from, ok := parsePosition(first)
	to := size - 1
	if ok && last != "" {
		to, ok = parsePosition(last)
	}
	switch {
	case !ok || last != "" && to < from:
		return span{}, rangeIgnored
	case from >= size:
		return span{}, rangeUnsatisfied
	}
	return span{from, min(to, size-1) - from + 1}, rangeSatisfied
}

// parsePosition reads digits, however many.
func parsePosition(s string) (int64, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		n = 1<<63 - 1
	}
	return n, true
}

// rangeApplies reports whether the stored answer is the one that If-Range wants a part of (RFC 9110, section 13.1.5). The
// comparison is strong.
func rangeApplies(ifRange, etag, modified string) bool {
	switch {
	case ifRange == "":
		return true
	case strings.HasPrefix(ifRange, `"`):
		return ifRange == etag
	case strings.HasPrefix(ifRange, "W/"):
		return false
	}
	return ifRange == modified && modified != ""
}

// contentRange is the field that says which part of the whole an answer holds.
func contentRange(s span, size int64) string {
	return "bytes " + strconv.FormatInt(s.start, 10) + "-" + strconv.FormatInt(s.start+s.length-1, 10) + "/" + strconv.FormatInt(size, 10)
}

// wants says which part of the entry a request is answered with.
func (e *entry) wants(request flow.Header, method string) (span, rangeResult) {
	field := request.Get("Range")
	if field == "" || method != "GET" || e.status != 200 || !rangeApplies(request.Get("If-Range"), e.etag, e.modified) {
		return span{0, e.length}, rangeIgnored
	}
	s, r := parseRange(field, e.length)
	if r == rangeIgnored {
		s = span{0, e.length}
	}
	return s, r
}
