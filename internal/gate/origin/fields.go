package origin

import (
	"strings"

	"stormdoor/flow"
)

// class is what the door does with a field of a request.
type class uint8

const (
	endToEnd   class = iota // passed on as it is, unless Connection names it
	hopByHop                // ends at the door: RFC 9110, section 7.6.1
	framing                 // written anew by the wire: Host, Content-Length, Transfer-Encoding
	connection              // Connection itself
	forwarded               // says where a request comes from; the door writes it anew
	identity                // says where a request comes from; kept from a declared proxy, dropped from anybody else
	essential               // passed on even when Connection names it
	requestID               // X-Request-ID
	te                      // TE: only "trailers" is passed on
	trailer                 // Trailer: passed on with a body of unknown length
	cookie                  // Cookie: HTTP/2 may have cut it into crumbs
)

// classOf classifies the field of a request called name. The doc of each list says why.
func classOf(name string) class {
	for _, e := range classes[min(len(name), len(classes)-1)] {
		if sameField(e.name, name) {
			return e.class
		}
	}
	return endToEnd
}

type classified struct {
	name  string // in lower case
	class class
}

// known lists the fields that are not simply passed on. Gateways that hand fields on in environment variables (CGI,
// WSGI, FastCGI) make the same variable of "X_Forwarded_For" and "X-Forwarded-For", so "_" counts as "-" in all of
// them: an alias of a field is dropped wherever the field itself is not passed on as it came.
var known = [...]classified{
	{"connection", connection},
	{"keep-alive", hopByHop}, {"proxy-connection", hopByHop}, {"upgrade", hopByHop}, {"http2-settings", hopByHop},
	{"proxy-authorization", hopByHop}, {"proxy-authenticate", hopByHop},
	// Expect ends here too: the wire sends 100 Continue when the body is first asked for, so that the body streams and
	// the visitor is never left waiting for an origin that does not know the field.
	{"expect", hopByHop},
	{"te", te}, {"trailer", trailer},
	{"host", framing}, {"content-length", framing}, {"transfer-encoding", framing},

	{"x-forwarded-for", forwarded}, {"forwarded", forwarded}, {"x-real-ip", forwarded},
	// These say where a visitor is, under other names that origins believe. Only a declared proxy may say so.
	{"x-forwarded-proto", identity}, {"x-forwarded-host", identity}, {"x-forwarded-port", identity},
	{"x-forwarded-server", identity}, {"x-forwarded-by", identity}, {"x-forwarded-ssl", identity},
	{"x-forwarded-scheme", identity}, {"x-forwarded-prefix", identity}, {"x-forwarded-protocol", identity},
	{"x-forwarded", identity}, {"forwarded-for", identity}, {"x-forwarded-client-cert", identity},
	{"x-scheme", identity}, {"x-url-scheme", identity}, {"front-end-https", identity},
	{"x-client-ip", identity}, {"client-ip", identity}, {"x-cluster-client-ip", identity}, {"true-client-ip", identity},
	{"x-true-client-ip", identity}, {"x-originating-ip", identity}, {"x-remote-ip", identity}, {"x-remote-addr", identity},
	{"x-original-forwarded-for", identity}, {"x-envoy-external-address", identity}, {"x-azure-clientip", identity},
	{"x-azure-socketip", identity}, {"x-appengine-user-ip", identity}, {"fastly-client-ip", identity},
	{"cf-connecting-ip", identity}, {"cf-connecting-ipv6", identity}, {"cf-pseudo-ipv4", identity},
	{"cf-ipcountry", identity}, {"cf-visitor", identity},
	// These make some frameworks serve another path or host than the one that was judged.
	{"x-original-url", identity}, {"x-rewrite-url", identity}, {"x-original-uri", identity}, {"x-original-host", identity},
	{"x-host", identity}, {"x-http-host-override", identity},
	// CGI makes HTTP_PROXY of it, which programs take for their proxy (CVE-2016-5385, "httpoxy").
	{"proxy", hopByHop},

	{"x-request-id", requestID}, {"via", essential}, {"cdn-loop", essential}, {"cookie", cookie},
	// Naming these in Connection is an attempt to strip what somebody behind relies on; RFC 9110, section 7.6.1,
	// forbids it for fields that are meant for all recipients.
	{"authorization", essential}, {"content-type", essential}, {"content-encoding", essential}, {"content-range", essential},
	{"cache-control", essential}, {"range", essential}, {"if-match", essential}, {"if-none-match", essential},
	{"if-modified-since", essential}, {"if-unmodified-since", essential}, {"if-range", essential}, {"origin", essential},
	{"referer", essential}, {"accept", essential}, {"accept-encoding", essential}, {"user-agent", essential},
	{"sec-websocket-key", essential}, {"sec-websocket-version", essential}, {"sec-websocket-protocol", essential},
	{"sec-websocket-extensions", essential}, {"date", essential},
}

