package cache

import (
	"slices"
	"strings"
	"testing"
	"time"

	"stormdoor/flow"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func TestLifetime(t *testing.T) {
	const date = "Date: Tue, 24 Nov 2026 12:00:00 GMT"
	for _, c := range []struct {
		fields   []string
		status   int
		life     time.Duration
		explicit bool
	}{
		{nil, 200, 0, false},
		{[]string{"Cache-Control: max-age=60"}, 200, time.Minute, true},
		{[]string{"Cache-Control: max-age=60, s-maxage=5"}, 200, 5 * time.Second, true},
		{[]string{"Cache-Control: s-maxage=5", "Cache-Control: max-age=60"}, 200, 5 * time.Second, true},
		{[]string{"Cache-Control: max-age=60, max-age=5"}, 200, 5 * time.Second, true},
		{[]string{`Cache-Control: max-age="60"`}, 200, time.Minute, true},
		{[]string{"Cache-Control: max-age='60'"}, 200, 0, true},
		{[]string{"Cache-Control: max-age=-1"}, 200, 0, true},
		{[]string{"Cache-Control: max-age=6x"}, 200, 0, true},
		{[]string{"Cache-Control: max-age"}, 200, 0, true},
		{[]string{`Cache-Control: x="max-age=9, a", max-age=60`}, 200, time.Minute, true},
		{[]string{`Cache-Control: x="never closed, max-age=60`}, 200, 0, false},
		{[]string{"Cache-Control: max-age=99999999999999999999"}, 200, time.Duration(1<<31) * time.Second, true},
		{[]string{date, "Expires: Tue, 24 Nov 2026 12:01:00 GMT"}, 200, time.Minute, true},
		{[]string{date, "Expires: Tue, 24 Nov 2026 11:00:00 GMT"}, 200, 0, true},
		{[]string{date, "Expires: 0"}, 200, 0, true},
		{[]string{date, "Expires: Tue, 24 Nov 2026 12:01:00 GMT", "Expires: Tue, 24 Nov 2026 12:02:00 GMT"}, 200, 0, true},
		{[]string{date, "Expires: Tue, 24 Nov 2026 12:01:00 GMT", "Cache-Control: max-age=5"}, 200, 5 * time.Second, true},
		{[]string{"CDN-Cache-Control: max-age=60", "Cache-Control: max-age=5"}, 200, time.Minute, true},
		{[]string{`CDN-Cache-Control: max-age="60"`, "Cache-Control: max-age=5"}, 200, 5 * time.Second, true},
		{[]string{"CDN-Cache-Control: ???", "Cache-Control: max-age=5"}, 200, 5 * time.Second, true},
		{[]string{"CDN-Cache-Control: must-revalidate", "Expires: Tue, 24 Nov 2026 12:01:00 GMT"}, 200, 0, false},
		{[]string{"Cache-Control: max-age=3600"}, 503, mostErrorLife, true},
	} {
		h := headerOf(c.fields...)
		if life, explicit := lifetime(c.status, h, governing(h), noon); life != c.life || explicit != c.explicit {
			t.Errorf("%d %v: %v, %v; want %v, %v", c.status, c.fields, life, explicit, c.life, c.explicit)
		}
	}
}

func TestInitialAge(t *testing.T) {
	for _, c := range []struct {
		fields []string
		age    time.Duration
	}{
		{nil, 3 * time.Second}, // the time that the answer took
		{[]string{"Age: 30"}, 33 * time.Second},
		{[]string{"Age: 30, 2"}, 33 * time.Second},
		{[]string{"Age: 30.5"}, 3 * time.Second},
		{[]string{"Age: -5"}, 3 * time.Second},
		{[]string{"Date: Tue, 24 Nov 2026 11:59:00 GMT"}, time.Minute},
		{[]string{"Date: Tue, 24 Nov 2026 11:59:59 GMT"}, 3 * time.Second},
		{[]string{"Date: Tue, 24 Nov 2026 12:30:00 GMT"}, 3 * time.Second},
		{[]string{"Date: Tue, 24 Nov 2026 11:59:00 GMT", "Age: 90"}, 93 * time.Second},
	} {
		if age := initialAge(headerOf(c.fields...), noon.Add(-3*time.Second), noon); age != c.age {
			t.Errorf("%v: %v, want %v", c.fields, age, c.age)
		}
	}
}

func TestDates(t *testing.T) {
	want := time.Date(1994, 11, 6, 8, 49, 37, 0, time.UTC)
	for _, s := range []string{"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "SUN, 06 nov 1994 08:49:37 gmt"} {
		if got, ok := parseDate(s, noon); !ok || !got.Equal(want) {
			t.Errorf("%q: %v, %v", s, got, ok)
		}
	}
	for _, s := range []string{"", "0", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 UTC", "Sun 06 Nov 1994 08:49:37 GMT", "Sun, 6 Nov 1994 08:49:37 GMT",
		"Sun, 06 Nov 1994 8:49:37 GMT", "Sun, 06  Nov 1994 08:49:37 GMT", "Sun, 06-Nov-1994 08:49:37 GMT", "Sun, 06 Nov 94 08:49:37 GMT", "Sun, 31 Feb 1994 08:49:37 GMT"} {
		if got, ok := parseDate(s, noon); ok {
			t.Errorf("%q was read as %v", s, got)
		}
	}
	if got, _ := parseDate("Thursday, 18-Aug-50 02:01:18 GMT", noon); got.Year() != 2050 {
		t.Errorf("year %d", got.Year())
	}
}

func TestRanges(t *testing.T) {
	for _, c := range []struct {
		field string
		size  int64
		want  span
		how   rangeResult
	}{
		{"bytes=0-0", 10, span{0, 1}, rangeSatisfied},
		{"bytes=0-99", 10, span{0, 10}, rangeSatisfied},
		{"Bytes=5-", 10, span{5, 5}, rangeSatisfied},
		{"bytes=-3", 10, span{7, 3}, rangeSatisfied},
		{"bytes=-30", 10, span{0, 10}, rangeSatisfied},
		{"bytes=9-9", 10, span{9, 1}, rangeSatisfied},
		{"bytes=0-99999999999999999999", 10, span{0, 10}, rangeSatisfied},
		{"bytes=10-", 10, span{}, rangeUnsatisfied},
		{"bytes=99999999999999999999-", 10, span{}, rangeUnsatisfied},
		{"bytes=-0", 10, span{}, rangeUnsatisfied},
		{"bytes=0-", 0, span{}, rangeUnsatisfied},
		{"bytes=5-4", 10, span{}, rangeIgnored},
		{"bytes=a-4", 10, span{}, rangeIgnored},
		{"bytes=1-+4", 10, span{}, rangeIgnored},
		{"bytes=-", 10, span{}, rangeIgnored},
		{"bytes=", 10, span{}, rangeIgnored},
		{"bytes", 10, span{}, rangeIgnored},
		{"lines=0-1", 10, span{}, rangeIgnored},
		{"bytes=0-1,3-4", 10, span{}, rangeIgnored},
	} {
		if got, how := parseRange(c.field, c.size); got != c.want || how != c.how {
			t.Errorf("%q of %d: %v, %v", c.field, c.size, got, how)
		}
	}
}

func TestVaryNormalises(t *testing.T) {
	for _, c := range []struct {
		name, a, b string
		same       bool
	}{
		{"Accept-Encoding", "gzip, br", "br,gzip", true},
		{"Accept-Encoding", "gzip;q=1.0, BR", "br, gzip; q=1.0", true},
		{"Accept-Encoding", "gzip", "br", false},
		{"Accept-Language", "de, en", "de,en", true},
		{"Accept-Language", "de, en", "en, de", false},
		{"X-Any", "a", "a ", true},
	} {
		s := selectingOf([]string{c.name}, headerOf(c.name+": "+c.a))
		if got := s.takes(headerOf(c.name + ": " + c.b)); got != c.same {
			t.Errorf("%s %q and %q: %v", c.name, c.a, c.b, got)
		}
	}
	s := selectingOf([]string{"X-Any"}, flow.Header{})
	if s.takes(headerOf("X-Any: ")) || !s.takes(flow.Header{}) {
		t.Error("an absent field is not an empty one")
	}
	s = selectingOf([]string{"X-Any"}, headerOf("X-Any: a", "X-Any: b"))
	if !s.takes(headerOf("X-Any: a, b")) {
		t.Error("lines are a list")
	}
}

func TestTags(t *testing.T) {
	got := tagsOf(headerOf("Cache-Tag: product 1, red", "Surrogate-Key: a b  c"))
	if !slices.Equal(got, []string{"product 1", "red", "a", "b", "c"}) {
		t.Errorf("%q", got)
	}
	if n := len(tagsOf(headerOf("Surrogate-Key: " + strings.Repeat("x ", 1000)))); n != tagsMost {
		t.Errorf("%d tags", n)
	}
}

func TestKeepParams(t *testing.T) {
	drop := func(n string) bool { return n == "a" }
	for in, want := range map[string]string{"": "", "a=1": "", "b=1&a=2&c": "b=1&c", "b=1&b=2": "b=1&b=2", "a&b&a": "b", "aa=1": "aa=1"} {
		if got := keepParams(in, drop); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// FuzzDirectives holds the reading of Cache-Control to one that takes it apart a byte at a time.
func FuzzDirectives(f *testing.F) {
	for _, s := range []string{"max-age=60", `no-cache="a, b", public`, `x="\",", max-age=1`, "max-age=1,,max-age", "a=b=c, no-store", `a="`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		type directive struct {
			name, arg string
			has       bool
		}
		var got []directive
		for rest := s; rest != ""; {
			var d directive
			d.name, d.arg, d.has, rest = cutDirective(rest)
			got = append(got, d)
		}
		var want []directive
		var d directive
		const inName, inArg, inQuotes, afterQuotes = 0, 1, 2, 3
		state, pending := inName, false
		for i := 0; i < len(s); i++ {
			c := s[i]
			pending = true
			switch {
			case state == inQuotes && c == '\\':
				d.arg += string(c)
				if i++; i < len(s) {
					d.arg += s[i : i+1]
				}
			case state == inQuotes && c == '"':
				state = afterQuotes
			case state == inQuotes:
				d.arg += s[i : i+1]
			case c == ',':
				want = append(want, d)
				d, state, pending = directive{}, inName, false
			case state == inName && c == '=':
				d.has, state = true, inArg
				if i+1 < len(s) && s[i+1] == '"' {
					state = inQuotes
					i++
				}
			case state == inName:
				d.name += s[i : i+1]
			case state == inArg:
				d.arg += s[i : i+1]
			}
		}
		if pending {
			want = append(want, d)
		}
		for i := range want {
			want[i].name = trim(want[i].name)
		}
		if len(got) != len(want) {
			t.Fatalf("%q: %+v, want %+v", s, got, want)
		}
		for i := range got {
			g, w := got[i], want[i]
			if g.name != w.name || g.has != w.has || strings.TrimRight(g.arg, " \t") != strings.TrimRight(w.arg, " \t") {
				t.Fatalf("%q: %+v, want %+v", s, got, want)
			}
		}
	})
}
