package cache

import (
	"strings"
	"time"

	"stormdoor/flow"
	"stormdoor/internal/wire"
)

// walk is one request on its way through the cache. It is pooled.
type walk struct {
	c      *Cache
	ex     wire.Exchange
	o      *flow.Outcome
	rules  *Rules
	origin Origin
	req    *wire.Request
	now    time.Time
	ask    asked
	want   directives // of the request
	// What the request is: none of the cache's business, for a part, under a condition, with directives.
	bypass, ranged, conditional, directed bool

	key   []byte
	hash  uint64
	path  uint64 // hash of what experience goes by; 0 until it is needed
	query string // as the key has it, and the origin sees it
	why   string // fwd of Cache-Status
	group uint64 // hash of what busting goes by; 0 until a miss
	stamp uint64 // of the hash when the disk was looked at
	plain wire.Request
	// collapsed is true when the address is not the one that was asked for, because those of its path explode.
	collapsed bool
}

// begin reads what the cache looks at.
func (w *walk) begin(c *Cache, ex wire.Exchange, o *flow.Outcome, rules *Rules, origin Origin) {
	*w = walk{c: c, ex: ex, o: o, rules: rules, origin: origin, req: ex.Request(), now: o.Facts.Arrived, key: w.key[:0], want: noDirectives(), why: "uri-miss"}
	path, query, hasQuery := strings.Cut(w.req.Target, "?")
	w.ask = asked{path: path, anyCookies: rules.AnyCookies}
	if hasQuery && len(rules.IgnoreQuery) > 0 {
		query = keepParams(query, func(name string) bool { return ignoring(rules.IgnoreQuery, name) })
		hasQuery = query != ""
	}
	w.query = query
	w.key = appendKey(w.key, o.Facts.Site, w.req, query, hasQuery)
	w.look()
	w.hash = c.store.hash(w.key)
}

// look looks at each field of the request once, and completes the key.
func (w *walk) look() {
	w.bypass = w.req.Length != 0 || w.req.Upgrade != ""
	h := w.req.Header
	for i := range h.Len() {
		f := h.At(i)
		switch n := f.Name; len(n) {
		case 5:
			w.ranged = w.ranged || flow.EqualFold(n, "Range")
		case 6:
			w.ask.cookies = w.ask.cookies || flow.EqualFold(n, "Cookie")
			w.bypass = w.bypass || flow.EqualFold(n, "Accept") && strings.Contains(f.Value, "text/event-stream")
		case 13:
			w.ask.credential = w.ask.credential || flow.EqualFold(n, "Authorization")
			w.conditional = w.conditional || flow.EqualFold(n, "If-None-Match")
			if !w.directed && flow.EqualFold(n, "Cache-Control") {
				w.want, w.directed = parseDirectives(h), true
			}
		case 17:
			w.conditional = w.conditional || flow.EqualFold(n, "If-Modified-Since")
		}
		switch {
		case !telling(f.Name):
		case overrides(f.Name):
			w.bypass = true
		case steers(f.Name):
			w.key = appendSteering(w.key, f)
		}
	}
	w.ask.noStore = w.want.noStore
}

// pathHash is a hash of the site, the path, and whether the request is somebody's own.
func (w *walk) pathHash() uint64 {
	b := append(append(w.key[len(w.key):], w.o.Facts.Site...), 0)
	b = append(b, w.ask.path...)
	if w.ask.cookies {
		b = append(b, 1)
	}
	if w.ask.credential {
		b = append(b, 2)
	}
	return w.c.store.hash(b)
}

// end gives the walk back, but for the memory of an unusually long key.
func (w *walk) end() {
	c, key := w.c, w.key[:0]
	if cap(key) > 4<<10 {
		key = nil
	}
	*w = walk{key: key}
	c.walks.Put(w)
}

// find returns the latest stored answer that the request selects, nil for none.
func (w *walk) find() (e *entry, others bool) {
	for _, v := range w.c.store.find(w.hash, w.key).entries() {
		if v.serves(w.ask, w.req.Header) {
			return v, others
		}
		others = true
	}
	return nil, others
}

// serve answers the request.
func (w *walk) serve() flow.Reason {
	e, others := w.find()
	if others {
		w.why = "vary-miss"
	}
	if e == nil {
		e = w.recall()
	}
	if e != nil {
		s := e.at(w.now)
		if w.usable(e, s) {
			if s.fresh() {
				return w.answer(e, outcome{result: flow.CacheHit})
			}
			return w.answer(e, outcome{result: flow.CacheStale, detail: "hit; ttl=" + itoa(int(s.left/time.Second))})
		}
		w.why = "stale"
		if s.fresh() {
			w.why = "request"
		}
	}
	if w.want.onlyIfCached {
		return w.missing()
	}
	if e != nil && e.spot != nil { // what is validated is kept
		e = w.recallWhole(e.spot)
	}
	if e == nil && !w.collapsed && w.collapse() {
		return w.serve()
	}
	return w.fetch(e)
}

