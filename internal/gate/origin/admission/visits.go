package admission

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"stormdoor/flow"
)

// VisitCookie is the name of the cookie that says that a visitor was in good standing. The prefix (RFC 6265bis, section 4.1.3) lets nobody but
// the site itself set it, and only over TLS.
const VisitCookie = "__Host-stormdoor"

const (
	visitDays  = 7       // a cookie is believed for so long,
	keyDays    = 7       // a key signs for so long,
	visitLots  = 1 << 12 // and there are so many different cookies in a day:
	lotsOfOne  = 8       // of these, so many for one address
	visitShare = 1.0 / 32
)

// Visits signs and reads visit cookies. What one says is a day and a lot, one of 4,096: that somebody was in good standing on that day, and not
// who. Whoever brings one is known, from whatever address, as long as all who bring the same have not used more than a small share of what the
// origin can do: so a cookie that is copied to a thousand addresses is worth as much as one visitor. An address gets at most eight
// different ones in a day.
//
// Keys live for a week, and are kept for as long as a cookie that they signed is believed. Visits is safe for concurrent use.
type Visits struct {
	path string
	fail func(error)

	mu     sync.Mutex
	loaded bool
	keys   []visitKey // the newest first
	signed [64]byte   // what is being signed, and the signature: of the caller of sign, who holds mu
}

// visitKey signs the cookies of a week.
type visitKey struct {
	From uint16    `json:"from"` // days since 1970
	Key  [32]byte  `json:"key"`
	mac  hash.Hash // under Key, nil until it is needed: to take it again costs half of what a new one does
}

// NewVisits returns Visits whose keys are kept in a file, which is read, or made, when they are needed first. Without a path they are as old
// as the process. fail is told why keys could not be read or kept, which ends no request: cookies are then believed for as long as the
// process lives.
func NewVisits(path string, fail func(error)) *Visits { return &Visits{path: path, fail: fail} }

// dayOf counts days since 1970.
func dayOf(t time.Time) uint16 { return uint16(t.Unix() / (24 * 3600)) }

// sign returns the cookie of a lot on a day.
func (s *Visits) sign(site string, day, lot uint16, now time.Time) (v flow.Visit, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := s.key(day, dayOf(now))
	if key == nil {
		return v, false
	}
	binary.BigEndian.PutUint16(v[0:], day)
	binary.BigEndian.PutUint16(v[2:], lot)
	if key.mac == nil {
		key.mac = hmac.New(sha256.New, key.Key[:])
	}
	key.mac.Reset()
	key.mac.Write(append(append(s.signed[:0], v[:4]...), site...)) // a name of up to 60 bytes needs no memory
	copy(v[4:], key.mac.Sum(s.signed[:0]))
	return v, true
}

// Read returns the day and the lot of a cookie of the site; ok is false for one that the door has not signed, or that is too old.
func (s *Visits) Read(site string, v flow.Visit, now time.Time) (day, lot uint16, ok bool) {
	day, lot = binary.BigEndian.Uint16(v[0:]), binary.BigEndian.Uint16(v[2:])
	if today := dayOf(now); v == (flow.Visit{}) || day > today || today-day >= visitDays {
		return 0, 0, false
	}
	want, ok := s.sign(site, day, lot, now)
	return day, lot, ok && hmac.Equal(want[:], v[:])
}

// key returns the key that signs on a day, nil for none, and makes one for today when it is time. The caller holds mu.
func (s *Visits) key(day, today uint16) *visitKey {
	if !s.loaded {
		s.loaded = true
		s.load()
	}
	if len(s.keys) == 0 || today >= s.keys[0].From+keyDays {
		fresh := visitKey{From: today}
		rand.Read(fresh.Key[:])
		s.keys = slices.Insert(s.keys, 0, fresh)
		s.keys = slices.DeleteFunc(s.keys, func(k visitKey) bool { return k.From+keyDays+visitDays < today })
		s.save()
	}
	for i := range s.keys {
		if s.keys[i].From <= day {
			return &s.keys[i]
		}
	}
	return nil
}

func (s *Visits) load() {
	if s.path == "" {
		return
	}
	text, err := os.ReadFile(s.path)
	switch {
	case os.IsNotExist(err):
		return
	case err == nil:
		err = json.Unmarshal(text, &s.keys)
	}
	if err != nil {
		s.keys = nil
		s.fail(fmt.Errorf("the keys of visit cookies in %s cannot be read, and are made anew: %w", s.path, err))
		return
	}
	slices.SortFunc(s.keys, func(a, b visitKey) int { return int(b.From) - int(a.From) })
}

func (s *Visits) save() {
	if s.path == "" {
		return
	}
	text, err := json.Marshal(s.keys)
	if err == nil {
		err = os.WriteFile(s.path+".new", text, 0o600)
	}
	if err == nil {
		err = os.Rename(s.path+".new", s.path)
	}
	if err != nil {
		s.fail(fmt.Errorf("the keys of visit cookies cannot be kept in %s, and end with the process; let the door write there: %w", s.path, err))
	}
}

// Welcome returns the field value that sets a visit cookie for who is in good standing and has none of today; "" for nobody else.
func (m *Memory) Welcome(s *Visits, f *flow.Facts) string {
	now := f.Arrived
	today := dayOf(now)
	if day, _, ok := s.Read(f.Site, f.Visit, now); ok && day == today {
		return ""
	}
	if v := m.Look(now, m.ClaimOf(f, flow.Verdict{}, "").Client, false); !v.Standing || v.Suspicious {
		return ""
	}
	lot := KeyOf(m, struct {
		addr netip.Addr
		day  uint16
		one  byte
	}{f.Key.Addr(), today, f.ID[0] % lotsOfOne}) // an ID is random
	v, ok := s.sign(f.Site, today, uint16(lot>>16)%visitLots, now)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%s=%s; Path=/; Max-Age=%d; Secure; HttpOnly; SameSite=Lax", VisitCookie, base64.RawURLEncoding.EncodeToString(v[:]), visitDays*24*3600)
}

// ReadVisit returns what the value of a visit cookie holds, which may be forged; the zero Visit when it holds nothing.
func ReadVisit(value string) (v flow.Visit) {
	if base64.RawURLEncoding.DecodedLen(len(value)) != len(v) {
		return v
	}
	var read flow.Visit
	if _, err := base64.RawURLEncoding.Decode(read[:], []byte(value)); err != nil {
		return v
	}
	return read
}

// VisitOf is whom a request is counted with by its visit cookie, 0 for nobody: all who bring the same one.
func (m *Memory) VisitOf(s *Visits, f *flow.Facts) Key {
	if s == nil || f.Visit == (flow.Visit{}) {
		return 0
	}
	day, lot, ok := s.Read(f.Site, f.Visit, f.Arrived)
	if !ok {
		return 0
	}
	return KeyOf(m, struct {
		site     string
		day, lot uint16
	}{f.Site, day, lot})
}
