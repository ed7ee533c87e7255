package rule

import (
	"net/netip"
	"strings"

	"stormdoor/flow"
)

// Variable documents one variable of the rule language for the manual.
type Variable struct {
	// Name is how an expression calls it, Type its CEL type: "string", "int" or "bool".
	Name, Type string
	// Meaning is one sentence for an operator.
	Meaning string
}

// Variables lists every variable of the rule language in the order of the manual.
var Variables = [...]Variable{
	{"method", "string", "The method, as it was sent; methods are case-sensitive."},
	{"host", "string", "The host that was asked for, in lower case, without port and trailing dot."},
	{"path", "string", "The path, percent-decoded once, with dot segments and repeated slashes resolved. Match against this one unless there is a reason not to."},
	{"path_raw", "string", "The path as it was sent, without the query."},
	{"script", "string", "The path cut behind the first program file, without path info and a leading /index.php: what an origin such as PHP would run."},
	{"query", "string", "What follows \"?\", as it was sent, without the \"?\"."},
	{"proto", "string", "The version of HTTP: HTTP/1.0, HTTP/1.1, HTTP/2 or HTTP/3; HTTP when it is not known."},
	{"tls", "bool", "Whether the request came over TLS."},
	{"site", "string", "The name of the site that claims the host, empty when none does."},
	{"route", "string", "The name of the site's route that matches, empty when none does."},
	{"client", "string", "The visitor's address in its shortest form, such as 192.0.2.1 or 2001:db8::1. For prefixes use client_in."},
	{"country", "string", "The ISO 3166-1 alpha-2 code of the visitor's country, empty when it is not known."},
	{"network", "int", "The autonomous system number of the visitor's network, 0 when it is not known."},
	{"ja4", "string", "The JA4 fingerprint of the TLS ClientHello, empty without TLS or behind a proxy that ended TLS."},
	{"hot", "bool", "Whether the site's origin is in trouble."},
	{"length", "int", "The announced length of the body in bytes, 0 for none, -1 when it is not known beforehand."},
	{"user_agent", "string", "The User-Agent field, empty when there is none; short for header('user-agent')."},
}

// Function documents one function of the rule language for the manual.
type Function struct {
	// Name is the function's name, Form how it is written.
	Name, Form string
	// Meaning is one sentence for an operator.
	Meaning string
}

// Functions lists every function of the rule language that is more than an operator, in the order of the manual.
// Arguments in quotes have to be written out in the expression.
var Functions = [...]Function{
	{"client_in", "client_in('10.0.0.0/8', …)", "Whether the visitor's address lies in one of the prefixes, at most 64. For more use a list."},
	{"header", "header('name')", "The value of the first field called so, empty when there is none. Names ignore case."},
	{"headers", "headers('name')", "The values of all fields called so, as a list."},
	{"has_header", "has_header('name')", "Whether there is a field called so."},
	{"cookie", "cookie('name')", "The value of the first cookie called so, as it was sent, empty when there is none."},
	{"cookies", "cookies('name')", "The values of all cookies called so, as a list."},
	{"has_cookie", "has_cookie('name')", "Whether there is a cookie called so."},
	{"query_param", "query_param('name')", "The decoded value of the first parameter of the query called so, empty when there is none."},
	{"query_params", "query_params('name')", "The decoded values of all parameters called so, as a list. Origins differ in which one they take."},
	{"has_query_param", "has_query_param('name')", "Whether the query has a parameter called so."},
	{"startsWith", "text.startsWith(text)", "Whether a text begins with another."},
	{"endsWith", "text.endsWith(text)", "Whether a text ends with another."},
	{"contains", "text.contains(text)", "Whether a text contains another."},
	{"matches", "text.matches('pattern')", "Whether a regular expression (RE2) matches somewhere in the text; anchor it with ^ and $."},
	{"lowerAscii", "text.lowerAscii()", "The text with A to Z in lower case."},
	{"size", "size(text)", "The number of characters of a text, or of elements of a list."},
	{"exists", "list.exists(x, condition)", "Whether the condition holds for at least one element of a list, called x in it."},
	{"all", "list.all(x, condition)", "Whether the condition holds for every element of a list."},
	{"exists_one", "list.exists_one(x, condition)", "Whether the condition holds for exactly one element of a list."},
	{"filter", "list.filter(x, condition)", "The elements of a list for which the condition holds."},
	{"map", "list.map(x, expression)", "A list with the expression's value for each element of a list."},
}

// impossible says why no request has text as the value of the variable, or "" when one may have. A comparison that is
// never true is a mistake that nobody would notice otherwise.
func impossible(variable, text string) string {
	switch variable {
	case "client":
		a, err := netip.ParseAddr(text)
		if err != nil {
			return "client is one address and never equals this; for a prefix write client_in('…')"
		}
		if s := a.Unmap().String(); s != text {
			return "client never equals this: write the address in its shortest form, '" + s + "'"
		}
	case "country":
		if len(text) != 0 && (len(text) != 2 || strings.ToUpper(text) != text) {
			return "country never equals this: it is two capital letters, or empty when it is not known"
		}
	case "host":
		if strings.ToLower(text) != text || strings.HasSuffix(text, ".") || strings.Contains(text, "/") || portOf(text) {
			return "host never equals this: it is in lower case, without port and without a trailing dot"
		}
	case "proto":
		for p := flow.ProtoUnknown; p <= flow.HTTP3; p++ {
			if p.String() == text {
				return ""
			}
		}
		return "proto never equals this: it is HTTP/1.0, HTTP/1.1, HTTP/2, HTTP/3, or HTTP when it is not known"
	case "path", "path_raw", "script":
		if text != "" && text != "*" && text[0] != '/' {
			return variable + " never equals this: it begins with \"/\""
		}
	}
	return ""
}

// portOf reports whether host ends with a port.
func portOf(host string) bool {
	i := strings.LastIndexByte(host, ':')
	return i >= 0 && !strings.HasSuffix(host, "]") && strings.Count(host[:i], ":") == 0 || strings.Contains(host, "]:")
}
