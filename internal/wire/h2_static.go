package wire

// h2Static is the static table of HPACK (RFC 7541, appendix A); index 1 is the first entry. It is never changed.
var h2Static = buildH2Static()

// h2StaticNames gives the lowest index of each name in the static table. It is never changed.
var h2StaticNames = buildH2StaticNames()

// h2StaticText lists name and value in turn.
var h2StaticText = [...]string{
	":authority", "", ":method", "GET", ":method", "POST", ":path", "/", ":path", "/index.html", ":scheme", "http",
	":scheme", "https", ":status", "200", ":status", "204", ":status", "206", ":status", "304", ":status", "400",
	":status", "404", ":status", "500", "accept-charset", "", "accept-encoding", "gzip, deflate",
	"accept-language", "", "accept-ranges", "", "accept", "", "access-control-allow-origin", "", "age", "",
	"allow", "", "authorization", "", "cache-control", "", "content-disposition", "", "content-encoding", "",
	"content-language", "", "content-length", "", "content-location", "", "content-range", "", "content-type", "",
	"cookie", "", "date", "", "etag", "", "expect", "", "expires", "", "from", "", "host", "", "if-match", "",
	"if-modified-since", "", "if-none-match", "", "if-range", "", "if-unmodified-since", "", "last-modified", "",
	"link", "", "location", "", "max-forwards", "", "proxy-authenticate", "", "proxy-authorization", "", "range", "",
	"referer", "", "refresh", "", "retry-after", "", "server", "", "set-cookie", "", "strict-transport-security", "",
	"transfer-encoding", "", "user-agent", "", "vary", "", "via", "", "www-authenticate", "",
}

func buildH2Static() (t [len(h2StaticText) / 2]h2Field) {
	for i := range t {
		name, value := h2StaticText[2*i], h2StaticText[2*i+1]
		t[i] = h2Field{name: name, value: value, kind: h2KindOf(name, value)}
	}
	return t
}

func buildH2StaticNames() map[string]uint8 {
	m := make(map[string]uint8)
	for i, f := range h2Static {
		if _, ok := m[f.name]; !ok {
			m[f.name] = uint8(i + 1)
		}
	}
	return m
}
