package admission

import (
	"hash/maphash"
	"math/bits"
	"net/netip"
	"strings"
	"time"

	"stormdoor/flow"
)

// What is fair. A client's use is measured by what the origin can do at all.
const (
	clientShare  = 1.0 / 8 // more than this by one client is over its share
	addressShare = 1.0 / 4 // and more than this by all behind one address: newcomers there come last

	costWeight  = 4                    // how many times the cost of a request counts beside what was used before
	levelUnit   = 5 * time.Millisecond // the cost of a request while nothing is known of the origin
	levelsFirst = 1                    // bits of use, in units, that are level 0
	levelsWait  = 4                    // levels that waiting can bring somebody forward, whom they stand behind all others for
	waitFirst   = 4 * time.Second      // the wait for the first of them; each further one takes as long again
	early       = 4 * time.Second      // who comes back before this was told to come later
	reloads     = 16                   // requests within usedSpan or so that are no hurry: a person who reloads the page
)

// Claim is who a request comes from and what it is, as far as its priority goes by it. All of it follows from Facts and
// the verdict of the stages, so that a tape tells it too.
type Claim struct {
	// Client is what is charged: the visitor behind an address, told from its neighbours by its credential, TLS
	// fingerprint and the fields that a browser sends with each request (shapeOf). Address is all of them together.
	Client, Address Key
	// Session is the credential, Cookie the session cookie, for which the origin may have vouched; 0 for none.
	Session, Cookie Key
	// Visit is all who bring the same visit cookie; 0 for none.
	Visit Key
	// Operator is true when a list or rule of the operator's lets the request pass.
	Operator bool
	// Page is true for a navigation: a page and not something that belongs to one.
	Page bool
}

// ClaimOf reads the claim of a request. cookie is the name of the cookie by which the origin's sessions are known, ""
// for none.
func (m *Memory) ClaimOf(f *flow.Facts, v flow.Verdict, cookie string) Claim {
	c := Claim{Operator: v.Action == flow.Admit, Page: Navigates(f)}
	c.Address = KeyOf(m, struct {
		site string
		addr netip.Addr
	}{f.Site, f.Key.Addr()})
	c.Client = KeyOf(m, struct {
		address           Key
		credential, shape uint64
		ja4               string
	}{c.Address, f.Credential, m.shapeOf(f.Header), f.JA4})
	if f.Credential != 0 {
		c.Session = m.sessionKey(f.Site, f.Credential)
	}
	if cookie != "" {
		if value := cookieValue(f.Header, cookie); value != "" {
			c.Cookie = m.cookieKey(f.Site, value)
		}
	}
	return c
}

// shapeOf tells browsers behind one address apart by the fields that one sends with each request, in whatever order: what it is, what its
// user reads and wants. Other fields differ from a page to what belongs to it.
func (m *Memory) shapeOf(h flow.Header) (shape uint64) {
	for i := range h.Len() {
		f := h.At(i)
		for n, name := range shapeFields {
			if len(f.Name) == len(name) && flow.EqualFold(f.Name, name) {
				shape += maphash.String(m.seed, f.Value) * uint64(2*n+1)
			}
		}
	}
	return shape
}

// shapeFields are what shapeOf looks at.
var shapeFields = [...]string{"User-Agent", "Accept-Language", "Sec-CH-UA", "Sec-CH-UA-Mobile", "Sec-CH-UA-Platform", "Sec-GPC", "DNT"}

func (m *Memory) sessionKey(site string, credential uint64) Key {
	return KeyOf(m, struct {
		site       string
		credential uint64
	}{site, credential})
}

func (m *Memory) cookieKey(site, value string) Key {
	return KeyOf(m, struct{ site, cookie, value string }{site, "cookie", value})
}

// Navigates reports whether a person opens a page: browsers say so (Fetch Metadata, W3C), and programs without that word
// ask for text/html first.
func Navigates(f *flow.Facts) bool {
	if mode := f.Header.Get("Sec-Fetch-Mode"); mode != "" {
		return mode == "navigate"
	}
	return strings.HasPrefix(f.Header.Get("Accept"), "text/html")
}

// Judgement is the place in the order that a request gets, and who is charged for it.
type Judgement struct {
	Priority Priority
	Level    uint8
	Payer    Key
	// Patient is true for who asks no more often than a person does: it has a place in the line of those who are turned away.
	Patient bool
}

