package syntax

import (
	"io"
	"slices"
	"strings"

	"golang.org/x/net/html"
)

// Formatted reports whether a value is a text with the tags that editors format texts with, and nothing in it runs or stands for something else: every tag is
// one of those and is closed in its turn, every attribute is known and none that a framework of pages heeds, every address is one of the web or within the site, and comments say nothing
// that a browser reads.
func Formatted(s string) bool {
	if !strings.Contains(s, "<") || strings.ContainsAny(s, "\x00\x0b") || len(s) > mostFormatted {
		return false
	}
	z := html.NewTokenizer(strings.NewReader(s))
	var open []string
	blocks := 0
	for {
		switch z.Next() {
		case html.ErrorToken:
			return z.Err() == io.EOF && len(open) == 0 && blocks > 0
		case html.TextToken:
			raw := string(z.Raw())
			if strings.ContainsAny(raw, "<>") || len(open) == 0 && strings.Trim(raw, " \t\r\n") != "" {
				return false
			}
		case html.CommentToken:
			raw := string(z.Raw())
			if !strings.HasPrefix(raw, "<!-- ") || !strings.HasSuffix(raw, " -->") || strings.ContainsAny(raw[4:len(raw)-3], "<>[`") || strings.Contains(raw[4:len(raw)-3], "--") {
				return false
			}
		case html.DoctypeToken:
			return false
		case html.StartTagToken, html.SelfClosingTagToken:
			name, ok := formats(z)
			if !ok {
				return false
			}
			if blockTags[name] {
				blocks++
			}
			if !voidTags[name] {
				if open = append(open, name); len(open) > mostOpen {
					return false
				}
			}
		case html.EndTagToken:
			name, _ := z.TagName()
			if len(open) == 0 || open[len(open)-1] != string(name) {
				return false
			}
			open = open[:len(open)-1]
		}
	}
}

// Bounds of formatted texts: bytes, and tags that are open at once.
const (
	mostFormatted = 256 << 10
	mostOpen      = 64
)

var (
	blockTags  = setOf("p div figure h1 h2 h3 h4 h5 h6 ul ol table blockquote pre section article")
	voidTags   = setOf("br hr img")
	inlineTags = setOf("a abbr b bdi bdo big caption cite code col colgroup dd del dfn dl dt em figcaption font i ins kbd li mark q s samp small span strike strong sub sup tbody td tfoot th thead time tr tt u var wbr")
	plainAttrs = setOf("class id title alt width height align valign border cellpadding cellspacing colspan rowspan scope dir lang start type rel target loading decoding sizes datetime color face size name span role aria-label aria-hidden data-id data-align data-type data-size")
)

// formats takes a tag, and reports whether it only formats.
func formats(z *html.Tokenizer) (string, bool) {
	tag, more := z.TagName()
	name := string(tag)
	ok := blockTags[name] || voidTags[name] || inlineTags[name]
	for ok && more {
		var key, value []byte
		key, value, more = z.TagAttr()
		attr, v := string(key), string(value)
		switch {
		case plainAttrs[attr]:
			ok = !strings.ContainsAny(v, "<>`{}=")
		case attr == "style":
			ok = plainStyle(v)
		case attr == "href" && name == "a", attr == "src" && name == "img", attr == "cite":
			ok = webAddress(v)
		case attr == "srcset" && name == "img":
			ok = !slices.ContainsFunc(strings.Split(v, ","), func(each string) bool { return !webAddress(strings.TrimSpace(each)) })
		default:
			ok = false
		}
	}
	return name, ok
}

// plainStyle reports whether a style sets nothing but how a text looks where it stands.
func plainStyle(s string) bool {
	for each := range strings.SplitSeq(s, ";") {
		property, value, _ := strings.Cut(each, ":")
		property = strings.ToLower(strings.TrimSpace(property))
		begin, _, _ := strings.Cut(property, "-")
		if property != "" && !styles[property] && !styles[begin] || strings.ContainsAny(value, "\\/@<>{}\"'`") || anyFold(value, "url", "expression", "import", "attr", "var", "image") {
			return false
		}
	}
	return true
}

var styles = setOf("color background-color text font line margin padding border width height max-width max-height min-width list vertical-align white-space letter-spacing")

// webAddress reports whether an address leads to the web, a mailbox, or within the site.
func webAddress(s string) bool {
	if strings.ContainsAny(s, "<>\"'`{}\\\r\n\t\x00") {
		return false
	}
	scheme, _, ok := strings.Cut(s, ":")
	if !ok || strings.ContainsAny(scheme, "/?#") {
		return true
	}
	switch strings.ToLower(scheme) {
	case "http", "https", "mailto", "tel", "cid":
		return true
	}
	return false
}

// IsTag reports whether a name is that of a tag that runs, loads or leads to something, or changes how a page is read.
func IsTag(name string) bool {
	name = strings.ToLower(name)
	return runningTags[name] || loudTags[name] || name == "img" || name == "a" || name == "area" || name == "map"
}
