// Package client answers "who is asking, and for what?": it fills the Facts of a request once, from its connection and
// its head.
package client

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gaissmai/bart"

	"stormdoor/flow"
	"stormdoor/internal/wire"
	"stormdoor/policy"
)

// Options are what a Reader needs beside the policy.
type Options struct {
	// Secret keys every hash: the same secret gives the same Bucket and Credential. Who knows it can forge
	// collisions; the zero secret is for tests.
	Secret [32]byte
	// SessionCookies are the names of cookies that count as a credential; "*" at the end stands for any end. Nil
	// stands for well-known names, an empty list for none.
	SessionCookies []string
	// Notice is called when an undeclared proxy is noticed, at most once per peer in 10 minutes and 64 times for all
	// peers in that time. It is called in a request's goroutine and must not block. It may be nil.
	Notice func(Undeclared)
	// Before is the Reader that the new one takes the place of: its watch for undeclared proxies goes on. It may be
	// nil, and must have the same secret.
	Before *Reader
}

// Undeclared is a peer that looks like a proxy which the policy does not declare. See Reader.Undeclared.
type Undeclared struct {
	// Peer is the address; for IPv6 one address of the /64 that is meant.
	Peer netip.Addr
	// Clients is about how many distinct clients it claimed to speak for, within the last 10 to 20 minutes.
	Clients int
	// Header is the field by which it showed itself.
	Header string
	// Since is when it was first seen, as far as that is known.
	Since time.Time
}

// Reader fills Facts. It is safe for concurrent use. Its memory is fixed once it is made: the databases, and about
// 200 KiB to watch for undeclared proxies.
type Reader struct {
	proxies   *bart.Lite // nil when none is declared
	form      form
	header    string // the forwarding header that is believed
	cookies   *cookieNames
	marks     []string   // fields by which a proxy shows itself, the most telling one first
	wanted    [64]uint32 // by the length of a field's name: bit n, it matters if it begins with the letter n (31: no letter)
	peers     key        // hashes visitors: Bucket, and the table's index
	claims    key
	secrets   [3]key // by kind of credential
	country   *geo
	network   *geo
	watch     *table
	notice    func(Undeclared)
	closed    atomic.Bool
	localhost netip.Addr
}

// New returns a Reader for what the policy trusts and the databases it names. The databases are read into memory and
// checked; an error names the policy's field, the file, what is wrong with it and what to do.
func New(trust policy.Trust, geo policy.Geo, o Options) (*Reader, error) {
	r := &Reader{
		header:    trust.Header,
		peers:     derive(&o.Secret, "stormdoor client bucket"),
		claims:    derive(&o.Secret, "stormdoor client claim"),
		notice:    o.Notice,
		localhost: netip.AddrFrom4([4]byte{127, 0, 0, 1}),
	}
	for i, kind := range [...]string{"authorization", "api key", "session cookie"} {
		r.secrets[i] = derive(&o.Secret, "stormdoor client credential "+kind)
	}
	r.watch = new(table)
	if o.Before != nil {
		r.watch = o.Before.watch
	}
	if r.header == "" {
		r.header = marks[0]
	}
	if !isToken(r.header) {
		return nil, fmt.Errorf("trust.header: %q is no name of a header field: give x-forwarded-for, forwarded, or the name of a header that holds one address", trust.Header)
	}
	switch {
	case flow.EqualFold(r.header, "X-Forwarded-For"):
		r.form = listForm
	case flow.EqualFold(r.header, "Forwarded"):
		r.form = forwardedForm
	default:
		r.form = singleForm
	}
	r.watchFor(r.header)
	var err error
	if r.proxies, err = newPrefixes(trust.Proxies); err != nil {
		return nil, err
	}
	names := o.SessionCookies
	if names == nil {
		names = sessionCookies
	}
	if r.cookies, err = newCookieNames(names); err != nil {
		return nil, err
	}
	var errCountry, errNetwork error
	r.country, errCountry = openGeo(geo.Country, countryField())
	r.network, errNetwork = openGeo(geo.Network, networkField())
	if err := errors.Join(policy.At("geo.country", errCountry), policy.At("geo.network", errNetwork)); err != nil {
		return nil, err
	}
	return r, nil
}

// watchFor sets the fields that a scan looks at.
func (r *Reader) watchFor(header string) {
	r.marks = append(r.marks, strings.Clone(header))
	for _, m := range marks {
		if !flow.EqualFold(m, header) {
			r.marks = append(r.marks, m)
		}
	}
	for _, n := range append([]string{"Authorization", "X-Api-Key", "Cookie"}, r.marks...) {
		r.wanted[min(len(n), 63)] |= 1 << initial(n)
	}
}

