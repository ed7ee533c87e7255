package operator

import (
	"errors"
	"regexp"
	"strings"
)

// nid matches a value in which an expression finds a valid national identity number.
type nid struct {
	valid func(string) bool
	re    *regexp.Regexp
}

func compileNid(argument string, _ ReadFile) (Operator, error) {
	country, expr, _ := strings.Cut(argument, " ")
	o := &nid{}
	switch {
	case country == "cl" && expr != "":
		o.valid = validRUT
	case country == "us" && expr != "":
		o.valid = validSSN
	default:
		return nil, errors.New(`the argument is "cl" or "us" and an expression that finds candidates`)
	}
	var err error
	o.re, err = regexp.Compile(expr)
	return o, err
}

func (o *nid) Gate() (Gate, bool) { return Gate{Expr: o.re.String()}, true }

// Match looks at the first ten candidates.
func (o *nid) Match(value, _ string, c *Captures) bool {
	found := false
	for i, at := range o.re.FindAllStringIndex(value, 10) {
		if !o.valid(value[at[0]:at[1]]) {
			continue
		}
		if c != nil {
			if !found {
				c.clear()
			}
			for c.N < i {
				c.At[c.N] = [2]int{-1, -1}
				c.N++
			}
			c.At[i] = [2]int{at[0], at[1]}
			c.N = i + 1
		}
		found = true
	}
	return found
}

// validRUT checks a Chilean number: digits, and a check digit modulo 11 that may be k.
func validRUT(s string) bool {
	if len(s) < 8 {
		return false
	}
	var kept []byte
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == 'K' {
			c = 'k'
		}
		if c == 'k' || '0' <= c && c <= '9' {
			kept = append(kept, c)
		}
	}
	if len(kept) == 0 {
		return false
	}
	body, check := string(kept[:len(kept)-1]), kept[len(kept)-1]
	sum, factor := 0, 2
	for n := parseInt(body); n != 0; n /= 10 {
		sum += n % 10 * factor
		if factor++; factor > 7 {
			factor = 2
		}
	}
	switch rest := sum % 11; rest {
	case 0:
		return check == '0'
	case 1:
		return check == 'k'
	default:
		return int(check-'0') == 11-rest
	}
}

// validSSN checks a social security number of the United States.
func validSSN(s string) bool {
	var d []int
	for i := 0; i < len(s); i++ {
		if '0' <= s[i] && s[i] <= '9' {
			d = append(d, int(s[i]-'0'))
		}
	}
	if len(d) < 9 {
		return false
	}
	area, group := d[0]*100+d[1]*10+d[2], d[3]*10+d[4]
	serial := d[5]*1000 + d[6]*100 + d[7]*10 + d[8]
	if area == 0 || area == 666 || area >= 740 || group == 0 || serial == 0 {
		return false
	}
	sequence, equal := true, true
	for i := 1; i < len(d); i++ {
		equal = equal && d[i] == d[i-1]
		sequence = sequence && d[i] == d[i-1]+1
	}
	return !sequence && !equal
}
