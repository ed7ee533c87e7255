package cache

import (
	"strings"
	"time"
)

// dateLayouts are the three forms of an HTTP-date (RFC 9110, section 5.6.7), by the length that tells them apart; that of
// RFC 850 varies.
const (
	fixdate = "Mon, 02 Jan 2006 15:04:05"
	rfc850  = "02-Jan-06 15:04:05"
	asctime = "Mon Jan _2 15:04:05 2006"
)

// parseDate reads an HTTP-date; ok is false for what is none. now settles which century a year of two digits is in.
func parseDate(s string, now time.Time) (t time.Time, ok bool) {
	s = trim(s)
	zone, isGMT := strings.CutSuffix(strings.ToUpper(s), " GMT")
	var err error
	switch {
	case !isGMT:
		if len(s) != len(asctime) {
			return t, false
		}
		t, err = time.Parse(asctime, s)
	case len(zone) == len(fixdate):
		t, err = time.Parse(fixdate, zone)
	default:
		_, day, found := strings.Cut(zone, ", ")
		if !found || len(day) != len(rfc850) {
			return t, false
		}
		t, err = time.Parse(rfc850, day)
		t = nearestCentury(t, now)
	}
	return t, err == nil
}

// nearestCentury takes a date that seems to lie more than 50 years ahead for one of the past (RFC 9110, section 5.6.7).
func nearestCentury(t, now time.Time) time.Time {
	t = t.AddDate(now.Year()/100*100-t.Year()/100*100, 0, 0)
	if t.After(now.AddDate(50, 0, 0)) {
		t = t.AddDate(-100, 0, 0)
	}
	return t
}
