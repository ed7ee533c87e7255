package origin

import (
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"net/netip"
	"strings"

	"stormdoor/flow"
	"stormdoor/internal/wire"
)

// trusted reports whether the forwarding fields of a request come from a declared proxy. A PROXY header vouches for an
// address only: then Client is Peer, and the fields are the visitor's own word.
func trusted(f *flow.Facts) bool { return f.Proxied && f.Client != f.Peer }

// compose writes the request for the origin: the visitor's fields in their order, without those that end at the door,
// then those that the door vouches for. Host and framing follow from Authority and Length; the wire writes them.
func (c *call) compose(r *wire.Request, f *flow.Facts) {
	out := &c.out
	out.Proto, out.Method, out.Target = r.Proto, r.Method, r.Target
	out.Length, out.Trailers = r.Length, r.Trailers
	out.Upgrade = ""
	if upgradable(r.Upgrade) {
		out.Upgrade = r.Upgrade
	}
	c.nominated.collect(r.Header)
	c.copyFields(r, trusted(f))
	c.vouch(r, f)
	if r.Method == "CONNECT" {
		c.unconnect()
	}
}

// copyFields passes the visitor's fields on.
func (c *call) copyFields(r *wire.Request, trusted bool) {
	h := &c.out.Header
	c.seen = 0
	for i := range r.Header.Len() {
		f := r.Header.At(i)
		switch classOf(f.Name) {
		case endToEnd:
			if len(c.nominated.names) > 0 && c.nominated.has(f.Name) {
				continue
			}
		case essential:
		case identity:
			if !trusted || strings.Contains(f.Name, "_") {
				continue
			}
			c.note(f.Name)
		case requestID:
			if !trusted || c.seen&seenID != 0 {
				continue
			}
			c.seen |= seenID
		case cookie:
			if r.Proto >= flow.HTTP2 {
				if c.seen&seenCookie != 0 {
					continue
				}
				c.seen |= seenCookie
				f.Value = joinCookies(r.Header, f.Value)
			}
		case te:
			if !r.Trailers || c.seen&seenTE != 0 {
				continue
			}
			c.seen |= seenTE
			f.Value = "trailers"
		case trailer:
			if r.Length >= 0 {
				continue
			}
		default:
			continue
		}
		h.Add(f.Name, f.Value)
	}
}

// What copyFields has passed on.
const (
	seenID = 1 << iota
	seenCookie
	seenTE
	seenProto
	seenHost
)

// note remembers which of the fields that the door would write itself have come from a declared proxy.
func (c *call) note(name string) {
	switch {
	case flow.EqualFold(name, "X-Forwarded-Proto"):
		c.seen |= seenProto
	case flow.EqualFold(name, "X-Forwarded-Host"):
		c.seen |= seenHost
	}
}

// joinCookies puts the crumbs of HTTP/2 together again (RFC 9113, section 8.2.3).
func joinCookies(h flow.Header, first string) string {
	n := 0
	for range h.Values("Cookie") {
		n++
	}
	if n == 1 {
		return first
	}
	var b strings.Builder
	for v := range h.Values("Cookie") {
		if b.Len() > 0 {
			b.WriteString("; ")
		}
		b.WriteString(v)
	}
	return b.String()
}

// vouch adds what the door itself says about the request. The values share one string.
func (c *call) vouch(r *wire.Request, f *flow.Facts) {
	b, proxied := c.scratch[:0], trusted(f)
	b = appendAddr(b, f.Client)
	real := len(b)
	if proxied {
		b = appendChain(b, r.Header, f.Client)
		if f.Peer.IsValid() {
			b = append(b, ", "...)
			b = appendAddr(b, f.Peer)
		}
	}
	chain := len(b)
	b = c.appendForwarded(b, r, f, proxied)
	element := len(b)
	if f.ID != (flow.RequestID{}) && c.seen&seenID == 0 {
		b = append(b, f.ID.String()...)
	}
	id := len(b)
	b = appendLoop(b, c.pool.token, r)
	c.scratch = b
	s := string(b)

	h := &c.out.Header
	if proxied {
		h.Add("X-Forwarded-For", s[real:chain])
	} else {
		h.Add("X-Forwarded-For", s[:real])
	}
	if c.seen&seenProto == 0 {
		h.Add("X-Forwarded-Proto", r.Scheme)
	}
	if c.seen&seenHost == 0 && r.Authority != "" {
		h.Add("X-Forwarded-Host", r.Authority)
	}
	h.Add("X-Real-IP", s[:real])
	h.Add("Forwarded", s[chain:element])
	h.Add(loopField, s[id:])
	if element < id {
		h.Add("X-Request-ID", s[element:id])
	}
}