// classes is known by the length of the name, which settles most fields without a comparison.
var classes = func() (by [32][]classified) {
	for _, e := range known {
		by[len(e.name)] = append(by[len(e.name)], e)
	}
	return by
}()

// sameField reports whether name is the known field lower, or an alias of it with "_" for "-".
func sameField(lower, name string) bool {
	if len(lower) != len(name) {
		return false
	}
	for i := 0; i < len(name); i++ {
		c := name[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		} else if c == '_' {
			c = '-'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// nominations are the fields that Connection names, beside the options that every hop knows.
type nominations struct{ names []string }

// nominationsMost bounds how many names are looked at; a list as long as that is an attack, and the rest stays.
const nominationsMost = 16

// collect notes what the Connection fields of h name.
func (n *nominations) collect(h flow.Header) {
	n.names = n.names[:0]
	for i := range h.Len() {
		f := h.At(i)
		if len(f.Name) != len("Connection") || !flow.EqualFold(f.Name, "Connection") {
			continue
		}
		for rest := f.Value; rest != ""; {
			var t string
			t, rest, _ = strings.Cut(rest, ",")
			t = strings.Trim(t, " \t")
			if t == "" || flow.EqualFold(t, "keep-alive") || flow.EqualFold(t, "close") || flow.EqualFold(t, "upgrade") || len(n.names) == nominationsMost {
				continue
			}
			n.names = append(n.names, t)
		}
	}
}

func (n *nominations) has(name string) bool {
	for _, t := range n.names {
		if flow.EqualFold(t, name) {
			return true
		}
	}
	return false
}

// stripAnswer takes out of an origin's answer what is meant for the door alone. It works in place: the fields of an
// answer belong to whoever asked. trailers says whether the visitor understands trailer fields.
func stripAnswer(h *flow.Header, n *nominations, trailers bool) {
	n.collect(*h)
	h.DelFunc(func(f flow.Field) bool {
		switch len(f.Name) {
		case 7:
			if flow.EqualFold(f.Name, "Trailer") {
				return !trailers
			}
			if flow.EqualFold(f.Name, "Upgrade") || flow.EqualFold(f.Name, "Alt-Svc") {
				return true // another way to the origin would lead past the door
			}
		case 10:
			if flow.EqualFold(f.Name, "Connection") || flow.EqualFold(f.Name, "Keep-Alive") {
				return true
			}
		case 14:
			if flow.EqualFold(f.Name, "Content-Length") {
				return true // the length of the answer says it
			}
		case 16:
			if flow.EqualFold(f.Name, "Proxy-Connection") {
				return true
			}
		case 17:
			if flow.EqualFold(f.Name, "Transfer-Encoding") {
				return true
			}
		case 18:
			if flow.EqualFold(f.Name, "Proxy-Authenticate") {
				return true
			}
		}
		return len(n.names) > 0 && n.has(f.Name) && !lasting(f.Name)
	})
}

// lasting reports whether a field of an answer is meant for the visitor whatever Connection says.
func lasting(name string) bool {
	for _, l := range [...]string{"Set-Cookie", "Content-Type", "Content-Encoding", "Content-Range", "Cache-Control", "Location",
		"ETag", "Last-Modified", "Vary", "Date", "WWW-Authenticate", "Content-Security-Policy", "Strict-Transport-Security"} {
		if flow.EqualFold(l, name) {
			return true
		}
	}
	return false
}
