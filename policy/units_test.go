package policy

import (
	"encoding"
	"math"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// roundTrip checks that what String writes is read as the same value.
func roundTrip[T comparable](t *rapid.T, v T, text string, parse func(string) (T, error)) {
	got, err := parse(text)
	if err != nil || got != v {
		t.Fatalf("%q is read as %v, %v: want %v", text, got, err, v)
	}
}

func TestUnitsRoundTrip(t *testing.T) {
	number := rapid.OneOf(rapid.Int64Range(0, math.MaxInt64), rapid.Int64Range(0, 5000),
		rapid.Custom(func(t *rapid.T) int64 {
			return rapid.Int64Range(0, 1000).Draw(t, "n") * rapid.SampledFrom([]int64{1000, 1 << 10, 1e6, 1 << 20, 1e9, int64(time.Minute), int64(time.Hour), int64(day)}).Draw(t, "unit")
		}))
	rapid.Check(t, func(t *rapid.T) {
		n := number.Draw(t, "n")
		roundTrip(t, Duration(n), Duration(n).String(), ParseDuration)
		roundTrip(t, Bytes(n), Bytes(n).String(), ParseBytes)
		roundTrip(t, Amount(n), Amount(n).String(), ParseAmount)
		roundTrip(t, Amount(n), Amount(n).Text(ChargeBytes), ParseAmount)
		per := rapid.OneOf(rapid.SampledFrom([]time.Duration{time.Second, time.Minute, time.Hour, day}), rapid.Custom(func(t *rapid.T) time.Duration {
			return time.Duration(rapid.Int64Range(1, math.MaxInt64).Draw(t, "per"))
		})).Draw(t, "per")
		r := Rate{Amount(n), per}
		roundTrip(t, r, r.String(), ParseRate)
		roundTrip(t, r, r.Text(ChargeBytes), ParseRate)
		if ms := n % (math.MaxInt64 / int64(time.Millisecond)); ms > 0 {
			r.Amount = Amount(ms)
			roundTrip(t, r, r.Text(ChargeOriginTime), ParseRate)
		}
	})
}

func TestPrefixRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p netip.Prefix
		if rapid.Bool().Draw(t, "v4") {
			a := netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "a")))
			p, _ = a.Prefix(rapid.IntRange(0, 32).Draw(t, "bits"))
		} else {
			a := netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "a")))
			if a.Is4In6() {
				return
			}
			p, _ = a.Prefix(rapid.IntRange(0, 128).Draw(t, "bits"))
		}
		roundTrip(t, Prefix{p}, Prefix{p}.String(), ParsePrefix)
	})
}

func TestUnits(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0s": 0, "500ms": 500 * time.Millisecond, "1h30m": 90 * time.Minute, "30d": 720 * time.Hour, "1d12h": 36 * time.Hour, "0d": 0, "1.5s": 1500 * time.Millisecond,
		"106751d": 106751 * day,
	} {
		if d, err := ParseDuration(text); err != nil || time.Duration(d) != want {
			t.Errorf("ParseDuration(%q) = %v, %v: want %v", text, d, err, want)
		}
	}
	for text, want := range map[string]Bytes{
		"0": 0, "512": 512, "512B": 512, "64KiB": 65536, "10MB": 1e7, "10mb": 1e7, "1.5GiB": 3 << 29, "1.5kB": 1500, "0.001kB": 1, "10 MB": 1e7, "1TB": 1e12,
		"9223372036854775807": math.MaxInt64, "8388607TiB": 8388607 << 40,
	} {
		if b, err := ParseBytes(text); err != nil || b != want {
			t.Errorf("ParseBytes(%q) = %d, %v: want %d", text, b, err, want)
		}
	}
	for text, want := range map[string]Rate{
		"100/s": {100, time.Second}, "600/m": {600, time.Minute}, "10000/h": {10000, time.Hour}, "1/d": {1, day}, "10MB/s": {1e7, time.Second},
		"500ms/s": {500, time.Second}, "2s/m": {2000, time.Minute}, "100/10s": {100, 10 * time.Second}, "512B/s": {512, time.Second},
	} {
		if r, err := ParseRate(text); err != nil || r != want {
			t.Errorf("ParseRate(%q) = %v, %v: want %v", text, r, err, want)
		}
	}
	if p, err := ParsePrefix("::ffff:10.0.0.0/104"); err != nil || p.String() != "10.0.0.0/8" {
		t.Errorf("an IPv4 prefix in IPv6 clothes = %v, %v", p, err)
	}
}

func TestUnitsRefuse(t *testing.T) {
	for name, c := range map[string]struct {
		into  encoding.TextUnmarshaler
		texts []string
	}{
		"Duration": {new(Duration), []string{"", "5", "-1s", "+1s", "1y", "d", "1.5d", "1d-5s", "1d1d", "999999d", "106751d48h", "s", " 1s", "1 s", "9999999999999999999d"}},
		"Bytes":    {new(Bytes), []string{"", "B", "-1", "-1kB", "1.5", "1.5B", "0.0001kB", "64K", "1e6", "9223372036854775808", "9000000TiB", "1..5kB", ".5kB", "5.kB", "1  kB", "0x10", "1.23456789012345678kB"}},
		"Amount":   {new(Amount), []string{"", "-1", "1.5", "500us", "10x", "1.5B", "99999999999999999999", "MB"}},
		"Rate":     {new(Rate), []string{"", "/", "100", "100/", "/s", "100/0s", "100/x", "-1/s", "1.5/s", "100/s/s", "100 /s", "1/-1s"}},
		"Prefix":   {new(Prefix), []string{"", "10.0.0.1/8", "10.0.0.0/33", "10.0.0", "x", "fe80::1%eth0", "::ffff:10.0.0.0/8", "10.0.0.0/", "010.0.0.1"}},
	} {
		for _, text := range c.texts {
			if err := c.into.UnmarshalText([]byte(text)); err == nil {
				t.Errorf("%s: %q was read as %v, want an error", name, text, c.into)
			} else if err.Error() == "" {
				t.Errorf("%s: %q: the error says nothing", name, text)
			}
		}
	}
}

func TestNearest(t *testing.T) {
	words := []string{"hosts", "origins", "max_connections", "max_connections_per_client", "tls"}
	for s, want := range map[string]string{
		"hots": "hosts", "Hosts": "hosts", "host": "hosts", "orgins": "origins", "max_connection": "max_connections", "max_conn": "max_connections",
		"tsl": "tls", "colour": "", "": "", "x": "",
	} {
		if got := nearest(s, words); got != want {
			t.Errorf("nearest(%q) = %q, want %q", s, got, want)
		}
	}
}
