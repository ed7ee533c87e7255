package cache

import (
	"strings"
	"time"

	"stormdoor/flow"
)

// notModified reports whether a stored 200 is what the client has already (RFC 9110, section 13.2.2). modified is its
// Last-Modified, or its Date where it has none (RFC 9111, section 4.3.2).
func notModified(request flow.Header, etag, modified string, now time.Time) bool {
	if request.Has("If-None-Match") {
		for v := range request.Values("If-None-Match") {
			if matchesAny(v, etag) {
				return true
			}
		}
		return false
	}
	since, ok := parseDate(request.Get("If-Modified-Since"), now)
	if !ok {
		return false
	}
	last, ok := parseDate(modified, now)
	return ok && !last.After(since)
}

// matchesAny compares an entity tag with a list of them, weakly (RFC 9110, section 8.8.3.2).
func matchesAny(list, etag string) bool {
	if etag == "" {
		return false
	}
	opaque := strings.TrimPrefix(etag, "W/")
	for list = trim(list); list != ""; {
		if list[0] == '*' {
			return true
		}
		tag := strings.TrimPrefix(list, "W/")
		end := -1
		if strings.HasPrefix(tag, `"`) {
			end = strings.IndexByte(tag[1:], '"')
		}
		if end < 0 { // not an entity tag: compared as it stands up to the comma
			t, rest, _ := strings.Cut(tag, ",")
			if trim(t) == opaque {
				return true
			}
			list = trim(rest)
			continue
		}
		if tag[:end+2] == opaque {
			return true
		}
		list = strings.TrimLeft(tag[end+2:], ", \t")
	}
	return false
}

// withoutConditions copies a request's header without what asks for less than the whole.
func withoutConditions(h flow.Header) flow.Header {
	out := h.Clone()
	out.DelFunc(func(f flow.Field) bool {
		for _, n := range [...]string{"If-None-Match", "If-Modified-Since", "If-Match", "If-Unmodified-Since", "If-Range", "Range"} {
			if flow.EqualFold(n, f.Name) {
				return true
			}
		}
		return false
	})
	return out
}

// validating copies a request's header with the entry's validators as its only preconditions (RFC 9111, section 4.3.1).
func validating(h flow.Header, e *entry) flow.Header {
	out := withoutConditions(h)
	if e.etag != "" {
		out.Add("If-None-Match", e.etag)
	}
	if e.modified != "" {
		out.Add("If-Modified-Since", e.modified)
	}
	return out
}

// confirms reports whether a 304 is about the entry: a validator that it carries must be the entry's (RFC 9111,
// section 4.3.3).
func confirms(h flow.Header, e *entry) bool {
	if t := h.Get("ETag"); t != "" && e.etag != "" {
		return strings.TrimPrefix(t, "W/") == strings.TrimPrefix(e.etag, "W/")
	}
	return true
}
