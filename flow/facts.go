// Package flow is the vocabulary of the door: what is known of a request, who judges it, what was decided and how it
// ended. It answers "what are we talking about?", knows no protocol library, and imports nothing of the project.
package flow

import (
	"encoding/base32"
	"net/netip"
	"strings"
	"time"
)

// Facts is everything known about a request before anyone judges it. It is read from the wire once and never
// changed afterwards; stages get a pointer to it, for reading only. It holds nothing that a tape cannot record, so that live traffic, a replay and a drill are one
// engine.
//
// Strings in Facts may point into a connection's read buffer. They are valid until the request's Outcome has been
// written; whoever keeps one longer clones it (strings.Clone).
type Facts struct {
	// Arrived is when the head was complete. It is the only clock that a stage has.
	Arrived time.Time
	// ID is the reference of this request in refusals, logs and explain.
	ID RequestID

	// Site and Route name what the policy says the request is for. Site is "" for a host that no site claims;
	// Route is "" where none of the site's routes matches.
	Site, Route string
	// Hot is true while the site's origin is in trouble: limits that act "while: hot" look at nothing else.
	Hot bool

	Proto  Proto
	TLS    bool
	Method string
	// Host is the authority in lower case without port and without a trailing dot.
	Host string
	// Path is the request's path, in three views. Query is what follows "?" as it was sent, without "?".
	Path  Path
	Query string
	// Header is everything that the client sent, in order. Shared: do not write to it.
	Header Header
	// Length is the announced length of the body in bytes: 0 for none, -1 when it is not known beforehand.
	Length int64

	// Peer is the other end of the connection, or what a trusted PROXY header says it is.
	Peer netip.Addr
	// Client is the visitor's address: Peer, or what the declared proxies in front say it is. Never invalid.
	Client netip.Addr
	// Key is the prefix by which a visitor is counted: /32 of an IPv4 address, /64 of an IPv6 address.
	Key netip.Prefix
	// Proxied is true when Client came from a declared proxy's forwarding header or PROXY header.
	Proxied bool
	// JA4 is the fingerprint of the TLS ClientHello, "" without TLS or behind a proxy that ended TLS.
	JA4 string
	// Country is an ISO 3166-1 alpha-2 code, Network an autonomous system number; "" and 0 when not known.
	Country string
	Network uint32
	// Credential is a keyed hash of what the client says it is (Authorization, API key, session cookie); 0 for none.
	// It is a claim, not a proof.
	Credential uint64
	// Visit is what the door's own cookie holds, which is no part of Header: a claim, too. The zero value is for none.
	Visit Visit
	// KeyHash is a keyed hash of Key: what is counted by client goes by it. 0 means that Key has not been hashed.
	KeyHash uint64
	// Bucket is the upper half of KeyHash, evenly spread: which edition a client gets, which half of an experiment.
	Bucket uint32
}

// Visit is the content of a visit cookie; admission knows what it means.
type Visit [20]byte

// Path is a request's path in three views, because origins differ in what they make of one (see the manual on rules).
type Path struct {
	// Raw is the path as it was sent, without the query.
	Raw string
	// Clean is Raw percent-decoded once, with "\" and repeated "/" folded to one "/", dot segments resolved (RFC 3986,
	// section 5.2.4) and path parameters (";x") kept. It begins with "/" unless Raw is "*" or empty.
	Clean string
	// Script is Clean cut behind the first segment that names a program file (".php", ".cgi", …), without path
	// info and without a leading "/index.php"; otherwise it is Clean.
	Script string
}

// Proto is a version of HTTP.
type Proto uint8

// The versions of HTTP that a door speaks. The zero value means that it is not known (a log without it).
const (
	ProtoUnknown Proto = iota
	HTTP10
	HTTP11
	HTTP2
	HTTP3
)

// String returns the version as logs and the Via field write it.
func (p Proto) String() string {
	switch p {
	case HTTP10:
		return "HTTP/1.0"
	case HTTP11:
		return "HTTP/1.1"
	case HTTP2:
		return "HTTP/2"
	case HTTP3:
		return "HTTP/3"
	}
	return "HTTP"
}

// RequestID names a request. The zero value means "none".
type RequestID [10]byte

var idEncoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// String returns the id as 16 characters that a visitor can read out on the telephone (Crockford's base 32).
func (id RequestID) String() string {
	var b [16]byte
	idEncoding.Encode(b[:], id[:])
	return string(b[:])
}

// heard are the letters that Crockford's base 32 leaves out because they are taken for digits.
var heard = strings.NewReplacer("o", "0", "i", "1", "l", "1")

// ParseRequestID is the inverse of RequestID.String, and takes capitals, o for 0, and i and l for 1, too; ok is false when s is
// not an id.
func ParseRequestID(s string) (id RequestID, ok bool) {
	if s = heard.Replace(strings.ToLower(s)); len(s) != 16 {
		return id, false
	}
	_, err := idEncoding.Decode(id[:], []byte(s))
	return id, err == nil
}

// Clone is a copy for whoever keeps it beyond the request: it shares no memory with what the client sent.
func (f *Facts) Clone() *Facts {
	c := *f
	for _, s := range []*string{&c.Method, &c.Host, &c.Path.Raw, &c.Path.Clean, &c.Path.Script, &c.Query, &c.JA4} {
		*s = strings.Clone(*s)
	}
	c.Header = NewHeader(f.Header.Len())
	for i := range f.Header.Len() {
		h := f.Header.At(i)
		c.Header.Add(strings.Clone(h.Name), strings.Clone(h.Value))
	}
	return &c
}
