package waf

import (
	"encoding/xml"
	"io"
	"regexp"
	"strings"

	"stormdoor/internal/gate/waf/syntax"
)

// Here stand values that their grammar proves to be no attack, whatever words they hold: all of the value, or every place in it.

// compound is one name of several words, such as docker-hello-world: no command, or one that is given nothing to do.
var compound = regexp.MustCompile(`^[a-z]+(?:-[a-z0-9]+)+$`)

// disposition is what stands in the field Content-Disposition (RFC 6266), which addresses of stores have in their query.
var disposition = regexp.MustCompile(`^(?:attachment|inline)(?:;\s*[a-zA-Z]+\*?=(?:"(?:[\w .,'+@&#!~^=\p{L}\p{N}-]|\(\d{1,4}\))*"|[\w!#&+.^~%'-]+))*$`)

// listing is the one command that tells nothing without a path: ls of plain names.
var listing = regexp.MustCompile(`(?i)^ls(?: [a-z0-9]+){2,}$`)

// names are two words with capitals, as people and things have them; commands have none.
var names = regexp.MustCompile(`^[A-Z][a-z]+ [A-Z][a-z]+$`)

// filledIn reports whether a value is nothing but a place that some program fills in, ${api_key}, or an address or a path with such places as whole parts
// of it: an empty variable anywhere else takes the name of a command apart.
func filledIn(s string) bool {
	if !places.MatchString(s) {
		return false
	}
	for _, name := range filled.FindAllStringSubmatch(s, -1) {
		if special.MatchString(name[1]) {
			return false
		}
	}
	return true
}

var (
	filled = regexp.MustCompile(`\$\{(\w+)\}`)
	places = regexp.MustCompile(`^(?:(?:(?i:bearer|basic|token|apikey) )?\$\{\w{1,40}\}` +
		`|[\w.-]+(?:/[\w.-]+)*/\$\{\w{1,40}\}` +
		`|https?://[\w.-]+(?::\d+)?(?:[/?&]|[\w.%:,+~-]|=|[=/]\$\{\w{1,40}\}(?:[&/]|$))*)$`)
	// special are variables that hold something: of a shell, and of the languages of templates.
	special = regexp.MustCompile(`^(?:IFS|PATH|HOME|PWD|OLDPWD|SHELL\w*|BASH\w*|ENV|USER|HOST\w*|TERM\w*|LANG|MAIL\w*|EDITOR|\w*DIR\w*|PS\d|LD_\w*|LS_\w*|RANDOM|SECONDS|LINENO|OPT\w*|REPLY|_+\w*` +
		`|(?i:cookie|header|param|request|response|session|application|page|init)\w*|self|this|root|config|env|class|T|execution|facesContext|jndi|sys)$`)
)

// pagePath is a path below some folder: from the root on, brackets stand for programs of the system.
var pagePath = regexp.MustCompile(`^[\w@(][\w./()@\[\]-]*$`)

// anyPage is a part of a path that stands for any page in the files of a site (Next.js): [slug], [...slug], [[...slug]].
var anyPage = regexp.MustCompile(`(?:^|/)\[{1,2}(?:\.\.\.)?[\w-]+\]{1,2}(?:-[0-9a-f]{6,40}\.(?:js|css|map))?(?:/|$)`)

// jsonName is where a value stands in JSON: the points are the reader's own.
var jsonName = regexp.MustCompile(`^(?:json|protobuf)(?:\.[\w$@-]+)+$`)

// inside is a path below a folder of the program's own that is named as one of the system is: src/etc/hosts.go.
var inside = regexp.MustCompile(`^[\w-][\w.-]*/(?:[\w-][\w.-]*/)*(?:etc|proc|sys|usr|dev|bin)/[\w-][\w./-]*$`)

// graphQL is what a document of GraphQL without literals is written in.
var graphQL = regexp.MustCompile(`^\s*(?:(?:query|mutation|subscription|fragment)\b[\s\w$!:,()\[\]@]*)?\{[\s\w!:,(){}\[\]@.$]*\}\s*$`)

// expanded is what a shell makes of a dollar sign; a variable of GraphQL is a name behind it.
var expanded = regexp.MustCompile(`(?i)\$(?:[^a-z_]|ifs|path|home|shell|env|$)`)

// query reports whether a value is a document of GraphQL: names and brackets, nothing that is quoted, joined or compared.
func query(s string) bool {
	return strings.Count(s, "{") == strings.Count(s, "}") && graphQL.MatchString(s) && !expanded.MatchString(s)
}

// odata is a system query option of OData (version 4, part 2, section 5).
var odata = regexp.MustCompile(`^\$(?:filter|select|orderby|top|skip|count|expand|search|format|apply|compute|skiptoken)$`)

// odataAddress reports whether every dollar sign in a value begins a query option of an address.
func odataAddress(s string) bool {
	_, options, found := strings.Cut(s, "?")
	if !found || strings.ContainsAny(s, " \r\n{}\"") || strings.Contains(s[:len(s)-len(options)], "$") {
		return false
	}
	for option := range strings.SplitSeq(options, "&") {
		name, value, _ := strings.Cut(option, "=")
		if strings.Contains(name, "$") && !odata.MatchString(name) || strings.Contains(value, "$") {
			return false
		}
	}
	return true
}

