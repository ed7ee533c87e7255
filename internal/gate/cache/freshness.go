package cache

import (
	"strings"
	"time"

	"stormdoor/flow"
)

// mostErrorLife bounds how long the failure of an origin (5xx) is fresh, whatever it says: a header that was meant for the
// page must not turn a moment's failure into an hour's.
const mostErrorLife = 10 * time.Second

// lifetime is how long an answer is fresh from the moment that the origin made it (RFC 9111, section 4.2.1). explicit is
// false when the answer says nothing: there is no heuristic freshness here, because an origin that has not heard of
// shared caches has not agreed to one.
func lifetime(status int, h flow.Header, d directives, now time.Time) (life time.Duration, explicit bool) {
	switch {
	case d.sMaxAge != absent:
		life, explicit = d.sMaxAge.duration(), true
	case d.maxAge != absent:
		life, explicit = d.maxAge.duration(), true
	case d.targeted:
	case h.Has("Expires"):
		life, explicit = max(0, untilExpires(h, now)), true
	}
	if status >= 500 {
		life = min(life, mostErrorLife)
	}
	return life, explicit
}

// untilExpires is Expires minus Date; 0 when Expires is no date, or two dates.
func untilExpires(h flow.Header, now time.Time) time.Duration {
	expires, ok := parseDate(h.Get("Expires"), now)
	if !ok {
		return 0
	}
	for v := range h.Values("Expires") {
		if v != h.Get("Expires") {
			return 0
		}
	}
	date, ok := parseDate(h.Get("Date"), now)
	if !ok {
		date = now
	}
	return expires.Sub(date)
}

// initialAge is how old an answer is when it arrives (RFC 9111, section 4.2.3). asked and arrived are when it was asked for
// and when its head was there.
func initialAge(h flow.Header, asked, arrived time.Time) time.Duration {
	apparent := time.Duration(0)
	if date, ok := parseDate(h.Get("Date"), arrived); ok {
		apparent = max(0, arrived.Sub(date))
		if apparent < 2*time.Second {
			apparent = 0 // Date has whole seconds, and clocks are never quite the same
		}
	}
	first, _, _ := strings.Cut(h.Get("Age"), ",")
	age, _ := parseSeconds(trim(first)) // what cannot be read is not there
	return max(apparent, age.duration()+arrived.Sub(asked))
}

// standing is how a stored answer stands at a moment.
type standing struct {
	age time.Duration
	// left is how long it will be fresh; negative when it is stale, by how much it is too old.
	left time.Duration
}

func (s standing) fresh() bool { return s.left > 0 }

// contents reports whether the request is content with the stored answer as it stands, without asking the origin
// (RFC 9111, section 5.2.1). mayStale says that the answer does not forbid that it is used stale.
func (d *directives) contents(s standing, mayStale bool) bool {
	if d.noCache || d.noStore || d.maxAge != absent && s.age > d.maxAge.duration() {
		return false
	}
	if d.maxAge == 0 {
		return false
	}
	if s.fresh() {
		return d.minFresh == absent || s.left >= d.minFresh.duration()
	}
	return mayStale && d.maxStale != absent && -s.left <= d.maxStale.duration()
}

// staleUse says when a stored answer may be used although it is stale.
type staleUse struct {
	whileRevalidate, ifError time.Duration
	// explicitError is true when the answer itself allows stale-if-error: then an origin's 5xx counts as an error.
	explicitError bool
}

// mayBeStale is when an answer with these directives may be used stale; the zero value is never (RFC 9111,
// section 4.2.4). outOfBand is how long the operator allows when no origin can be asked; the answer may say less.
func (d *directives) mayBeStale(outOfBand time.Duration) staleUse {
	if d.mustRevalidate || d.proxyRevalidate || d.noCache || d.sMaxAge != absent && d.staleIfError == absent && d.staleWhileRevalidate == absent {
		return staleUse{}
	}
	u := staleUse{ifError: outOfBand}
	if d.staleWhileRevalidate != absent {
		u.whileRevalidate = d.staleWhileRevalidate.duration()
	}
	if d.staleIfError != absent {
		u.ifError, u.explicitError = d.staleIfError.duration(), true
	}
	return u
}
