package seclang

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// What is nested is bounded: a shorter value holds no attack, a longer one is a document that the application unpacks
// for a purpose, such as an assertion of SAML.
const (
	leastNested = 8
	mostNested  = 2 << 10
)

// Keys under which is looked at what has no name of its own: the document type declaration of an XML body, the path, credentials.
const (
	doctype          = "DOCTYPE"
	pathKey          = "REQUEST_FILENAME"
	authorizationKey = "Authorization"
)

// nestedIn adds the values that stand in the values of a collection in one more encoding: base64 of a text, or percent
// escapes where nothing has decoded them. Rules that look at ARGS look at them too, under the key of what they stand in;
// they are not counted, and a rule that has found something in what was sent is not asked about them again.
func (t *Transaction) nestedIn(from collection) {
	if !t.rules.nested {
		return
	}
	for i := range t.fields[from] {
		f := &t.fields[from][i]
		t.nestedValue(f.key, f.value)
	}
}

func (t *Transaction) nestedValue(key, value string) {
	t.cost.Work += int64(min(len(value), mostNested))
	if text, ok := t.base64Text(value); ok {
		t.addNested(key, text)
		return
	}
	if len(value) > mostNested || strings.IndexByte(value, '%') < 0 {
		return
	}
	if text := t.unescape(value); text != value {
		t.addNested(key, text)
	}
}

func (t *Transaction) addNested(key, value string) {
	t.fields[argsNested] = append(t.fields[argsNested], field{key: key, folded: key, value: value})
}

// nestedPath adds the path, if it is written in other characters than paths are, and what is encoded in its last segment.
func (t *Transaction) nestedPath() {
	if !t.rules.nested {
		return
	}
	path := t.unescape(strings.ReplaceAll(strings.TrimPrefix(t.singles[requestFilename], "/"), "+", "%2B"))
	if !plainPath("/" + path) {
		t.addNested(pathKey, path)
	}
	t.nestedValue(pathKey, path[strings.LastIndexByte(path, '/')+1:])
}

// nestedCredentials adds the name and password of the Basic scheme (RFC 7617), and the header of a token that says it is not
// signed (RFC 7519, section 6). That of any other tells nothing.
func (t *Transaction) nestedCredentials() {
	sent, _ := t.header("authorization")
	scheme, credentials, _ := strings.Cut(sent, " ")
	if !t.rules.nested || credentials == "" {
		return
	}
	switch credentials = strings.TrimSpace(credentials); {
	case strings.EqualFold(scheme, "basic"):
		t.nestedValue(authorizationKey, credentials)
	case strings.EqualFold(scheme, "bearer"):
		header, _, _ := strings.Cut(credentials, ".")
		if text, ok := t.base64Text(header); ok && unsigned.MatchString(text) {
			t.addNested(authorizationKey, text)
		}
	}
}

// unsigned is a header of a token without a signature.
var unsigned = regexp.MustCompile(`(?i)"alg"\s*:\s*"none"`)

// nestedDoctype adds the document type declarations of an XML body, which the values of its elements do not show: whole, where
// something is declared within, and up to there, unless it is of a known kind of document, such as XHTML.
func (t *Transaction) nestedDoctype() {
	if !t.rules.nested {
		return
	}
	for i := range t.parsed.Declarations {
		text := t.parsed.Declarations[i].Value
		front, _, declares := strings.Cut(text, "[")
		if declares {
			t.addNested(doctype, text)
		}
		if !public(front) {
			t.addNested(doctype, front)
		}
	}
}

// public reports whether a declaration is of a document type by a public name, whose text comes from nowhere, from beside the
// document, or from somebody who publishes such texts.
func public(declaration string) bool {
	const begin = "<!DOCTYPE"
	if len(declaration) <= len(begin) || !strings.EqualFold(declaration[:len(begin)], begin) || !strings.ContainsRune(" \t\r\n", rune(declaration[len(begin)])) {
		return false
	}
	_, rest, found := strings.Cut(declaration, ` PUBLIC "-//`)
	if !found {
		return false
	}
	_, rest, _ = strings.Cut(rest, `"`)
	rest = strings.TrimSpace(rest)
	if rest == "" {
		return true
	}
	address, _, ended := strings.Cut(rest[1:], rest[:1])
	return ended && (rest[0] == '"' || rest[0] == '\'') && published(address)
}

// published reports whether an address is that of a file beside the document, or of a publisher of document types.
func published(address string) bool {
	scheme, rest, absolute := strings.Cut(strings.ToLower(address), "://")
	if !absolute {
		return !strings.ContainsAny(address, ":\\%") && !strings.HasPrefix(address, "/") && !strings.Contains(address, "..")
	}
	host := rest
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		host = rest[:i]
	}
	if scheme != "http" && scheme != "https" || strings.ContainsAny(host, ":@\\%") {
		return false
	}
	for { // the host, and what it is below
		if publishers[host] {
			return true
		}
		_, above, ok := strings.Cut(host, ".")
		if !ok {
			return false
		}
		host = above
	}
}

// publishers are those from whom the document types come that programs send each other.
var publishers = func() map[string]bool {
	all := map[string]bool{}
	for host := range strings.FieldsSeq(`w3.org oasis-open.org docbook.org sun.com oracle.com bea.com ibm.com apple.com microsoft.com adobe.com google.com
		apache.org hibernate.org springframework.org mybatis.org jboss.org eclipse.org netbeans.org sourceforge.net opensymphony.com checkstyle.org
		puppycrawl.com jcp.org openoffice.org freedesktop.org gnome.org kde.org mozilla.org php.net wapforum.org openmobilealliance.org nih.gov loc.gov
		editeur.org musicxml.org daisy.org idpf.org tei-c.org cxml.org rosettanet.org acord.org xbrl.org opengis.net niso.org userland.com netscape.com
		my.netscape.com xmlsoap.org jclark.com crossref.org`) {
		all[host] = true
	}
	return all
}()

// base64Text decodes base64, in either alphabet and with or without padding, if what it holds is a text with more in it
// than words. A space stands for the plus sign that a form has taken for one.
func (t *Transaction) base64Text(s string) (string, bool) {
	s = strings.TrimRight(s, "=")
	if len(s) < leastNested || len(s) > mostNested || len(s)%4 == 1 {
		return "", false
	}
	b := t.arena.free()
	var bits uint32
	for i := range len(s) {
		digit := base64Digit(s[i])
		if digit > 63 {
			return "", false
		}
		bits = bits<<6 | uint32(digit)
		switch i % 4 {
		case 1:
			b = append(b, byte(bits>>4))
		case 2:
			b = append(b, byte(bits>>2))
		case 3:
			b = append(b, byte(bits))
		}
	}
	if !telling(b) {
		return "", false
	}
	return t.arena.keep(b), true
}

func base64Digit(c byte) byte {
	switch {
	case 'A' <= c && c <= 'Z':
		return c - 'A'
	case 'a' <= c && c <= 'z':
		return c - 'a' + 26
	case '0' <= c && c <= '9':
		return c - '0' + 52
	case c == '+', c == '-', c == ' ':
		return 62
	case c == '/', c == '_':
		return 63
	}
	return 0xff
}

// telling reports whether b is a text, and one with anything else in it than letters and digits.
func telling(b []byte) bool {
	more := false
	for _, c := range b {
		switch {
		case c == 0x7f, c < ' ' && c != '\t' && c != '\n' && c != '\r' && c != 0:
			return false
		case c >= 0x80, '0' <= c && c <= '9', 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z':
		default:
			more = true
		}
	}
	return more && utf8.Valid(b)
}
