package cache

import (
	"slices"
	"strings"

	"stormdoor/flow"
)

// refusal says why an answer is not stored; "" stands for one that is.
type refusal string

const (
	notSaid       refusal = "it does not say that it may be" // neither a lifetime nor a validator
	forbidden     refusal = "no-store"
	personal      refusal = "private"
	setsCookie    refusal = "it sets a cookie"
	forCookies    refusal = "the request had cookies"
	forCredential refusal = "the request had credentials"
	variesOnAll   refusal = "Vary: *"
	statusAlone   refusal = "its status is about this request alone"
	deceptive     refusal = "its type does not fit the name that was asked for"
	tooLarge      refusal = "it is too large"
	notWanted     refusal = "the request says no-store"
)

// asked is what counts of a request for whether an answer to it may be stored or used.
type asked struct {
	path                string
	noStore             bool
	cookies, credential bool
	anyCookies          bool // the operator says that cookies make no difference
}

// mayStore says why the answer to a GET may not be stored in a shared cache (RFC 9111, section 3). It is stricter than the
// RFC where an origin that was never meant to stand behind a cache would be hurt.
func mayStore(a asked, status int, h flow.Header, d directives, lives, explicit bool) refusal {
	switch {
	case !d.mustUnderstand && d.noStore, d.mustUnderstand && d.noStore && !understood(status):
		return forbidden
	case d.private:
		return personal
	case a.noStore:
		return notWanted
	case aloneStatus(status):
		return statusAlone
	case h.Has("Set-Cookie") && !withholds(d, "Set-Cookie"):
		return setsCookie
	case variesOnEverything(h):
		return variesOnAll
	case !lives && !(hasValidator(h) && (explicit || d.public || d.noCache)):
		return notSaid
	case deceives(a.path, h.Get("Content-Type")):
		return deceptive
	}
	return mayShare(a, h, d)
}

// mayShare says why an answer may not serve a request with these cookies and credentials.
func mayShare(a asked, h flow.Header, d directives) refusal {
	switch {
	case a.credential && !d.public && !d.mustRevalidate && d.sMaxAge == absent:
		return forCredential // RFC 9111, section 3.5
	case a.cookies && !a.anyCookies && !shared(h, d):
		return forCookies
	}
	return ""
}

// shared reports whether an answer is the same for all visitors: it says so to shared caches, it varies on Cookie, or it is
// of a kind that pages are made of. A plain max-age is what many sites send with pages that greet a visitor by name,
// because no shared cache was there to mind.
func shared(h flow.Header, d directives) bool {
	return d.public || d.sMaxAge != absent || d.targeted || varies(h, "Cookie") || asset(h.Get("Content-Type"))
}

// asset reports whether a media type is one that pages are made of.
func asset(contentType string) bool {
	t := mediaType(contentType)
	kind, _, _ := strings.Cut(t, "/")
	switch kind {
	case "image", "font", "audio", "video":
		return true
	}
	return slices.Contains([]string{"text/css", "text/javascript", "application/javascript", "application/x-javascript", "application/wasm", "application/vnd.ms-fontobject"}, t)
}

func mediaType(contentType string) string {
	t, _, _ := strings.Cut(contentType, ";")
	return strings.ToLower(trim(t))
}

// deceives reports whether the path's extension promises an asset and the answer is a page or data: "/account/x.css" is how
// a visitor is made to put a private page into a cache.
func deceives(path, contentType string) bool {
	dot := strings.LastIndexByte(path, '.')
	if dot < 0 || strings.IndexByte(path[dot:], '/') >= 0 {
		return false
	}
	switch strings.ToLower(path[dot+1:]) {
	case "css", "js", "mjs", "png", "jpg", "jpeg", "gif", "webp", "avif", "svg", "ico", "woff", "woff2", "ttf", "otf", "eot", "mp3", "mp4", "webm", "ogg", "wasm", "bmp":
	default:
		return false
	}
	t := mediaType(contentType)
	return t == "" || t == "text/html" || t == "application/xhtml+xml" || strings.HasSuffix(t, "json") || t == "application/xml" || t == "text/xml"
}

// aloneStatus reports whether a status is about the form of one request, or about one visitor: stored, it would answer
// others who asked properly.
func aloneStatus(status int) bool {
	switch status {
	case 206, 304, 400, 401, 405, 406, 407, 408, 411, 412, 413, 414, 415, 416, 417, 421, 422, 425, 426, 428, 429, 431, 501, 505, 511:
		return true
	}
	return status < 200
}

// understood reports whether a cache knows the caching rules of a status (RFC 9111, section 5.2.2.3).
func understood(status int) bool {
	switch status {
	case 200, 203, 204, 300, 301, 302, 303, 307, 308, 404, 410:
		return true
	}
	return false
}

func hasValidator(h flow.Header) bool { return h.Has("ETag") || h.Has("Last-Modified") }

// withholds reports whether the directives forbid to store the field.
func withholds(d directives, name string) bool {
	return slices.ContainsFunc(d.withheld, func(f string) bool { return flow.EqualFold(f, name) })
}

// kept reports whether a field of an answer is stored. Connection-level fields never arrive here.
func kept(name string, d directives) bool {
	for _, n := range [...]string{"Age", "Proxy-Authentication-Info", "Proxy-Authorization", "TE", "Trailer"} {
		if flow.EqualFold(n, name) {
			return false
		}
	}
	return len(d.withheld) == 0 || !withholds(d, name)
}
