// Package site answers "which site and which route is a request for?".
package site

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"stormdoor/policy"
)

// Table finds the site of a host and the route of a path. It is immutable and safe for concurrent use.
type Table struct {
	exact    map[string]*Site
	wildcard map[string]*Site // by what follows "*."
	any      *Site
	all      []*Site
}

// Site is a site with its routes in the order in which they are tried.
type Site struct {
	Policy *policy.Site
	routes []Route // longest path first; exact before prefix, with methods before without
}

// Route is a part of a site.
type Route struct {
	Policy *policy.Route
	path   string // without the "*" of a prefix
	prefix bool
}

// New returns the table of the sites. The sites must have their names and hosts in lower case, as policy leaves them.
func New(sites []policy.Site) (*Table, error) {
	t := &Table{exact: map[string]*Site{}, wildcard: map[string]*Site{}}
	for i := range sites {
		s := &Site{Policy: &sites[i]}
		for j := range s.Policy.Routes {
			r := Route{Policy: &s.Policy.Routes[j]}
			r.path, r.prefix = strings.CutSuffix(r.Policy.Path, "*")
			s.routes = append(s.routes, r)
		}
		slices.SortStableFunc(s.routes, moreSpecific)
		for _, h := range s.Policy.Hosts {
			if err := t.add(h, s); err != nil {
				return nil, err
			}
		}
		t.all = append(t.all, s)
	}
	return t, nil
}

func (t *Table) add(host string, s *Site) error {
	old := t.any
	suffix, wild := strings.CutPrefix(host, "*.")
	switch {
	case host == "*":
		t.any = s
	case wild:
		old = t.wildcard[suffix]
		t.wildcard[suffix] = s
	default:
		old = t.exact[host]
		t.exact[host] = s
	}
	if old != nil {
		return fmt.Errorf("host %q belongs to the sites %q and %q: leave it in one of them", host, old.Policy.Name, s.Policy.Name)
	}
	return nil
}

func moreSpecific(a, b Route) int {
	return cmp.Or(
		cmp.Compare(len(b.path), len(a.path)),
		rank(a.prefix, b.prefix),
		rank(len(a.Policy.Methods) == 0, len(b.Policy.Methods) == 0))
}

func rank(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// All returns the sites in the order of the policy.
func (t *Table) All() []*Site { return t.all }

// Find returns the site that claims host: by its exact name, else by the wildcard with the longest suffix, else the
// site "*". It returns nil when no site does.
func (t *Table) Find(host string) *Site {
	if s := t.exact[host]; s != nil {
		return s
	}
	if len(t.wildcard) > 0 {
		for rest := host; ; {
			i := strings.IndexByte(rest, '.')
			if i < 0 {
				break
			}
			rest = rest[i+1:]
			if s := t.wildcard[rest]; s != nil {
				return s
			}
		}
	}
	return t.any
}

// Route returns the most specific route for a clean path and a method, nil for none.
func (s *Site) Route(path, method string) *policy.Route {
	for i := range s.routes {
		r := &s.routes[i]
		if r.matches(path) && (len(r.Policy.Methods) == 0 || slices.Contains(r.Policy.Methods, method)) {
			return r.Policy
		}
	}
	return nil
}

// matches holds "/api/*" to match "/api/x" and "/api" too, as people mean it.
func (r *Route) matches(path string) bool {
	if !r.prefix {
		return path == r.path
	}
	return strings.HasPrefix(path, r.path) || len(path)+1 == len(r.path) && strings.HasSuffix(r.path, "/") && strings.HasPrefix(r.path, path)
}
