package policy

import (
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// valueError is what is wrong with one value, in words for the operator.
type valueError struct {
	msg  string // what is wrong
	hint string // what to write instead, "" for nothing
}

func (e *valueError) Error() string {
	if e.hint == "" {
		return e.msg
	}
	return e.msg + "; " + e.hint
}

const (
	durationHint = `write it like "500ms", "30s", "5m", "1h30m" or "30d"`
	bytesHint    = `write it like 512, "64KiB", "10MB" or "1GiB"`
	amountHint   = `write it like 1000, "10MB" or "500ms"`
	rateHint     = `write it like "100/s", "600/m", "10000/h", "10MB/s" or "500ms/s"`
	prefixHint   = `write it like 192.0.2.7, 10.0.0.0/8 or "2001:db8::/32"`
)

const day = 24 * time.Hour

// unit is what an amount was written in.
type unit uint8

const (
	unitCount unit = iota // a plain number
	unitBytes
	unitTime
)

// ParseDuration reads a length of time: what time.ParseDuration reads, and days ("30d", "1d12h"). It is never negative.
func ParseDuration(s string) (Duration, error) {
	wrong := &valueError{quote(s) + " is not a length of time", durationHint}
	if isDigits(s) {
		wrong.msg, wrong.hint = quote(s)+" has no unit", durationHint
		return 0, wrong
	}
	days, rest := int64(0), s
	if i := strings.IndexByte(s, 'd'); i >= 0 {
		if !isDigits(s[:i]) {
			return 0, wrong
		}
		n, err := strconv.ParseInt(s[:i], 10, 64)
		if err != nil || n > int64(math.MaxInt64/day) {
			return 0, &valueError{quote(s) + " is too long", "the longest is 106751d"}
		}
		days, rest = n, s[i+1:]
	}
	var d time.Duration
	if rest != "" || days == 0 && s != "0d" {
		var err error
		if d, err = time.ParseDuration(rest); err != nil || rest[0] == '+' {
			return 0, wrong
		}
	}
	if d < 0 {
		return 0, &valueError{quote(s) + " is negative", durationHint}
	}
	if d > math.MaxInt64-time.Duration(days)*day {
		return 0, &valueError{quote(s) + " is too long", "the longest is 106751d"}
	}
	return Duration(time.Duration(days)*day + d), nil
}

// String returns the duration as ParseDuration reads it: "1h30m", "30d", "0s".
func (d Duration) String() string {
	t := time.Duration(d)
	if t < 0 {
		return t.String() // nothing that Parse accepts; for messages
	}
	days, rest := t/day, t%day
	out := rest.String()
	if strings.HasSuffix(out, "m0s") {
		out = strings.TrimSuffix(out, "0s")
	}
	if strings.HasSuffix(out, "h0m") {
		out = strings.TrimSuffix(out, "0m")
	}
	if days == 0 {
		return out
	}
	if rest == 0 {
		out = ""
	}
	return strconv.FormatInt(int64(days), 10) + "d" + out
}

// MarshalText writes the duration as String does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what ParseDuration reads.
func (d *Duration) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDuration(string(text))
	return err
}

// byteUnits are the units of a size, largest first.
var byteUnits = [...]struct {
	name string
	size int64
}{
	{"TiB", 1 << 40}, {"TB", 1e12}, {"GiB", 1 << 30}, {"GB", 1e9}, {"MiB", 1 << 20}, {"MB", 1e6}, {"KiB", 1 << 10}, {"kB", 1e3}, {"B", 1},
}

