package listen

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
)

// The PROXY protocol is HAProxy's doc/proxy-protocol.txt, versions 1 (section 2.1) and 2 (section 2.2).
const (
	proxyLineMax  = 107  // the longest version 1 line, CR LF included
	proxyV2Fixed  = 16   // signature, version and command, family, length
	proxyV2Max    = 4096 // what we take after the fixed part; the protocol allows 65535
	proxyBuffer   = 256  // holds any version 1 line, and version 2 up to the end of the addresses
	proxyV2Inet4  = 12
	proxyV2Inet6  = 36
	proxyV2Local  = 0x20
	proxyV2Proxy  = 0x21
	proxyFamTCP4  = 0x11
	proxyFamTCP6  = 0x21
	proxyFamUnix  = 0x31
	proxyFamUnset = 0x00
)

var (
	proxyV1Start = []byte("PROXY ")
	proxyV2Start = []byte("\r\n\r\n\x00\r\nQUIT\n")
)

// errNoProxyHeader is for bytes that begin otherwise than either version does.
var errNoProxyHeader = errors.New("the connection does not begin with a PROXY header")

// proxyHeader is what a PROXY header says. Source is invalid when the sender speaks for itself (LOCAL) or does not know
// (UNKNOWN, UNSPEC, unix sockets).
type proxyHeader struct {
	source, target netip.AddrPort
}

// parseProxy reads the PROXY header at the start of b. It returns the header's size in bytes, which may be more than
// len(b) where only fields that nobody reads are missing, or 0 and no error when b is too short to tell.
func parseProxy(b []byte) (h proxyHeader, size int, err error) {
	switch {
	case startsAlike(b, proxyV1Start):
		if len(b) < len(proxyV1Start) {
			return h, 0, nil
		}
		return parseProxyLine(b)
	case startsAlike(b, proxyV2Start):
		if len(b) < proxyV2Fixed {
			return h, 0, nil
		}
		return parseProxyBinary(b)
	}
	return h, 0, errNoProxyHeader
}

// startsAlike reports whether b begins with start, as far as both go.
func startsAlike(b, start []byte) bool {
	n := min(len(b), len(start))
	return bytes.Equal(b[:n], start[:n])
}

func parseProxyLine(b []byte) (h proxyHeader, size int, err error) {
	end := bytes.IndexByte(b[:min(len(b), proxyLineMax)], '\n')
	if end < 0 {
		if len(b) >= proxyLineMax {
			return h, 0, fmt.Errorf("the PROXY line is longer than %d bytes", proxyLineMax)
		}
		return h, 0, nil
	}
	if b[end-1] != '\r' {
		return h, 0, errors.New("the PROXY line does not end with CR LF")
	}
	word := bytes.Split(b[len(proxyV1Start):end-1], []byte(" "))
	switch kind := string(word[0]); kind {
	case "UNKNOWN":
		return h, end + 1, nil
	case "TCP4", "TCP6":
		if len(word) != 5 {
			return h, 0, fmt.Errorf("the PROXY line has %d fields, want 6", len(word)+1)
		}
		if h.source, err = proxyEnd(kind, word[1], word[3]); err != nil {
			return h, 0, err
		}
		if h.target, err = proxyEnd(kind, word[2], word[4]); err != nil {
			return proxyHeader{}, 0, err
		}
		return h, end + 1, nil
	}
	return h, 0, fmt.Errorf("the PROXY line names the protocol %q, want TCP4, TCP6 or UNKNOWN", word[0])
}

func proxyEnd(kind string, addr, port []byte) (netip.AddrPort, error) {
	a, err := netip.ParseAddr(string(addr))
	if err != nil || a.Zone() != "" || a.Is4() != (kind == "TCP4") {
		return netip.AddrPort{}, fmt.Errorf("the PROXY line has the address %q, which is not one of %s", addr, kind)
	}
	p, err := strconv.ParseUint(string(port), 10, 16)
	if err != nil || len(port) > 1 && port[0] == '0' {
		return netip.AddrPort{}, fmt.Errorf("the PROXY line has the port %q", port)
	}
	return netip.AddrPortFrom(a.Unmap(), uint16(p)), nil
}

func parseProxyBinary(b []byte) (h proxyHeader, size int, err error) {
	command, family := b[12], b[13]
	length := int(binary.BigEndian.Uint16(b[14:]))
	if command != proxyV2Local && command != proxyV2Proxy {
		return h, 0, fmt.Errorf("the PROXY header has version and command %#02x, want 0x20 or 0x21", command)
	}
	if length > proxyV2Max {
		return h, 0, fmt.Errorf("the PROXY header announces %d bytes, more than %d", length, proxyV2Max)
	}
	size = proxyV2Fixed + length
	if command == proxyV2Local {
		return h, size, nil
	}
	var addr int
	switch family {
	case proxyFamTCP4:
		addr = proxyV2Inet4
	case proxyFamTCP6:
		addr = proxyV2Inet6
	case proxyFamUnix, proxyFamUnset:
		return h, size, nil
	default:
		return h, 0, fmt.Errorf("the PROXY header has the family %#02x, want TCP over IPv4 or IPv6", family)
	}
	if length < addr {
		return h, 0, fmt.Errorf("the PROXY header announces %d bytes, too few for its addresses", length)
	}
	if len(b) < proxyV2Fixed+addr {
		return h, 0, nil
	}
	body, n := b[proxyV2Fixed:proxyV2Fixed+addr], (addr-4)/2
	from, _ := netip.AddrFromSlice(body[:n])
	to, _ := netip.AddrFromSlice(body[n : 2*n])
	h.source = netip.AddrPortFrom(from.Unmap(), binary.BigEndian.Uint16(body[2*n:]))
	h.target = netip.AddrPortFrom(to.Unmap(), binary.BigEndian.Uint16(body[2*n+2:]))
	return h, size, nil
}