// initial is the place of a name's first letter in the alphabet from 0, 31 when it is no letter.
func initial(name string) uint8 {
	if name == "" {
		return 31
	}
	return min(lower[name[0]]-'a', 31)
}

func newPrefixes(prefixes []policy.Prefix) (*bart.Lite, error) {
	if len(prefixes) == 0 {
		return nil, nil
	}
	t := new(bart.Lite)
	for i, p := range prefixes {
		q := p.Prefix
		if !q.IsValid() {
			return nil, fmt.Errorf("trust.proxies: entry %d is no address or prefix: write it like 192.0.2.1 or 2001:db8::/32", i+1)
		}
		if q.Addr().Is4In6() {
			if q.Bits() < 96 {
				return nil, fmt.Errorf("trust.proxies: %s holds more than the mapped IPv4 addresses: write IPv4 as 192.0.2.0/24", q)
			}
			q = netip.PrefixFrom(q.Addr().Unmap(), q.Bits()-96)
		}
		t.Insert(q.Masked())
	}
	return t, nil
}

// Close ends the notices. Requests under way may still use the Reader; its memory is freed when nobody holds it.
func (r *Reader) Close() error {
	r.closed.Store(true)
	return nil
}

// GeoFailures returns how many look-ups in the databases failed. It stays 0 unless memory is damaged or the library has
// a bug.
func (r *Reader) GeoFailures() uint64 { return r.country.failures() + r.network.failures() }

// Fill sets everything in f that the connection and the head of a request tell, Proto to Query, Header and Length, and
// Peer to Bucket; Arrived must be set. What cannot be known stays zero: a Host that is none, the JA4 behind a declared
// proxy, which may have ended TLS. A peer on a unix socket counts as 127.0.0.1, so that a proxy there can be declared.
//
// Only the header of a declared proxy changes Client. Such a header is read from its end, each entry being the word of
// the proxy behind it, up to the first address that is not declared.
func (r *Reader) Fill(f *flow.Facts, c *wire.Conn, req *wire.Request) {
	f.Proto, f.TLS, f.Method = req.Proto, c.TLS, req.Method
	f.Host = host(req.Authority)
	raw := req.Target
	f.Query = ""
	if i := strings.IndexByte(raw, '?'); i >= 0 {
		raw, f.Query = raw[:i], raw[i+1:]
	}
	f.Path = Clean(raw)
	f.Header, f.Length = req.Header, req.Length

	s := r.scan(&req.Header)
	f.Credential = s.credential
	r.locate(f, c, &s)
	f.Country = unpackCountry(r.country.lookup(f.Client))
	f.Network = r.network.lookup(f.Client)
}

// locate sets Peer, Client, Key, Proxied, JA4, KeyHash and Bucket, and watches for undeclared proxies.
func (r *Reader) locate(f *flow.Facts, c *wire.Conn, s *seen) {
	f.Peer = r.plain(c.Peer.Addr())
	f.Client, f.JA4, f.Proxied = f.Peer, c.JA4, c.Via.IsValid()
	declared := r.declared(f.Peer)
	walk := chain{header: &f.Header, name: r.header, form: r.form, field: f.Header.Len()}
	if declared {
		f.JA4 = ""
		if s.mark == 0 {
			at := r.client(&walk, f.Peer)
			f.Proxied = f.Proxied || at != f.Peer
			f.Client = at
		}
	}
	f.Key = prefix(f.Client)
	hash := r.hash(f.Key)
	f.KeyHash, f.Bucket = hash, uint32(hash>>32)

	claim, marked := uint64(0), false
	switch {
	case !declared:
		claim, marked = r.claimOf(&f.Header, s)
	case r.form == singleForm || r.declared(f.Client):
		return // a declared proxy's own request, or nothing said of who is behind the client
	default:
		claim, marked = r.claim(&walk)
	}
	if !marked {
		r.watch.bare(hash, f.Arrived)
		return
	}
	if u, say := r.watch.marked(hash, f.Client, claim, f.Arrived); say && r.notice != nil && !r.closed.Load() {
		u.Header = r.marks[s.mark]
		r.notice(u)
	}
}

