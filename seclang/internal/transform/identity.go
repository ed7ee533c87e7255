package transform

// Sets of bytes, written as strings.
const (
	digits       = "0123456789"
	lower        = "abcdefghijklmnopqrstuvwxyz"
	upper        = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	alphanumeric = digits + lower + upper
	hexDigits    = digits + "abcdefABCDEF"
	asciiSpace   = "\t\n\v\f\r "
)

// highBytes are all bytes from 0x80.
var highBytes = func() string {
	b := make([]byte, 0, 0x80)
	for c := 0x80; c <= 0xff; c++ {
		b = append(b, byte(c))
	}
	return string(b)
}()

// mask is a set of bytes, bit b&63 of word b>>6 for byte b.
type mask [4]uint64

func maskOf(set string) mask {
	var m mask
	for i := 0; i < len(set); i++ {
		m[set[i]>>6] |= 1 << (set[i] & 63)
	}
	return m
}

func (m *mask) meets(present *[4]uint64) bool {
	return m[0]&present[0]|m[1]&present[1]|m[2]&present[2]|m[3]&present[3] != 0
}

// trigger is a condition on the bytes of a value: it holds when the value has a byte of each of both sets. A
// transformation changes a value only if one of its triggers holds.
type trigger struct{ one, other mask }

// never is a list of triggers that never holds.
var never = []trigger{{}}

func any1(set string) []trigger { return []trigger{{maskOf(set), maskOf(set)}} }

func both(one, other string) []trigger { return []trigger{{maskOf(one), maskOf(other)}} }

func allBut(set string) []trigger {
	m := maskOf(set)
	for i := range m {
		m[i] = ^m[i]
	}
	return []trigger{{m, m}}
}

var (
	urlTriggers     = append(any1("+"), both("%", hexDigits)...)
	commentTriggers = append(any1("-#"), both("/", "*")...)
)

// Present adds the bytes of value to the set that Identity asks for.
func Present(present *[4]uint64, value []byte) {
	for _, c := range value {
		present[c>>6] |= 1 << (c & 63)
	}
}

// Identity reports whether t leaves every value as it is that is made only of the bytes in present (bit b&63 of word
// b>>6 stands for byte b). True is a promise; false promises nothing.
func (t T) Identity(present *[4]uint64) bool {
	e := &table[t]
	if e.always {
		return false
	}
	if e.triggers == nil {
		return *present == [4]uint64{}
	}
	for i := range e.triggers {
		if e.triggers[i].one.meets(present) && e.triggers[i].other.meets(present) {
			return false
		}
	}
	return true
}
