package operator

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// byteRange matches a value with a byte outside of a set.
type byteRange struct{ valid [256]bool }

func compileByteRange(argument string, _ ReadFile) (Operator, error) {
	if argument == "" {
		return constant(true), nil
	}
	o := &byteRange{}
	for item := range strings.SplitSeq(argument, ",") {
		first, last, isRange := strings.Cut(strings.TrimSpace(item), "-")
		if !isRange {
			last = first
		}
		from, err1 := strconv.ParseUint(first, 10, 8)
		to, err2 := strconv.ParseUint(last, 10, 8)
		if err1 != nil || err2 != nil {
			return nil, fmt.Errorf("%q is neither a byte (0-255) nor a range of bytes", item)
		}
		for b := from; b <= to; b++ {
			o.valid[b] = true
		}
	}
	return o, nil
}

func (o *byteRange) Match(value, _ string, _ *Captures) bool {
	for i := 0; i < len(value); i++ {
		if !o.valid[value[i]] {
			return true
		}
	}
	return false
}

func (o *byteRange) Gate() (Gate, bool) {
	var b strings.Builder
	for c, valid := range o.valid {
		if !valid {
			fmt.Fprintf(&b, `\x%02x`, c)
		}
	}
	if b.Len() == 0 {
		return Gate{}, false
	}
	return Gate{Expr: "[" + b.String() + "]", Raw: true, Exact: true}, true
}

// urlEncoding matches a value with a '%' that is not followed by two hex digits.
type urlEncoding struct{}

func compileURLEncoding(string, ReadFile) (Operator, error) { return urlEncoding{}, nil }

func (urlEncoding) Match(value, _ string, _ *Captures) bool {
	for {
		i := strings.IndexByte(value, '%')
		if i < 0 {
			return false
		}
		value = value[i+1:]
		if len(value) < 2 || !isHex(value[0]) || !isHex(value[1]) {
			return true
		}
	}
}

func isHex(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f' }

func (urlEncoding) Gate() (Gate, bool) {
	return Gate{Expr: `%(?:[^0-9A-Fa-f]|\z|[0-9A-Fa-f](?:[^0-9A-Fa-f]|\z))`, Raw: true, Exact: true}, true
}

// utf8Encoding matches a value that is no UTF-8.
type utf8Encoding struct{}

func compileUTF8(string, ReadFile) (Operator, error) { return utf8Encoding{}, nil }

func (utf8Encoding) Match(value, _ string, _ *Captures) bool { return !utf8.ValidString(value) }

func (utf8Encoding) Gate() (Gate, bool) { return Gate{Expr: `[\x80-\xff]`, Raw: true}, true }