// Judge gives a request its priority and level. None of it can be had by a field that a client sends by itself: a session
// counts when the origin has vouched for it, a standing was earned while there was no trouble, and whatever else a client
// says of itself only tells it apart from its neighbours, which leaves a stranger a stranger.
//
// The level grows with what the client has used of late and with what the request is likely to cost, so that of two alike
// the dear one gives way, and who asks sixteen times as often comes four levels later. Whoever was turned away has a place from then on,
// and comes a level earlier after 4, 8, 16 and 32 seconds, whether he reloads the page meanwhile or not: the place in the line that a waiting
// page promises. A reload itself stands one level behind, because it is one more try. Who asks more than a person does has no place.
func (m *Memory) Judge(now time.Time, c Claim, expected time.Duration, o Origin) Judgement {
	if c.Operator {
		return Judgement{Priority: Operator, Payer: c.Client}
	}
	own, payer, vouched := m.Look(now, c.Client, !c.Page), c.Client, false
	for _, session := range [...]Key{c.Session, c.Cookie} {
		if session == 0 {
			continue
		}
		if v := m.Look(now, session, false); v.Vouched {
			// The session pays, wherever it is used from: one that was stolen gains nobody more than its share.
			own, payer, vouched = v, session, true
			break
		}
	}
	visits := false
	if !vouched && !own.Standing && c.Visit != 0 {
		if v := m.Look(now, c.Visit, false); !v.Suspicious && !o.over(v.Used, visitShare) {
			own.Used, payer, visits = max(own.Used, v.Used), c.Visit, true
		}
	}
	level := min(levelOf(own.Used+costWeight*expected, o.Cost)+levelsWait, levels-1)
	j := Judgement{Priority: New, Level: level, Payer: payer, Patient: own.Used <= reloads*max(expected, o.Cost, levelUnit)}
	if j.Patient {
		j.Level -= min(level, waitLevels(m.waited(now, own.Turned)))
		if own.Turned != 0 && own.Away < early { // whoever asks more often must not be in luck more often
			j.Level = min(j.Level+1, levels-1)
		}
	}
	switch {
	case own.Suspicious || o.over(own.Used, clientShare):
		j.Priority = Excess
	case vouched:
		j.Priority = Vouched
	case own.Page:
		j.Priority, j.Level = own.Priority, own.Level
	case own.Standing, visits:
		j.Priority = Known
	case o.over(m.Look(now, c.Address, false).Used, addressShare):
		j.Priority = Excess
	}
	return j
}

// waitLevels is how many levels somebody comes earlier who has waited for so long.
func waitLevels(waited time.Duration) uint8 {
	return uint8(min(bits.Len64(uint64(waited/waitFirst)), levelsWait))
}

// over reports whether what was used is more than a share of what the origin can do.
func (o Origin) over(used time.Duration, share float64) bool {
	return used.Seconds() > share*max(1, o.Busy)*usedSpan.Seconds()
}

// levelOf is the logarithm of what was used, in average requests.
func levelOf(used, unit time.Duration) uint8 {
	if unit <= 0 {
		unit = levelUnit
	}
	return uint8(min(max(bits.Len64(uint64(max(0, used)/unit))-levelsFirst, 0), levels-1))
}

// cookieValue is the value of the first cookie with the name; "*" at the end of the name stands for any end.
func cookieValue(h flow.Header, name string) string {
	for field := range h.Values("Cookie") {
		for pair := range strings.SplitSeq(field, ";") {
			if n, value, ok := strings.Cut(strings.TrimSpace(pair), "="); ok && value != "" && cookieNamed(n, name) {
				return value
			}
		}
	}
	return ""
}

func cookieNamed(name, pattern string) bool {
	if begin, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(name, begin)
	}
	return name == pattern
}

// VouchCookie notes that an origin has set a cookie (name=value), if it is the one by which its sessions are known.
func (m *Memory) VouchCookie(now time.Time, site, pair, cookie string) {
	if name, value, ok := strings.Cut(pair, "="); ok && value != "" && cookieNamed(name, cookie) {
		m.Vouch(now, m.cookieKey(site, value))
	}
}
