package cache

import (
	"strings"
	"time"

	"github.com/dunglas/httpsfv"

	"stormdoor/flow"
)

// seconds is a delta-seconds value (RFC 9111, section 1.2.2), absent when the directive is not there.
type seconds int64

const (
	absent seconds = -1
	// manySeconds stands for everything that is larger (RFC 9111, section 1.2.2).
	manySeconds seconds = 1 << 31
)

func (s seconds) duration() time.Duration { return time.Duration(max(s, 0)) * time.Second }

// directives are what Cache-Control says (RFC 9111, section 5.2; RFC 5861). A directive that is there twice counts with
// its smaller value, a number that cannot be read as 0: the reading that caches less.
type directives struct {
	noStore, noCache, private, public, mustRevalidate, proxyRevalidate, mustUnderstand, onlyIfCached bool

	maxAge, sMaxAge, minFresh, maxStale, staleWhileRevalidate, staleIfError seconds

	// withheld are the fields that no-cache="…" and private="…" name: they are not stored.
	withheld []string
	// targeted is true when the directives come from CDN-Cache-Control: they are meant for caches like this one.
	targeted bool
}

func noDirectives() directives {
	return directives{maxAge: absent, sMaxAge: absent, minFresh: absent, maxStale: absent, staleWhileRevalidate: absent, staleIfError: absent}
}

// parseDirectives reads the Cache-Control fields of a request or an answer.
func parseDirectives(h flow.Header) directives {
	d := noDirectives()
	for i := range h.Len() {
		if f := h.At(i); len(f.Name) == len("Cache-Control") && flow.EqualFold(f.Name, "Cache-Control") {
			for rest := f.Value; rest != ""; {
				var name, arg string
				var has bool
				name, arg, has, rest = cutDirective(rest)
				d.add(name, arg, has)
			}
		}
	}
	return d
}

// cutDirective cuts the first directive off a list. arg is without its quotes.
func cutDirective(s string) (name, arg string, has bool, rest string) {
	end := strings.IndexAny(s, ",=")
	if end < 0 {
		return trim(s), "", false, ""
	}
	name = trim(s[:end])
	if s[end] == ',' {
		return name, "", false, s[end+1:]
	}
	s = s[end+1:]
	if !strings.HasPrefix(s, `"`) {
		arg, rest, _ = strings.Cut(s, ",")
		return name, strings.TrimRight(arg, " \t"), true, rest
	}
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			_, rest, _ = strings.Cut(s[i:], ",")
			return name, s[1:i], true, rest
		}
	}
	return name, s[1:], true, "" // the quote is never closed: nothing behind it can be read
}

func trim(s string) string { return strings.Trim(s, " \t") }

// add takes note of one directive. Names that are not known are ignored (RFC 9111, section 5.2.3).
func (d *directives) add(name, arg string, has bool) {
	if n := d.number(name); n != nil {
		*n = narrower(*n, arg, has, n == &d.staleWhileRevalidate || n == &d.staleIfError)
		return
	}
	switch {
	case flow.EqualFold(name, "max-stale"):
		if !has {
			arg = "2147483648"
		}
		d.maxStale = narrower(d.maxStale, arg, true, true)
	case flow.EqualFold(name, "no-cache"):
		d.qualified(&d.noCache, arg, has)
	case flow.EqualFold(name, "private"):
		d.qualified(&d.private, arg, has)
	case flow.EqualFold(name, "no-store"):
		d.noStore = true
	case flow.EqualFold(name, "public"):
		d.public = true
	case flow.EqualFold(name, "must-revalidate"):
		d.mustRevalidate = true
	case flow.EqualFold(name, "proxy-revalidate"):
		d.proxyRevalidate = true
	case flow.EqualFold(name, "must-understand"):
		d.mustUnderstand = true
	case flow.EqualFold(name, "only-if-cached"):
		d.onlyIfCached = true
	}
}

// number is where the directive's number goes, nil for a directive that has none.
func (d *directives) number(name string) *seconds {
	switch {
	case flow.EqualFold(name, "max-age"):
		return &d.maxAge
	case flow.EqualFold(name, "s-maxage"):
		return &d.sMaxAge
	case flow.EqualFold(name, "min-fresh"):
		return &d.minFresh
	case flow.EqualFold(name, "stale-while-revalidate"):
		return &d.staleWhileRevalidate
	case flow.EqualFold(name, "stale-if-error"):
		return &d.staleIfError
	}
	return nil
}

// qualified sets the flag, or takes the fields that a qualified form names (RFC 9111, sections 5.2.2.4 and 5.2.2.7).
func (d *directives) qualified(flag *bool, fields string, has bool) {
	if !has {
		*flag = true
		return
	}
	for f := range strings.SplitSeq(fields, ",") {
		if f = trim(f); f != "" {
			d.withheld = append(d.withheld, f)
		}
	}
}

// narrower returns the smaller of what is known and arg. An unreadable arg is 0, or ignored where 0 would not be the
// careful reading because the directive is a permission.
func narrower(known seconds, arg string, has, permission bool) seconds {
	n, ok := parseSeconds(arg)
	if !has || !ok {
		if permission {
			return known
		}
		n = 0
	}
	if known == absent {
		return n
	}
	return min(known, n)
}

// parseSeconds reads digits and nothing else.
func parseSeconds(s string) (n seconds, ok bool) {
	if s == "" {
		return 0, false
	}
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = min(n*10+seconds(s[i]-'0'), manySeconds)
	}
	return n, true
}

// governing returns the directives that count for this cache: those of CDN-Cache-Control when there is a valid one that is
// not empty, and then nothing else (RFC 9213, section 2.2), otherwise those of Cache-Control.
func governing(h flow.Header) directives {
	var lines []string
	for v := range h.Values("CDN-Cache-Control") {
		lines = append(lines, v)
	}
	if lines == nil {
		return parseDirectives(h)
	}
	dict, err := httpsfv.UnmarshalDictionary(lines)
	if err != nil || len(dict.Names()) == 0 {
		return parseDirectives(h)
	}
	d := noDirectives()
	d.targeted = true
	for _, name := range dict.Names() {
		member, _ := dict.Get(name)
		item, ok := member.(httpsfv.Item)
		if !ok || !d.addMember(name, item.Value) {
			return parseDirectives(h)
		}
	}
	return d
}

// addMember takes note of a member of a targeted field; false when its type is wrong, which makes the field invalid
// (RFC 9213, section 2.1).
func (d *directives) addMember(name string, value any) bool {
	switch v := value.(type) {
	case bool:
		if v {
			d.add(name, "", false)
		}
		return d.number(name) == nil
	case int64:
		n := d.number(name)
		if n == nil {
			return true
		}
		if *n = absent; v >= 0 {
			*n = min(seconds(v), manySeconds)
		} else if n == &d.maxAge || n == &d.sMaxAge {
			*n = 0
		}
		return true
	case string:
		d.add(name, v, true)
		return d.number(name) == nil
	}
	return d.number(name) == nil
}
