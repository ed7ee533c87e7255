package syntax

import (
	"html"
	"strings"
)

var (
	// runningTags can run a script by themselves, loudTags with attributes can load something or change the page. Other tags
	// show a text, and a nick between angle brackets shows nothing.
	runningTags = setOf("script iframe object embed applet svg math style xss frame")
	loudTags    = setOf("frameset meta base link isindex form input button select textarea keygen marquee bgsound layer ilayer xml details dialog animate animatetransform animatemotion set template noscript noframes noembed portal body html head title audio video source track image foreignobject use plaintext xmp listing param")
	// runningAttributes run something, beside those that begin with "on".
	runningAttributes = setOf("srcdoc formaction xlink:href fscommand seeksegmenttime dynsrc lowsrc http-equiv")
)

// HTML reports whether a browser would run or load anything, if a value were written into a page: into its text, an
// attribute or an address.
func HTML(s string) bool {
	return reads(s, func(s string) bool { return runs(s) || loads(s) })
}

// Runs reports whether a browser would run a script, if a value were written into a page.
func Runs(s string) bool { return reads(s, runs) }

// reads asks about a value and about what a browser reads in it.
func reads(s string, is func(string) bool) bool {
	if strings.ContainsAny(s, "\x00\x0b＜＞") {
		return true
	}
	if is(s) {
		return true
	}
	if strings.IndexByte(s, '&') < 0 {
		return false
	}
	decoded := html.UnescapeString(s)
	return decoded != s && is(decoded)
}

// tag is one of HTML: its name in lower case, and what stands in it.
type tag struct{ name, rest string }

// tags calls f for each tag, until it says true. A tag that is not closed ends where the value does.
func tags(s string, f func(tag) bool) bool {
	for {
		i := strings.IndexByte(s, '<')
		if i < 0 {
			return false
		}
		s = s[i+1:]
		name := strings.TrimLeft(s[:min(len(s), 1)], "/!?")
		from := 1 - len(name)
		if from > len(s) || from == len(s) || !letter(s[from]) {
			continue
		}
		end := strings.IndexByte(s, '>')
		if end < 0 {
			end = len(s)
		}
		inside := s[from:end]
		n := strings.IndexAny(inside, " \t\r\n\f/")
		if n < 0 {
			n = len(inside)
		}
		if f(tag{strings.ToLower(inside[:n]), inside[n:]}) {
			return true
		}
		s = s[end:]
	}
}

func letter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// loads reports whether a value loads something into a page, or changes what comes behind it.
func loads(s string) bool {
	if strings.Contains(s, "<![") || strings.Contains(s, "<%") || strings.Contains(s, "<?") || opensComment(s) {
		return true
	}
	return tags(s, func(t tag) bool {
		return loudTags[t.name] && strings.Trim(t.rest, "/ ") != "" || strings.ContainsAny(t.name, "\"'=(")
	})
}

// opensComment reports whether a comment is not closed, or a browser or server reads in it.
func opensComment(s string) bool {
	for {
		i := strings.Index(s, "<!--")
		if i < 0 {
			return false
		}
		s = s[i+4:]
		n := strings.Index(s, "-->")
		if n < 0 || strings.ContainsAny(s[:n], "<>[#") {
			return true
		}
		s = s[n:]
	}
}

func runs(s string) bool {
	if tags(s, func(t tag) bool { return runningTags[t.name] || attributes(t.rest) }) {
		return true
	}
	return handler(s) || scheme(s)
}

// attributes reports whether one of a tag's attributes runs something.
func attributes(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] != '=' {
			continue
		}
		name := strings.ToLower(before(s, i))
		switch {
		case runningAttributes[name], strings.HasPrefix(name, "xmlns:"), len(name) >= 5 && strings.HasPrefix(name, "on"):
			return true
		case name == "style" && anyFold(s[i:], "expression", "url", "import", "binding", "\\"):
			return true
		}
	}
	return false
}

// before is the name that stands in front of i, behind a space, a quote or a slash.
func before(s string, i int) string {
	end := i
	for end > 0 && space(s[end-1]) {
		end--
	}
	begin := end
	for begin > 0 && end-begin < 30 && (named(s[begin-1]) && s[begin-1] < 0x80 || s[begin-1] == ':' || s[begin-1] == '-') {
		begin--
	}
	if begin > 0 && !space(s[begin-1]) && strings.IndexByte("\"'/`", s[begin-1]) < 0 {
		return ""
	}
	return s[begin:end]
}

func space(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// handler reports whether a value gets out of an attribute and begins one that runs a script.
func handler(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] != '=' {
			continue
		}
		name := before(s, i)
		if len(name) < 4 || !strings.EqualFold(name[:2], "on") || strings.ContainsAny(name, ":-_0123456789") {
			continue
		}
		value := strings.TrimLeft(s[i+1:min(len(s), i+200)], " \t\r\n")
		if n := strings.IndexAny(value, " \t\r\n"); n >= 0 {
			value = value[:n]
		}
		if strings.ContainsAny(value, "(`=\"'/") {
			return true
		}
	}
	return false
}

// scheme reports whether an address in s is a program. Browsers leave tabs and line ends out of addresses.
func scheme(s string) bool {
	if !anyFold(s, "script", "data", "j", "v") || strings.IndexByte(s, ':') < 0 {
		return false
	}
	s = strings.Map(func(r rune) rune {
		if r < ' ' {
			return -1
		}
		return r
	}, s)
	for {
		i := strings.IndexByte(s, ':')
		if i < 0 {
			return false
		}
		name := strings.ToLower(strings.ReplaceAll(s[max(0, i-14):i], " ", ""))
		rest := strings.TrimLeft(s[i+1:min(len(s), i+200)], " ")
		s = s[i+1:]
		switch {
		case strings.HasSuffix(name, "javascript"), strings.HasSuffix(name, "vbscript"), strings.HasSuffix(name, "livescript"):
			if strings.ContainsAny(rest, "(`=[{+\\%&<>;") {
				return true
			}
		case strings.HasSuffix(name, "data"):
			if n := strings.IndexAny(rest, ",; "); n >= 0 && rest[n] != ' ' && strings.IndexByte(rest[:n], '/') > 0 {
				return true
			}
		}
	}
}