// ParseBytes reads a size: a number of bytes, or a number with B, kB, MB, GB, TB (powers of 1000) or KiB, MiB, GiB, TiB
// (powers of 1024), in any case. It is never negative.
func ParseBytes(s string) (Bytes, error) {
	number, size := s, int64(1)
	for _, u := range byteUnits {
		if len(s) > len(u.name) && strings.EqualFold(s[len(s)-len(u.name):], u.name) {
			number, size = strings.TrimSuffix(s[:len(s)-len(u.name)], " "), u.size
			break
		}
	}
	n, ok := scale(number, size)
	switch {
	case ok:
		return Bytes(n), nil
	case strings.HasPrefix(s, "-") && isDigits(number[1:]):
		return 0, &valueError{quote(s) + " is negative", bytesHint}
	case isDigits(number):
		return 0, &valueError{quote(s) + " is too large", "the largest is 8388607TiB"}
	}
	return 0, &valueError{quote(s) + " is not a size", bytesHint}
}

// scale multiplies a decimal number ("1.5") with size. ok is false where the text is no number, or the product is not
// whole or does not fit.
func scale(number string, size int64) (n int64, ok bool) {
	whole, fraction, dotted := strings.Cut(number, ".")
	if !isDigits(whole) || dotted && !isDigits(fraction) || len(fraction) > 15 {
		return 0, false
	}
	w, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || w > math.MaxInt64/size {
		return 0, false
	}
	fraction = strings.TrimRight(fraction, "0")
	if fraction == "" {
		return w * size, true
	}
	num, err := strconv.ParseInt(fraction, 10, 64)
	if err != nil {
		return 0, false
	}
	den := int64(1)
	for range len(fraction) {
		den *= 10
	}
	for _, p := range []int64{2, 5} { // shortened, den divides size exactly when the product is whole
		for num%p == 0 && den%p == 0 {
			num, den = num/p, den/p
		}
	}
	if size%den != 0 || w*size > math.MaxInt64-size/den*num {
		return 0, false
	}
	return w*size + size/den*num, true
}

