package operator

import (
	"errors"
	"regexp"
	"regexp/syntax"
	"strings"
	"sync"
	"unicode/utf8"
)

var (
	errMacroInRx = errors.New("a macro is not expanded in an expression; compare with @streq, @contains or @within")
	macro        = regexp.MustCompile(`%\{[A-Za-z_]+(\.[^{}]+)?\}`)
)

// rx searches with Go's regexp. An expression with bytes that are no UTF-8, such as \xc0, is about bytes: values are read as
// Latin-1 then.
type rx struct {
	expr string
	raw  bool
	// re compiles on first use: nearly all expressions of a rule set never run, their gates rule them out.
	re func() *regexp.Regexp
}

func compileRx(argument string, _ ReadFile) (Operator, error) {
	if macro.MatchString(argument) {
		return nil, errMacroInRx
	}
	o := &rx{expr: "(?sm)" + argument}
	if holdsRawBytes(o.expr) {
		o.expr, o.raw = argument, true // without flags, as Coraza
	}
	if _, err := syntax.Parse(o.expr, syntax.Perl); err != nil {
		return nil, err
	}
	o.re = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(o.expr) })
	return o, nil
}

func (o *rx) Gate() (Gate, bool) { return Gate{Expr: o.expr, Raw: o.raw, Exact: true}, true }

func (o *rx) Match(value, _ string, c *Captures) bool {
	wide := o.raw && !isASCII(value)
	if wide {
		value = latin1(value)
	}
	if c == nil {
		return o.re().MatchString(value)
	}
	at := o.re().FindStringSubmatchIndex(value)
	if at == nil {
		return false
	}
	c.clear()
	c.N = min(len(at)/2, 9) // as Coraza: the whole and 8 groups
	for i := range c.N {
		c.At[i] = [2]int{at[2*i], at[2*i+1]}
		if wide && at[2*i] >= 0 {
			c.At[i] = [2]int{utf8.RuneCountInString(value[:at[2*i]]), utf8.RuneCountInString(value[:at[2*i+1]])}
		}
	}
	return true
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// latin1 returns s with a rune for each byte.
func latin1(s string) string {
	var b strings.Builder
	b.Grow(2 * len(s))
	for i := 0; i < len(s); i++ {
		b.WriteRune(rune(s[i]))
	}
	return b.String()
}

// holdsRawBytes reports whether an expression, its \xhh and \x{hh} escapes taken as bytes, is no UTF-8.
func holdsRawBytes(expr string) bool {
	var decoded []byte
	for i := 0; i < len(expr); i++ {
		c, n, ok := byteEscape(expr[i:])
		if !ok {
			decoded = append(decoded, expr[i])
			continue
		}
		decoded = append(decoded, c)
		i += n - 1
	}
	return !utf8.Valid(decoded)
}

// byteEscape reads \xhh or \x{hh…} at the front of s: the byte and the length of the escape. In braces, the first two digits
// count, as in Coraza.
func byteEscape(s string) (c byte, n int, ok bool) {
	if len(s) < 4 || s[0] != '\\' || s[1] != 'x' {
		return 0, 0, false
	}
	digits, n := s[2:], 4
	if s[2] == '{' && len(s) >= 6 {
		if end := strings.IndexByte(s, '}'); end > 0 {
			digits, n = s[3:end], end+1
		}
	}
	if len(digits) < 2 {
		return 0, 0, false
	}
	for i := range 2 {
		v := strings.IndexByte("0123456789abcdef", digits[i]|0x20)
		if digits[i] <= '9' {
			v = int(digits[i]) - '0'
		}
		if v < 0 {
			return 0, 0, false
		}
		c = c<<4 | byte(v)
	}
	return c, n, true
}