// odataOptions reports whether every dollar sign in a value begins a query option inside another ("Items($filter=Qty gt 1;$orderby=Qty)"); operators of
// MongoDB are followed by no "=".
func odataOptions(s string) bool {
	return !strings.ContainsAny(s, "{}[]\"") && strings.Contains(s, "$") && !strings.Contains(odataOption.ReplaceAllString(s, ""), "$")
}

var odataOption = regexp.MustCompile(`(?:^|[(;,])\s*\$(?:filter|select|orderby|top|skip|count|expand|search|levels|compute)=`)

// noClimb reports whether no part of a value leads out of a folder, however dots are written.
func noClimb(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 || r == '/' || r == '%' }) && !strings.Contains(s, "..") && !odd.MatchString(s)
}

// odd is a backslash that is none of an expression's, and a point in other characters.
var odd = regexp.MustCompile(`(?i)\\(?:[^dwsb.*+?^$(){}|\[\]]|$)|2e|0x2|u002|c0|e0|af`)

// oneLine reports whether a value has no line end, without which it begins nothing: none of those, none that is still escaped, and no character of which
// something behind a program could keep the lower byte.
func oneLine(s string) bool {
	return !escapedEnd.MatchString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return r == '\n' || r == '\r' || r >= 0x80 && (r&0xff == '\n' || r&0xff == '\r' || r == 0x85 || r == 0x2028 || r == 0x2029)
	})
}

var escapedEnd = regexp.MustCompile(`\\[rnux0]|&#|%[0u]`)

func noAnswerInside(s string) bool { return noAnswer(s) || oneLine(s) && !strings.Contains(s, "<") }

// noData is for addresses of the kind data:, which have a comma.
func noData(s string) bool {
	return inlineFile(s) || strings.HasPrefix(s, "data:") && !strings.Contains(s, ",")
}

// address is a name with an address of mail behind it. Nothing in it ends a literal or compares, and the variable of SQL that
// the address could be is never set.
var address = regexp.MustCompile(`^[\p{L}\p{N} ._-]+@[\p{L}\p{N}-]+(?:\.[\p{L}\p{N}-]+)*\.\p{L}{2,}$`)

func mailbox(s string) bool { return address.MatchString(s) }

// wildcard is a path with one segment that stands for any; SQL would read the beginning of a comment there, and never its end.
var wildcard = regexp.MustCompile(`^/?(?:\d/)?(?:[A-Za-z_](?:-?[\w.:])*/)+\*(?:/[A-Za-z_](?:-?[\w.:])*)*$`)

// prepared is a statement with places for values, as logs and traces show it: nothing runs it so.
var prepared = regexp.MustCompile(`(?:=|<|>|,|\(|(?i:limit|offset|like)\s)\s*\?\s*(?:$|[,);]|(?i:and|or|order|limit|group)\b)`)

var (
	document  = regexp.MustCompile(`^\s*(?:<\?xml[^>]*\?>\s*)?<(?:[\w-]+:)?[\w-]+\s[^<]*xmlns(?::[\w-]+)?=`)
	attribute = regexp.MustCompile(`(?i)(?:^|[\s/])(?:on\w+|formaction|action|src\w*|href|xlink:href|style|data|background|poster)\s*=`)
	known     = regexp.MustCompile(`(?i)1999/(?:xhtml|xsl|xlink)|2000/svg|1998/math|<(?:script|svg|html)\b|\bon\w+\s*=|script:`)
)

// plainXML reports whether a value is a whole document of XML, without a declaration of its type, that is none for browsers, which know no namespaces: an
// assertion of SAML, a request to a gateway.
func plainXML(s string) bool {
	if len(s) > mostJSON || !strings.HasPrefix(strings.TrimLeft(s, " \t\r\n"), "<") || known.MatchString(s) || syntax.Runs(s) || strings.Contains(s, "<!") || object.MatchString(s) {
		return false
	}
	d := xml.NewDecoder(strings.NewReader(s))
	var open []xml.Name
	elements := 0
	for {
		token, err := d.RawToken()
		if err != nil {
			return err == io.EOF && elements > 0 && len(open) == 0
		}
		switch token := token.(type) {
		case xml.StartElement:
			if elements++; token.Name.Space == "" && syntax.IsTag(token.Name.Local) {
				return false
			}
			open = append(open, token.Name)
		case xml.EndElement:
			if len(open) == 0 || open[len(open)-1] != token.Name {
				return false
			}
			open = open[:len(open)-1]
		case xml.ProcInst:
			if token.Target != "xml" {
				return false
			}
		}
	}
}

// object is what makes an object of a program out of a document.
var object = regexp.MustCompile(`(?i)\b(?:ldaps?|rmi|jndi|iiop|dns):|\bjavax?\.|\bcom\.sun\.|ysoserial|include`)