// appendAddr appends an address without its zone, which means nothing elsewhere.
func appendAddr(b []byte, a netip.Addr) []byte {
	if !a.IsValid() {
		return append(b, "unknown"...)
	}
	return a.Unmap().WithZone("").AppendTo(b)
}

// appendChain appends the declared proxies' X-Forwarded-For from the client's address on. What stands left of it was
// said by the visitor and is dropped. A chain without the client is replaced by the client.
func appendChain(b []byte, h flow.Header, client netip.Addr) []byte {
	start := len(b)
	for v := range h.Values("X-Forwarded-For") {
		if len(b) > start {
			b = append(b, ", "...)
		}
		b = append(b, v...)
	}
	chain := string(b[start:])
	for end := len(chain); end > 0; {
		i := strings.LastIndexByte(chain[:end], ',')
		if parseHop(chain[i+1:end]) == client.Unmap() {
			return append(b[:start], strings.TrimLeft(chain[i+1:], " \t")...)
		}
		end = max(i, 0)
	}
	return appendAddr(b[:start], client)
}

// parseHop reads one element of X-Forwarded-For, with or without a port; the zero Addr when it is no address.
func parseHop(s string) netip.Addr {
	s = strings.Trim(s, " \t")
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Unmap()
	}
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap()
	}
	a, _ := netip.ParseAddr(strings.Trim(s, "[]"))
	return a.Unmap()
}

// appendForwarded appends the Forwarded field (RFC 7239). It is built from what the door knows and never from a Forwarded
// field that came: a proxy that writes another field passes a visitor's own through.
func (c *call) appendForwarded(b []byte, r *wire.Request, f *flow.Facts, proxied bool) []byte {
	b = appendNode(append(b, "for="...), f.Client)
	if r.Authority != "" {
		b = appendQuoted(append(b, ";host="...), r.Authority)
	}
	scheme := r.Scheme
	if c.seen&seenProto != 0 {
		if s := r.Header.Get("X-Forwarded-Proto"); flow.EqualFold(s, "https") || flow.EqualFold(s, "http") {
			scheme = s
		}
	}
	b = append(append(b, ";proto="...), scheme...)
	if proxied {
		b = appendNode(append(b, ", for="...), f.Peer)
	}
	return b
}

// appendNode appends an address as RFC 7239, section 6 writes it: IPv6 in brackets and quoted.
func appendNode(b []byte, a netip.Addr) []byte {
	if a = a.Unmap(); !a.Is6() {
		return appendAddr(b, a)
	}
	return append(appendAddr(append(b, `"[`...), a), `]"`...)
}

// appendQuoted appends s as a token if it is one, otherwise as a quoted string.
func appendQuoted(b []byte, s string) []byte {
	token := true
	for i := 0; i < len(s) && token; i++ {
		c := s[i]
		token = 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' || c == '-' || c == '_'
	}
	if token {
		return append(b, s...)
	}
	b = append(b, '"')
	for i := 0; i < len(s); i++ {
		if s[i] == '"' || s[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}

// upgradable reports whether a switch to the protocol may be passed on. HTTP itself is not: behind an upgrade to h2c the
// visitor would talk to the origin past the door.
func upgradable(protocol string) bool {
	if protocol == "" {
		return false
	}
	for p := range strings.SplitSeq(protocol, ",") {
		p = strings.ToLower(strings.TrimSpace(p))
		if p == "h2c" || p == "h2" || p == "h3" || strings.HasPrefix(p, "http") || strings.HasPrefix(p, "tls") {
			return false
		}
	}
	return true
}

// asksForStream reports whether a request makes no sense without a switch of protocols: a WebSocket, or what an extended
// CONNECT names. Other upgrades are offers, which an origin may pass over.
func asksForStream(r *wire.Request) bool {
	return r.Method == "CONNECT" || flow.EqualFold(r.Upgrade, "websocket")
}

// unconnect turns an extended CONNECT (RFC 8441) into the GET that a WebSocket begins with in HTTP/1.1 (RFC 6455).
func (c *call) unconnect() {
	c.out.Method, c.out.Length, c.tunnel = "GET", 0, true
	if c.out.Upgrade != "websocket" {
		return
	}
	var nonce [16]byte
	rand.Read(nonce[:])
	c.key = base64.StdEncoding.EncodeToString(nonce[:])
	c.out.Header.Set("Sec-WebSocket-Key", c.key)
	if !c.out.Header.Has("Sec-WebSocket-Version") {
		c.out.Header.Add("Sec-WebSocket-Version", "13")
	}
}

// accepts reports whether the origin's answer to a WebSocket handshake fits the key (RFC 6455, section 4.2.2).
func accepts(key, accept string) bool {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:]) == strings.TrimSpace(accept)
}
