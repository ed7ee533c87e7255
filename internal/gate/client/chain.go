package client

import (
	"math/bits"
	"net/netip"

	"stormdoor/flow"
)

// maxHops bounds how many entries of a forwarding header are read. A chain of that many declared proxies is a forgery
// or a loop.
const maxHops = 32

// form is the way in which a forwarding header is written.
type form uint8

const (
	listForm      form = iota // X-Forwarded-For: addresses, separated by commas
	forwardedForm             // Forwarded (RFC 7239)
	singleForm                // one address
)

// chain walks the entries of all fields of one forwarding header, the nearest proxy's first. The fields count as one
// list in their order (RFC 9110, section 5.3).
type chain struct {
	header *flow.Header
	name   string
	form   form
	field  int    // the fields before this index are still to come
	rest   string // what is left of the field under way
	inside bool   // rest is still to be read, even if it is empty
}

// next returns the next entry, ok false when there is none.
func (c *chain) next() (entry string, ok bool) {
	if !c.inside {
		for c.field--; c.field >= 0; c.field-- {
			if f := c.header.At(c.field); flow.EqualFold(f.Name, c.name) {
				c.rest, c.inside = f.Value, true
				break
			}
		}
		if !c.inside {
			return "", false
		}
	}
	if c.form == singleForm {
		c.inside = false
		return c.rest, true
	}
	c.rest, entry, c.inside = lastElement(c.rest, c.form == forwardedForm)
	return entry, true
}

// addr reads the address in an entry.
func (c *chain) addr(entry string) (netip.Addr, bool) {
	if c.form == forwardedForm {
		node, ok := forNode(entry)
		if !ok {
			return netip.Addr{}, false
		}
		entry = node
	}
	return parseAddr(entry)
}

// client returns who is at the far end of the declared proxies: peer, a declared proxy, says who asked it, and so on
// until one is not declared. That one is the client: what stands before it in the header is its own word and is not
// read. An entry that is no address ends the walk too, at the proxy that wrote it.
//
// When every entry names a declared proxy, the farthest one is the client: a declared proxy's own request.
func (r *Reader) client(c *chain, peer netip.Addr) netip.Addr {
	at := peer
	for range maxHops {
		entry, ok := c.next()
		if !ok {
			return at
		}
		next, ok := c.addr(entry)
		if !ok {
			return at
		}
		at = next
		if c.form == singleForm || !r.declared(at) {
			return at
		}
	}
	return at
}

// claim returns a hash of what the client's own request said of those behind it: the part of the chain that the walk
// left unread. ok is false when there is nothing.
func (r *Reader) claim(c *chain) (hash uint64, ok bool) {
	entry, ok := c.next()
	if !ok {
		return 0, false
	}
	return mix(r.claims.sum(bounded(entry)), r.claims.sum(bounded(c.rest))), true
}

// bounded is the part of a claim that is hashed. It bounds the cost of a long one.
func bounded(s string) string { return s[max(0, len(s)-512):] }

// mix joins two hashes, the order of which matters.
func mix(a, b uint64) uint64 { return bits.RotateLeft64(a, 29) ^ b }