// collapse takes note of a miss. If the addresses of the path explode, it makes the request one for the address without
// what has never changed an answer, and reports that there is another address now.
func (w *walk) collapse() bool {
	b := append(append(w.key[len(w.key):], w.o.Facts.Site...), 0)
	b = append(append(b, w.o.Facts.Host...), 0)
	w.group = w.c.store.hash(append(b, w.o.Facts.Path.Clean...))
	explodes, begins := w.c.bust.miss(w.group, w.hash, w.now, w.o.Facts.Hot)
	if begins {
		w.c.busted(w.o.Facts.Site, strings.Clone(w.o.Facts.Path.Clean))
	}
	if !explodes {
		return false
	}
	path, query, probe := w.c.bust.collapse(w.group, w.query)
	if probe {
		return false
	}
	w.collapsed = true
	w.plain = *w.req
	w.plain.Target = path
	if query != "" {
		w.plain.Target += "?" + query
	}
	if !w.o.Facts.Proxied {
		w.plain.Header = w.plain.Header.Clone()
		w.plain.Header.DelFunc(func(f flow.Field) bool { return steers(f.Name) })
		w.plain.Authority = plainAuthority(w.plain.Authority, w.o.Facts.Host)
	}
	w.req, w.query, w.ask.path = &w.plain, query, path
	w.key = appendKey(w.key[:0], w.o.Facts.Site, w.req, query, query != "")
	for f := range w.req.Header.All() {
		if steers(f.Name) {
			w.key = appendSteering(w.key, f)
		}
	}
	old := w.hash
	w.hash = w.c.store.hash(w.key)
	return w.hash != old
}

// usable reports whether the stored answer is the answer as it stands. It starts a refresh behind the visitor's back where
// the answer is used stale.
func (w *walk) usable(e *entry, s standing) bool {
	hot := w.o.Facts.Hot || w.collapsed
	if s.fresh() && (hot || w.want.contents(s, true)) {
		return true
	}
	if s.fresh() {
		return false
	}
	if w.want.contents(s, e.stale.ifError > 0) {
		return true
	}
	mayWait := !w.want.noCache && w.want.maxAge == absent || hot
	window := e.stale.whileRevalidate
	if hot { // as long again as it was fresh: what the origin holds for short-lived stays so
		window = max(window, min(e.stale.ifError, e.life))
	}
	if !mayWait || -s.left > window || window == 0 {
		return false
	}
	w.refresh(e)
	return true
}

// mayStandIn reports whether the stored answer may stand in for one that the origin did not give; status is what it
// gave, 0 for nothing.
func (w *walk) mayStandIn(e *entry, now time.Time, status int) bool {
	if status != 0 && !e.stale.explicitError && !w.o.Facts.Hot {
		return false
	}
	s := e.at(now)
	return s.fresh() || -s.left <= e.stale.ifError && e.stale.ifError > 0
}

// missing answers a request that wants nothing from the origin (RFC 9111, section 5.2.1.7).
func (w *walk) missing() flow.Reason {
	w.o.Status = 504
	h := flow.NewHeader(2)
	h.Add("Cache-Control", "no-store")
	h.Add("Cache-Status", cacheName+"; detail=only-if-cached")
	if _, err := sendEntry(w.ex, 504, h, 0, nil, span{}, w.rules.idle()); err != nil {
		return w.lost(err)
	}
	return ""
}

// fetch asks the origin, or waits for somebody who does already. e is what is stored and cannot be used as it stands, nil
// for nothing.
func (w *walk) fetch(e *entry) flow.Reason {
	w.path = w.pathHash()
	past := w.c.past.of(w.path, w.now)
	if w.req.Method != "GET" || w.ranged || e == nil && (past == uncacheable || w.ask.noStore) {
		return w.pass()
	}
	if e == nil && (past == doubtful || past != cacheable && w.conditional || w.ask.credential) {
		return w.lead(w.solo(), nil)
	}
	id := w.flightID(e)
	for range triesMost {
		f, leads := w.c.takeOff(id)
		if leads {
			return w.lead(f, e)
		}
		if reason, done := w.join(f, e, past); done {
			return reason
		}
	}
	return w.pass()
}

// pass lets the origin answer without anything being stored, and without a look at what comes.
func (w *walk) pass() flow.Reason {
	if w.collapsed { // the origin must not see what was taken out
		return w.lead(w.solo(), nil)
	}
	w.o.Cache = flow.CachePass
	return w.origin.Forward(w.ex)
}

// flightID tells which requests can share a fetch: those with one key that select the same variant, as far as that is
// known.
func (w *walk) flightID(e *entry) string {
	id := w.key
	if r := w.c.store.find(w.hash, w.key); r != nil {
		for _, n := range r.entries()[0].chosen.names {
			id = append(append(id, 0), normalised(n, w.req.Header)...)
		}
	}
	if e == nil && w.ask.cookies { // what comes back may be for those without cookies only
		id = append(id, 1)
	}
	return string(id)
}