// Undeclared reports whether peer, a visitor's address (Facts.Client; Facts.Peer is the same for whoever is not behind
// a declared proxy), looks like a proxy that the policy does not declare: it claimed to speak for about 20 or more
// distinct clients within 10 to 20 minutes, and at least 19 in 20 of its requests carried X-Forwarded-For, Forwarded,
// CF-Connecting-IP, X-Real-IP, True-Client-IP, Via, or the policy's own forwarding header. It stays so for an hour. A
// proxy that sends only Via is told by the distinct user agents behind it. IPv6 counts by /64.
//
// What it may be used for: a door in front of which somebody has put a CDN or load balancer, and has not said so,
// sees all visitors as one. Such a peer must never be banned, and not be limited as one client. It must be said loudly
// that it should be declared.
//
// What it must not be used for: anyone can forge 20 headers. So it may grant only what an attacker with many addresses
// has anyway, namely that limits and bans by address do not catch it. It must not admit, raise a priority, skip a rule,
// nor spare the peer what all visitors meet while the origin is hot (admission by priority, limits by credential,
// path or JA4, signatures). And the claimed addresses must never become keys: that would give a forger fresh keys
// without end, and let it spend those of others.
func (r *Reader) Undeclared(peer netip.Addr) bool {
	return r.watch.looksLike(r.hash(prefix(r.plain(peer))))
}

// plain is an address as the door compares it: unmapped, without zone, and loopback for a unix socket.
func (r *Reader) plain(a netip.Addr) netip.Addr {
	if !a.IsValid() {
		return r.localhost
	}
	return a.Unmap().WithZone("")
}

func (r *Reader) declared(a netip.Addr) bool { return r.proxies != nil && r.proxies.Contains(a) }

// prefix is the prefix by which an address is counted.
func prefix(a netip.Addr) netip.Prefix {
	n := 64
	if a.Is4() {
		n = 32
	}
	p, _ := a.Prefix(n)
	return p
}

func (r *Reader) hash(p netip.Prefix) uint64 {
	b := p.Addr().As16()
	var hi, lo uint64
	for i := range 8 {
		hi, lo = hi<<8|uint64(b[i]), lo<<8|uint64(b[8+i])
	}
	return r.peers.sum16(hi, lo)
}

// seen is what one pass over a header found.
type seen struct {
	credential  uint64
	mark        int // index in Reader.marks of the most telling field, -1 for none
	first, last int // the fields of that name, as indexes into the header
}

func (r *Reader) scan(h *flow.Header) seen {
	s := seen{mark: -1}
	var said [3]string // by kind of credential
	for i := range h.Len() {
		f := h.At(i)
		if r.wanted[min(len(f.Name), 63)]>>initial(f.Name)&1 == 0 {
			continue
		}
		switch {
		case flow.EqualFold(f.Name, "Cookie"):
			if said[2] == "" {
				said[2] = r.cookies.value(f.Value)
			}
		case flow.EqualFold(f.Name, "Authorization"):
			if said[0] == "" {
				said[0] = f.Value
			}
		case flow.EqualFold(f.Name, "X-Api-Key"):
			if said[1] == "" {
				said[1] = f.Value
			}
		default:
			s.note(r.markOf(f.Name), i)
		}
	}
	for kind, value := range said {
		if value != "" {
			s.credential = max(r.secrets[kind].sum(value), 1)
			break
		}
	}
	return s
}

// note takes a mark at a field into account.
func (s *seen) note(mark, field int) {
	switch {
	case mark < 0:
	case mark == s.mark:
		s.last = field
	case s.mark < 0 || mark < s.mark:
		s.mark, s.first, s.last = mark, field, field
	}
}

// markOf returns the index in r.marks of a field called name, -1 when it is none.
func (r *Reader) markOf(name string) int {
	for i := range r.marks {
		if flow.EqualFold(r.marks[i], name) {
			return i
		}
	}
	return -1
}

// claimOf returns a hash of whom a request without a declared proxy claims to come from. All of a forwarding field
// counts, because the proxy's own entry may name but another proxy. ok is false when nothing shows a proxy.
func (r *Reader) claimOf(h *flow.Header, s *seen) (hash uint64, ok bool) {
	if s.mark < 0 {
		return 0, false
	}
	hash = r.claims.sum(bounded(h.At(s.first).Value))
	if s.last != s.first {
		hash = mix(hash, r.claims.sum(bounded(h.At(s.last).Value)))
	}
	if r.marks[s.mark] == via {
		hash = mix(hash, r.claims.sum(bounded(h.Get("User-Agent"))))
	}
	return hash, true
}

// isToken reports whether s is a token (RFC 9110, section 5.6.2).
func isToken(s string) bool {
	for i := range len(s) {
		if c := s[i]; !nameByte[lower[c]] && strings.IndexByte("!#$%&'*+^`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}