// String returns the size in the largest unit that needs no fraction: "64KiB", "10MB", "513".
func (b Bytes) String() string {
	for _, u := range byteUnits[:len(byteUnits)-1] {
		if b != 0 && int64(b)%u.size == 0 {
			return strconv.FormatInt(int64(b)/u.size, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// MarshalText writes the size as String does.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText reads what ParseBytes reads.
func (b *Bytes) UnmarshalText(text []byte) (err error) {
	*b, err = ParseBytes(string(text))
	return err
}

// ParseAmount reads a plain number, a size ("10MB", in bytes) or a length of time ("500ms", in milliseconds).
func ParseAmount(s string) (Amount, error) {
	a, _, err := parseAmount(s)
	return a, err
}

func parseAmount(s string) (Amount, unit, error) {
	wrong := &valueError{quote(s) + " is not an amount", amountHint}
	if isDigits(s) {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return 0, unitCount, &valueError{quote(s) + " is too large", amountHint}
		}
		return Amount(n), unitCount, nil
	}
	if s == "" || s[0] < '0' || s[0] > '9' {
		return 0, unitCount, wrong
	}
	if last := s[len(s)-1]; last == 'B' || last == 'b' {
		b, err := ParseBytes(s)
		if err != nil {
			return 0, unitBytes, &valueError{quote(s) + " is not a whole number of bytes", amountHint}
		}
		return Amount(b), unitBytes, nil
	}
	if last := s[len(s)-1]; last >= '0' && last <= '9' {
		return 0, unitCount, &valueError{quote(s) + " is not a whole number", amountHint}
	}
	d, err := ParseDuration(s)
	if err != nil {
		return 0, unitTime, wrong
	}
	if time.Duration(d)%time.Millisecond != 0 {
		return 0, unitTime, &valueError{quote(s) + " is not a whole number of milliseconds", amountHint}
	}
	return Amount(time.Duration(d) / time.Millisecond), unitTime, nil
}

// String returns the amount as a plain number.
func (a Amount) String() string { return strconv.FormatInt(int64(a), 10) }

// Text returns the amount in the unit of what is charged: "100", "10MB", "500ms". The zero Charge counts requests.
func (a Amount) Text(charge Charge) string {
	switch charge {
	case ChargeBytes:
		if s := Bytes(a).String(); !isDigits(s) {
			return s
		}
		return a.String() + "B"
	case ChargeOriginTime, ChargeInspection:
		if int64(a) > math.MaxInt64/int64(time.Millisecond) {
			return a.String() + "ms"
		}
		return Duration(time.Duration(a) * time.Millisecond).String()
	}
	return a.String()
}

// MarshalText writes the amount as String does.
func (a Amount) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads what ParseAmount reads.
func (a *Amount) UnmarshalText(text []byte) (err error) {
	*a, err = ParseAmount(string(text))
	return err
}

// ParseRate reads an amount over a time: "100/s", "600/m", "10000/h", "1/d", "100/10s", "10MB/s", "500ms/s".
func ParseRate(s string) (Rate, error) {
	r, _, err := parseRate(s)
	return r, err
}

func parseRate(s string) (Rate, unit, error) {
	amount, per, ok := strings.Cut(s, "/")
	if !ok {
		return Rate{}, unitCount, &valueError{quote(s) + " is not a rate: it does not say over which time", rateHint}
	}
	a, u, err := parseAmount(amount)
	if err != nil {
		return Rate{}, u, &valueError{quote(s) + " is not a rate", rateHint}
	}
	if per != "" && (per[0] < '0' || per[0] > '9') {
		per = "1" + per
	}
	d, err := ParseDuration(per)
	if err != nil || d == 0 {
		return Rate{}, u, &valueError{quote(s) + " is not a rate: the time behind the slash is s, m, h or d", rateHint}
	}
	return Rate{a, time.Duration(d)}, u, nil
}

// String returns the rate with its amount as a plain number: "100/s", "600/m", "100/10s". The zero Rate is "0".
func (r Rate) String() string { return r.text(r.Amount.String()) }

// Text returns the rate in the unit of what is charged: "100/s", "10MB/s", "500ms/s".
func (r Rate) Text(charge Charge) string { return r.text(r.Amount.Text(charge)) }

func (r Rate) text(amount string) string {
	switch r.Per {
	case 0:
		return amount
	case time.Second, time.Minute, time.Hour, day:
		return amount + "/" + Duration(r.Per).String()[1:]
	}
	return amount + "/" + Duration(r.Per).String()
}

// MarshalText writes the rate as String does.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads what ParseRate reads.
func (r *Rate) UnmarshalText(text []byte) (err error) {
	*r, err = ParseRate(string(text))
	return err
}

// ParsePrefix reads an address or a prefix in CIDR notation. An IPv4 address in IPv6 clothes (::ffff:192.0.2.7) is read as
// the IPv4 address that it is.
func ParsePrefix(s string) (Prefix, error) {
	wrong := &valueError{quote(s) + " is not an address or a prefix", prefixHint}
	if strings.Contains(s, "%") {
		return Prefix{}, &valueError{quote(s) + " has a zone, which means something on one machine only", "write the address without it"}
	}
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return Prefix{}, wrong
		}
		a = a.Unmap()
		return Prefix{netip.PrefixFrom(a, a.BitLen())}, nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return Prefix{}, wrong
	}
	if a := p.Addr(); a.Is4In6() {
		if p.Bits() < 96 {
			return Prefix{}, wrong
		}
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	if m := p.Masked(); m != p {
		return Prefix{}, &valueError{quote(s) + " has bits set behind its length", "did you mean " + quote(m.String()) + " or " + quote(p.Addr().String()) + "?"}
	}
	return Prefix{p}, nil
}

// String returns the prefix as ParsePrefix reads it, a single address without a length. The zero Prefix is "".
func (p Prefix) String() string {
	switch {
	case !p.IsValid():
		return ""
	case p.IsSingleIP():
		return p.Addr().String()
	}
	return p.Prefix.String()
}

// MarshalText writes the prefix as String does.
func (p Prefix) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads what ParsePrefix reads.
func (p *Prefix) UnmarshalText(text []byte) (err error) {
	*p, err = ParsePrefix(string(text))
	return err
}

// isDigits reports whether s is a decimal number without sign, at least one digit long.
func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
