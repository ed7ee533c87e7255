package admission

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stormdoor/flow"
)

const day = 24 * time.Hour

// welcomed is the visit cookie of a new visitor in good standing at an address.
func welcomed(t *testing.T, m *Memory, s *Visits, addr string, now time.Time) flow.Visit {
	t.Helper()
	f := facts(addr, "a", 0)
	k := m.ClaimOf(f, flow.Verdict{}, "").Client
	for i := range 4 {
		m.Settle(now.Add(time.Duration(i-4)*2*time.Second), k, 5*ms, Good)
	}
	f.Arrived = now
	set := m.Welcome(s, f)
	value, rest, _ := strings.Cut(strings.TrimPrefix(set, VisitCookie+"="), ";")
	for _, must := range []string{"Path=/", "Secure", "HttpOnly", "SameSite=Lax", "Max-Age=604800"} {
		if !strings.Contains(rest, must) || strings.Contains(rest, "Domain") {
			t.Fatalf("the cookie is set with %q", rest)
		}
	}
	v := ReadVisit(value)
	if v == (flow.Visit{}) {
		t.Fatalf("%q holds nothing", value)
	}
	f.Visit = v
	if again := m.Welcome(s, f); again != "" {
		t.Errorf("who has the cookie of today gets another one: %s", again)
	}
	return v
}

func TestVisitIsBelievedForAWeekAndWhenItWasSigned(t *testing.T) {
	m, s := NewMemory(start), NewVisits("", nil)
	v := welcomed(t, m, s, "192.0.2.1", start.Add(day))
	now := start.Add(day)
	for _, c := range []struct {
		name string
		site string
		at   time.Time
		flip int // a bit of the cookie
		want bool
	}{
		{"as it was set", "shop", now, -1, true},
		{"six days later", "shop", now.Add(6 * day), -1, true},
		{"eight days later", "shop", now.Add(8 * day), -1, false},
		{"the day before", "shop", now.Add(-day), -1, false},
		{"on another site", "blog", now, -1, false},
		{"with another day", "shop", now, 15, false},
		{"with another lot", "shop", now, 31, false},
		{"with another signature", "shop", now, 159, false},
	} {
		forged := v
		if c.flip >= 0 {
			forged[c.flip/8] ^= 1 << (7 - c.flip%8)
		}
		if _, _, ok := s.Read(c.site, forged, c.at); ok != c.want {
			t.Errorf("%s: believed %v", c.name, ok)
		}
	}
	if _, _, ok := s.Read("shop", flow.Visit{}, now); ok {
		t.Error("no cookie at all was believed")
	}
	for _, value := range []string{"", "x", strings.Repeat("!", 27), strings.Repeat("A", 28)} {
		if ReadVisit(value) != (flow.Visit{}) {
			t.Errorf("%q holds something", value)
		}
	}
	if f := facts("192.0.2.9", "stranger", 0); m.Welcome(s, f) != "" {
		t.Error("a stranger is welcomed")
	}
}

func TestVisitKeysChangeAndAreKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "visits.json")
	m := NewMemory(start)
	type cookie struct {
		v  flow.Visit
		at time.Time
	}
	var all []cookie
	for d := range 40 {
		now := start.Add(time.Duration(d+1) * day)
		s := NewVisits(path, func(err error) { t.Error(err) }) // a restart each day
		v, ok := s.sign("shop", dayOf(now), uint16(d), now)
		if !ok {
			t.Fatalf("day %d: not signed", d)
		}
		all = append(all, cookie{v, now})
		for i, c := range all {
			if _, _, ok := s.Read("shop", c.v, now); ok != (d-i < visitDays) {
				t.Errorf("on day %d the cookie of day %d is believed: %v", d, i, ok)
			}
		}
		if len(s.keys) > 3 {
			t.Errorf("on day %d there are %d keys", d, len(s.keys))
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	var said []error
	note := func(err error) { said = append(said, err) }
	if _, ok := NewVisits(path, note).sign("shop", dayOf(start), 1, start); !ok || len(said) != 1 {
		t.Errorf("with a file that is none: signed %v, said %v", ok, said)
	}
	if welcomed(t, m, NewVisits(filepath.Join(path, "no folder"), note), "192.0.2.1", start.Add(day)); len(said) != 3 {
		t.Errorf("where nothing can be kept, said %v", said) // neither read nor written
	}
}

// TestVisitorIsKnownElsewhere: from another address and after a restart, but not with a cookie of his own making.
func TestVisitorIsKnownElsewhere(t *testing.T) {
	s := NewVisits("", nil)
	now := start.Add(day)
	v := welcomed(t, NewMemory(start), s, "192.0.2.1", now)
	m := NewMemory(now) // of a door that was restarted
	o := Origin{Busy: 8, Cost: 5 * ms}
	judge := func(v flow.Visit) Priority {
		f := facts("203.0.113.7", "a", 0)
		f.Visit, f.Arrived = v, now
		c := m.ClaimOf(f, flow.Verdict{}, "")
		c.Visit = m.VisitOf(s, f)
		return m.Judge(now, c, 5*ms, o).Priority
	}
	if p := judge(v); p != Known {
		t.Errorf("with the cookie: %v", p)
	}
	v[19] ^= 1
	if p := judge(v); p != New {
		t.Errorf("with a forged one: %v", p)
	}
}

// TestCookieOfABotnetIsWorthOneVisitor: two thousand addresses bring the same cookie.
func TestCookieOfABotnetIsWorthOneVisitor(t *testing.T) {
	m, s := NewMemory(start), NewVisits("", nil)
	now := start.Add(day)
	v := welcomed(t, m, s, "192.0.2.1", now)
	o := Origin{Busy: 8, Cost: 5 * ms}
	known := 0
	var last Judgement
	for i := range 20_000 {
		f := facts("198.51.100.1", "bot", uint64(1+i%2000)) // told apart by a credential, as by an address
		f.Visit, f.Arrived = v, now
		c := m.ClaimOf(f, flow.Verdict{}, "")
		c.Visit = m.VisitOf(s, f)
		j := m.Judge(now, c, 5*ms, o)
		m.Charge(now, j.Payer, 5*ms)
		if j.Priority == Known {
			known++
			last = j
		}
	}
	most := int(visitShare * 8 * usedSpan.Seconds() / (5 * ms).Seconds())
	if known > most+1 || last.Level < levels-3 {
		t.Errorf("%d requests of one cookie were known, the last at level %d; its share is %d", known, last.Level, most)
	}
}

// TestAddressGetsFewCookies: whoever throws the cookie away does not collect more.
func TestAddressGetsFewCookies(t *testing.T) {
	m, s := NewMemory(start), NewVisits("", nil)
	now := start.Add(day)
	welcomed(t, m, s, "192.0.2.1", now)
	got := map[string]bool{}
	for i := range 1000 {
		f := facts("192.0.2.1", "a", 0)
		f.Arrived, f.ID = now, flow.RequestID{byte(i), byte(i >> 8)}
		got[m.Welcome(s, f)] = true
	}
	if len(got) > lotsOfOne || got[""] {
		t.Errorf("%d different cookies for one address in a day", len(got))
	}
}

// TestVisitCookiesAreSignedByHMAC compares with what RFC 2104 says of each cookie by itself.
func TestVisitCookiesAreSignedByHMAC(t *testing.T) {
	s := NewVisits("", nil)
	for d := range 20 {
		now := start.Add(time.Duration(d) * day)
		for i, site := range []string{"", "shop", strings.Repeat("long", 30)} {
			today := dayOf(now) - uint16(min(d, i)) // by an older key, too
			v, ok := s.sign(site, today, uint16(d), now)
			key := s.key(today, dayOf(now))
			if !ok || key == nil {
				t.Fatalf("day %d, %q: not signed", d, site)
			}
			mac := hmac.New(sha256.New, key.Key[:])
			mac.Write(v[:4])
			mac.Write([]byte(site))
			if !bytes.Equal(v[4:], mac.Sum(nil)[:len(v)-4]) {
				t.Errorf("day %d, %q: signed otherwise", d, site)
			}
		}
	}
}

func BenchmarkVisit(b *testing.B) {
	m, s := NewMemory(start), NewVisits("", nil)
	f := facts("192.0.2.1", "a", 0)
	f.Arrived = start
	f.Visit, _ = s.sign("shop", dayOf(start), 7, start)
	b.ReportAllocs()
	for b.Loop() {
		if m.VisitOf(s, f) == 0 {
			b.Fatal("not believed")
		}
	}
}
