package operator

import (
	"bytes"
	"net/netip"
	"strings"
)

// ipMatch reports whether a value is an address in one of some networks.
type ipMatch []netip.Prefix

func compileIPMatch(argument string, _ ReadFile) (Operator, error) {
	var o ipMatch
	for item := range strings.SplitSeq(argument, ",") {
		if p, ok := parseNetwork(strings.TrimSpace(item)); ok {
			o = append(o, p)
		}
	}
	return o, nil
}

func compileIPMatchFromFile(argument string, file ReadFile) (Operator, error) {
	lines, err := readLines(argument, file)
	if err != nil {
		return nil, err
	}
	return compileIPMatch(strings.Join(lines, ","), nil)
}

// parseNetwork reads an address or a network in CIDR notation. An IPv4 address written as IPv6 is IPv4.
func parseNetwork(s string) (netip.Prefix, bool) {
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return netip.Prefix{}, false
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, false
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), true
}

func (o ipMatch) Match(value, _ string, _ *Captures) bool {
	a, err := netip.ParseAddr(value)
	if err != nil || a.Zone() != "" {
		return false
	}
	return o.Holds(a.Unmap())
}

// Holds reports whether an address is in the list. It must not be IPv4 written as IPv6.
func (o ipMatch) Holds(a netip.Addr) bool {
	for _, p := range o {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// AddressList is an operator that looks a value up in a list of addresses: @ipMatch and its kin.
type AddressList interface {
	Operator
	Holds(netip.Addr) bool
}

func (ipMatch) Gate() (Gate, bool) { return Gate{}, false }

// readLines reads a data file: a phrase a line, without the space around it; lines that are empty or begin with # do not
// count.
func readLines(name string, file ReadFile) ([]string, error) {
	if name == "" {
		return nil, errNoArgument
	}
	data, err := file(name)
	if err != nil {
		return nil, err
	}
	var lines []string
	for line := range bytes.Lines(data) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' {
			lines = append(lines, string(line))
		}
	}
	return lines, nil
}
