package syntax

import (
	"io"
	"slices"
	"strings"

	"golang.org/x/net/html"
)

// Formatted reports whether a value is a text with the tags that editors format texts with, and nothing in it runs or stands for something else: every tag is
// one of those and is closed in its turn, every attribute is known, every address is one of the web or within the site, and comments say nothing
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
			if strings.ContainsAny(string(z.Raw()), "<>") {
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
	plainAttrs = setOf("class id title alt width height align valign border cellpadding cellspacing colspan rowspan scope dir lang start type rel target loading decoding sizes datetime color face size name span role")
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
		case plainAttrs[attr], strings.HasPrefix(attr, "data-") && !strings.ContainsAny(v, "<>{"), strings.HasPrefix(attr, "aria-"):
			ok = !strings.ContainsAny(v, "<>`")
		case attr == "style":
			ok = !anyFold(v, "url", "expression", "import", "binding", "behavior", "script", "\\", "/*", "@")
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

// IsTag reports whether a name is that of a tag that runs or loads something.
func IsTag(name string) bool {
	name = strings.ToLower(name)
	return runningTags[name] || loudTags[name] && name != "param" && name != "link" && name != "template" && name != "body" && name != "head" && name != "title" && name != "source" && name != "details" && name != "set"
}
