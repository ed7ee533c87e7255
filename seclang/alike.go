package seclang

import (
	"net/netip"
	"slices"
	"strings"

	"stormdoor/seclang/internal/operator"
)

// alike tells for which clients a rule set says the same of the same request.
type alike struct {
	never bool                   // rules look at more than the request and whether its address is in a list
	lists []operator.AddressList // that an address is looked up in
}

// Alike reports whether what the rules say of a request of this client is what they say of the same request, byte for byte
// and of the same protocol, of every other client for which Alike is true, at any time and under any ID. It is false where
// a rule looks at the time, at the ID, at a port or at the environment, and for an address that is in a list of a rule's (@ipMatch).
func (r *Ruleset) Alike(client netip.Addr) bool {
	client = client.Unmap()
	return !r.alike.never && !slices.ContainsFunc(r.alike.lists, func(list operator.AddressList) bool { return list.Holds(client) })
}

// foreign are the variables that hold something else than the request.
func foreign(v *variable) bool {
	switch {
	case v == nil || v.tx || v.rule:
		return false
	case v.compute != nil:
		return strings.HasPrefix(v.name, "TIME")
	case v.from != nil:
		return slices.Contains(v.from, environment)
	}
	return slices.Contains([]single{remoteAddr, remotePort, serverAddr, serverPort, uniqueID}, v.one)
}

// learn adds what a rule that is evaluated looks at, with its chain.
func (a *alike) learn(r *rule) {
	for link := r; link != nil; link = link.next {
		for _, m := range link.macros() {
			a.never = a.never || slices.ContainsFunc(m.tokens, func(k token) bool { return foreign(k.v) })
		}
		for i := range link.targets {
			g := &link.targets[i]
			list, lookedUp := link.test.op.(operator.AddressList)
			switch {
			case !foreign(g.v):
			case lookedUp && g.v.name == "REMOTE_ADDR" && !g.count && link.argument.constant() && len(link.transforms) == 0 && !link.negated:
				a.lists = append(a.lists, list)
			default:
				a.never = true
			}
		}
	}
}

// macros are the texts of a link, or of a rule by itself, in which variables may stand.
func (r *rule) macros() []*macro {
	all := []*macro{&r.argument, &r.message, &r.logData, &r.location}
	for _, e := range r.effects {
		switch e := e.(type) {
		case *setVar:
			all = append(all, &e.name, &e.value)
		case *setEnv:
			all = append(all, &e.value)
		}
	}
	return all
}
