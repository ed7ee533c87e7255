package leak

import (
	"hash/crc32"
	"regexp"
	"strings"
)

// token is a credential with a checksum: GitHub's and npm's end in the CRC-32 of what stands before it, in base 62 of six
// digits (github.blog, "Behind GitHub's new authentication token formats").
var token = regexp.MustCompile(`^\w{3}_([0-9A-Za-z]{30})([0-9A-Za-z]{6})\b`)

// keyPair is an access key of AWS with its secret near it: alone, the one is no secret, and the other is any text.
var keyPair = regexp.MustCompile(`(?s)\b(?:AKIA|ASIA)[A-Z2-7]{16}\b.{1,200}?(?i:secret).{1,60}?[^A-Za-z0-9/+=][A-Za-z0-9/+]{40}(?:[^A-Za-z0-9/+=]|$)`)

// credential reports whether an answer holds a credential of which its digits say that it is one. Programs that show a
// visitor a new token do so in an answer that was asked for by POST; the route for that can be taken out.
func credential(a *answer) bool {
	for _, prefix := range tokenPrefixes {
		for at := strings.Index(a.body, prefix); at >= 0; {
			m := token.FindStringSubmatch(a.body[at:])
			if m != nil && m[2] == base62(crc32.ChecksumIEEE([]byte(m[1]))) {
				return true
			}
			next := strings.Index(a.body[at+1:], prefix)
			if next < 0 {
				break
			}
			at += 1 + next
		}
	}
	return (strings.Contains(a.body, "AKIA") || strings.Contains(a.body, "ASIA")) && keyPair.MatchString(a.body)
}

var tokenPrefixes = []string{"ghp_", "gho_", "ghu_", "ghs_", "ghr_", "npm_"}

// base62 writes n in six digits.
func base62(n uint32) string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	var b [6]byte
	for i := 5; i >= 0; i-- {
		b[i] = digits[n%62]
		n /= 62
	}
	return string(b[:])
}

// fewCards is from how many numbers on an answer tells of more than one visitor's cards.
const fewCards = 3

// cards reports whether an answer holds numbers of payment cards: at least fewCards that differ, of which the check digit is right
// and the issuer is one (ISO/IEC 7812), and not among many others that only look like it: of numbers at random, one in ten passes.
func cards(a *answer) bool {
	right, wrong := map[string]bool{}, 0
	digits := make([]byte, 0, 20)
	for i := 0; i < len(a.body); {
		if !isDigit(a.body[i]) || i > 0 && (isDigit(a.body[i-1]) || inNumber(a.body[i-1])) {
			i++
			continue
		}
		number, end := cardNumber(a.body, i, digits[:0])
		i = end
		switch {
		case !issued(number):
		case luhn(number):
			right[string(number)] = true
		default:
			wrong++
		}
	}
	return len(right) >= fewCards && len(right) > wrong
}

// inNumber reports whether a digit behind c belongs to something longer: 1.234, x1234, 12-34, =1234 in an address.
func inNumber(c byte) bool {
	return c == '.' || c == '_' || c == '-' || c == '/' || c == '%' || c == '=' || c|0x20 >= 'a' && c|0x20 <= 'z'
}

// cardNumber reads the digits from i on into digits, in groups of at least four as they are printed, and where they end.
func cardNumber(s string, i int, digits []byte) (number []byte, end int) {
	group := 0
	for ; i < len(s) && len(digits) < 20; i++ {
		switch c := s[i]; {
		case isDigit(c):
			digits = append(digits, c)
			group++
			continue
		case (c == ' ' || c == '-') && group >= 4 && i+1 < len(s) && isDigit(s[i+1]):
			group = 0
			continue
		case inNumber(c) && c != '.' && c != '-' && c != '/':
			return nil, i + 1
		}
		break
	}
	for end = i; end < len(s) && isDigit(s[end]); end++ {
	}
	if end > i {
		return nil, end
	}
	return digits, max(end, i)
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// issued reports whether a number has the first digits and the length of a card: Visa, Mastercard, American Express,
// Discover, JCB, Diners.
func issued(n []byte) bool {
	if len(n) < 14 || len(n) > 16 {
		return false
	}
	four := int(n[0]-'0')*1000 + int(n[1]-'0')*100 + int(n[2]-'0')*10 + int(n[3]-'0')
	switch len(n) {
	case 14:
		return four >= 3000 && four <= 3059 || four/100 == 36 || four/100 == 38
	case 15:
		return four/100 == 34 || four/100 == 37
	}
	return n[0] == '4' || four >= 5100 && four <= 5599 || four >= 2221 && four <= 2720 || four == 6011 || four/100 == 65 || four >= 6440 && four <= 6499 || four >= 3528 && four <= 3589
}

// luhn reports whether the check digit of a number is right (ISO/IEC 7812-1, annex B).
func luhn(n []byte) bool {
	sum := 0
	for i := range len(n) {
		d := int(n[len(n)-1-i] - '0')
		if i%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return sum%10 == 0
}
