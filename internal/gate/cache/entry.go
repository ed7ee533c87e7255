package cache

import (
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"stormdoor/flow"
)

// entry is a stored answer. It is immutable but for what is prepared from it; a validation makes another one that shares
// its body.
type entry struct {
	stored
	spot     *spot // where the body is, when it is not here; such an entry is not in the store
	prepared atomic.Pointer[prepared]
}

// stored is what an entry holds.
type stored struct {
	status  int
	header  flow.Header // as it is stored: without Age, and without what is not stored
	body    [][]byte
	length  int64 // of the body
	trimmed bool  // the origin announced no length
	cookied bool  // it answers a request with cookies, and only the operator's word makes it one for everybody

	chosen selecting
	rules  directives
	tags   []string

	arrived  time.Time     // when the head was there
	age      time.Duration // how old the answer was then
	life     time.Duration
	stale    staleUse
	personal [2]refusal // why it may not serve requests with cookies, with credentials
	etag     string
	modified string
}

// prepared is the head of a hit as it goes out during one second.
type prepared struct {
	second int64
	header flow.Header
}

// arriving is an answer's head as it came.
type arriving struct {
	request flow.Header
	status  int
	header  flow.Header
	asked   time.Time
	arrived time.Time
}

// newEntry makes an entry without a body of a head that may be stored. It shares no memory with it.
func newEntry(a *arriving, d directives, rules *Rules) *entry {
	e := &entry{stored: stored{status: a.status, rules: d, arrived: a.arrived, age: initialAge(a.header, a.asked, a.arrived)}}
	e.header = keptFields(a.header, d)
	e.life, _ = rules.lifetime(a.status, a.header, d, a.arrived)
	e.settle(rules)
	e.chosen = selectingOf(varyNames(e.header), a.request)
	e.cookied = a.cookied(e, rules)
	return e
}

// cookied reports whether an entry of this head may be shared only as long as the operator says that cookies make no
// difference.
func (a *arriving) cookied(e *entry, rules *Rules) bool {
	return rules.anyCookies() && a.request.Has("Cookie") && !shared(e.header, e.rules)
}

// settle works out what follows from the header and the directives.
func (e *entry) settle(rules *Rules) {
	e.etag, e.modified = e.header.Get("ETag"), e.header.Get("Last-Modified")
	e.stale = e.rules.mayBeStale(rules.staleIfError())
	e.personal[0] = mayShare(asked{cookies: true, anyCookies: rules.anyCookies()}, e.header, e.rules)
	e.personal[1] = mayShare(asked{credential: true}, e.header, e.rules)
	e.tags = tagsOf(e.header)
}

// keptFields copies what is stored of a header into memory of its own.
func keptFields(h flow.Header, d directives) flow.Header {
	n, size := 0, 0
	for f := range h.All() {
		if kept(f.Name, d) {
			n, size = n+1, size+len(f.Name)+len(f.Value)
		}
	}
	var text strings.Builder
	text.Grow(size)
	for f := range h.All() {
		if kept(f.Name, d) {
			text.WriteString(f.Name)
			text.WriteString(f.Value)
		}
	}
	s, out := text.String(), flow.NewHeader(n)
	for f := range h.All() {
		if kept(f.Name, d) {
			out.Add(s[:len(f.Name)], s[len(f.Name):len(f.Name)+len(f.Value)])
			s = s[len(f.Name)+len(f.Value):]
		}
	}
	return out
}

// freshened is the entry after a 304: what the 304 says replaces what was stored, but for what describes the body
// (RFC 9111, section 3.2).
func (e *entry) freshened(a *arriving, rules *Rules) *entry {
	d := noDirectives()
	out := e.header.Clone()
	for f := range a.header.All() {
		if !describesBody(f.Name) && kept(f.Name, d) {
			out.Del(f.Name)
		}
	}
	for f := range a.header.All() {
		if !describesBody(f.Name) && kept(f.Name, d) {
			out.Add(f.Name, f.Value)
		}
	}
	d = governing(out)
	n := &entry{stored: stored{status: e.status, body: e.body, length: e.length, trimmed: e.trimmed, rules: d, arrived: a.arrived,
		age: initialAge(a.header, a.asked, a.arrived)}}
	n.header = keptFields(out, d)
	n.life, _ = rules.lifetime(e.status, n.header, d, a.arrived)
	n.chosen = e.chosen
	n.cookied = e.cookied || a.cookied(n, rules)
	n.settle(rules)
	return n
}

// describesBody reports whether a field belongs to the body that is stored and not to the 304 that confirms it.
func describesBody(name string) bool {
	for _, n := range [...]string{"Content-Length", "Content-Encoding", "Content-Type", "Content-Range", "Transfer-Encoding", "Vary", "Set-Cookie"} {
		if flow.EqualFold(n, name) {
			return true
		}
	}
	return false
}

// dated is the date by which clients ask whether they have the answer already.
func (e *entry) dated() string {
	if e.modified != "" {
		return e.modified
	}
	return e.header.Get("Date")
}

// at says how the entry stands at a moment.
func (e *entry) at(now time.Time) standing {
	age := e.age + max(0, now.Sub(e.arrived))
	s := standing{age: age, left: e.life - age}
	if e.rules.noCache {
		s.left = min(s.left, 0)
	}
	return s
}

// serves reports whether the entry may answer the request, if it is fresh.
func (e *entry) serves(a asked, request flow.Header) bool {
	if !a.anyCookies && (e.cookied || a.cookies && e.personal[0] != "") || a.credential && e.personal[1] != "" {
		return false
	}
	return e.chosen.takes(request)
}

// weight is what the entry costs in memory, in bytes.
func (e *entry) weight() int64 {
	w := int64(512) + e.length
	for f := range e.header.All() {
		w += int64(len(f.Name)+len(f.Value)) + 40
	}
	for _, v := range e.chosen.values {
		w += int64(len(v)) + 40
	}
	return w
}

// head is the header of a hit at a moment: what is stored, Age (RFC 9111, section 5.1) and Cache-Status (RFC 9211).
func (e *entry) head(now time.Time, s standing) flow.Header {
	second := now.Unix()
	if p := e.prepared.Load(); p != nil && p.second == second {
		return p.header
	}
	h := flow.NewHeader(e.header.Len() + 3)
	for f := range e.header.All() {
		h.Add(f.Name, f.Value)
	}
	h.Add("Age", strconv.FormatInt(int64(s.age/time.Second), 10))
	h.Add("Cache-Status", cacheName+"; hit; ttl="+strconv.FormatInt(int64(s.left/time.Second), 10))
	e.prepared.Store(&prepared{second: second, header: h})
	return h
}

// tagsOf lists the tags by which an answer can be purged: Cache-Tag (commas) and Surrogate-Key (spaces). tagsMost bounds
// them.
func tagsOf(h flow.Header) (tags []string) {
	for f := range h.All() {
		var split func(rune) bool
		switch {
		case flow.EqualFold(f.Name, "Cache-Tag"):
			split = func(r rune) bool { return r == ',' }
		case flow.EqualFold(f.Name, "Surrogate-Key"):
			split = func(r rune) bool { return r == ' ' || r == ',' }
		default:
			continue
		}
		for t := range strings.FieldsFuncSeq(f.Value, split) {
			if t = trim(t); t != "" && len(tags) < tagsMost {
				tags = append(tags, t)
			}
		}
	}
	return tags
}

const tagsMost = 64

// cacheName is the door's name in Cache-Status.
const cacheName = "Stormdoor"
