// Package lists answers "is this client on a list?".
package lists

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/gaissmai/bart"

	"stormdoor/flow"
	"stormdoor/policy"
)

// Name is the stage's name.
const Name = "lists"

// Options are what a Stage needs to know beside the lists. The zero value is usable.
type Options struct {
	// Trusted are the declared proxies: a refuse list that names one of them would shut out everybody behind it.
	Trusted []policy.Prefix
	// Own are further prefixes that no refuse list may touch: own addresses, health checks.
	Own []policy.Prefix
}

// Stage judges clients by the lists of a policy. It is immutable and safe for concurrent use.
//
// Allow lists win over refuse lists, whatever their order and however narrow the refusal is. Lists on a dry run count
// only where no other has an opinion, and allow lists first there too. Among the lists that name a client alike, the
// verdict shows the one with the narrowest prefix, then a country, then a network.
type Stage struct {
	allow, refuse, dryAllow, dryRefuse clients
	names                              []string
	files                              []string
	aside                              Aside
}

// clients are who is named by the lists of one kind. Values are the number of the list in the policy, plus one.
type clients struct {
	any       bool
	addresses bart.Table[uint32]
	countries map[string]uint32
	networks  map[uint32]uint32
}

// New compiles lists and reads their files. It reports every mistake at once, up to 20 for each file; a caller that holds
// an older Stage keeps it then. What a refuse list's file names against the never-block floor is not a mistake but put
// aside row by row, see Aside.
//
// A file holds one address or prefix a line; "#" begins a comment. Bad data must neither open nor close the door: a file
// that names nobody is a mistake unless a line in it says "# empty", one whose last line has no end may be cut off and is
// a mistake, and so are one of more than 4,000,000 rows or 256 MiB, a prefix with bits behind its length, and in an allow
// list's file a prefix wider than an IPv4 /8 or an IPv6 /19.
func New(ls []policy.List, o Options) (*Stage, error) {
	s := &Stage{files: Files(ls)}
	floor := newFloor(o)
	var errs []error
	for i := range ls {
		l := &ls[i]
		s.names = append(s.names, strings.Clone(l.Name))
		name := fmt.Sprintf("list %q", l.Name)
		if l.Name == "" {
			name = fmt.Sprintf("list number %d", i+1)
			errs = append(errs, policy.At(policy.Item("lists", i), fmt.Errorf("%s has no name: give it one, verdicts show it", name)))
		}
		set, err := s.kind(l)
		if err == nil {
			err = s.fill(set, l, uint32(i+1), floor)
		}
		errs = append(errs, policy.Of(name, policy.Item("lists", i), err))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return s, nil
}

// kind returns the set that the list belongs to.
func (s *Stage) kind(l *policy.List) (*clients, error) {
	switch {
	case l.Action == policy.ListAllows && l.DryRun:
		return &s.dryAllow, nil
	case l.Action == policy.ListAllows:
		return &s.allow, nil
	case l.Action == policy.ListRefuses && l.DryRun:
		return &s.dryRefuse, nil
	case l.Action == policy.ListRefuses:
		return &s.refuse, nil
	}
	return nil, fmt.Errorf("its action is %q: write allow or refuse", l.Action)
}

func (s *Stage) fill(set *clients, l *policy.List, number uint32, floor *floor) error {
	var errs []error
	if len(l.Addresses)+len(l.Networks)+len(l.Countries) == 0 && l.File == "" {
		errs = append(errs, errors.New("it names nobody: give it addresses, file, networks or countries"))
	}
	refuses := l.Action == policy.ListRefuses
	for i, p := range l.Addresses {
		prefix, err := unmap(p.Prefix)
		if err == nil && refuses {
			err = floor.written(prefix)
		}
		if err != nil {
			errs = append(errs, policy.At(policy.Item("addresses", i), fmt.Errorf("addresses: %s: %w", p.Prefix, err)))
			continue
		}
		set.add(prefix, number)
	}
	for i, c := range l.Countries {
		errs = append(errs, policy.At(policy.Item("countries", i), set.addCountry(c, number)))
	}
	for i, n := range l.Networks {
		if n == 0 {
			errs = append(errs, policy.At(policy.Item("networks", i), errors.New("networks: 0 is no autonomous system: it would stand for every client whose network is not known")))
			continue
		}
		put(&set.networks, n, number)
		set.any = true
	}
	if l.File != "" {
		f := file{list: l.Name, path: l.File, set: set, number: number, aside: &s.aside}
		if refuses {
			f.floor = floor
		}
		errs = append(errs, policy.At("file", f.read()))
	}
	return errors.Join(errs...)
}

// unmap returns the prefix as addresses on the path are written: an IPv4 prefix in IPv6 form becomes IPv4.
func unmap(p netip.Prefix) (netip.Prefix, error) {
	if !p.IsValid() {
		return p, errors.New("this is no address or prefix")
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return p, errors.New("it mixes IPv4 and IPv6: write the IPv4 prefix plainly, such as 192.0.2.0/24")
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}

// add puts a prefix into the set; the first list that names it is kept. It reports whether it is new.
func (c *clients) add(p netip.Prefix, number uint32) bool {
	c.any = true
	if _, ok := c.addresses.Get(p); ok {
		return false
	}
	c.addresses.Insert(p, number)
	return true
}

func (c *clients) addCountry(code string, number uint32) error {
	up := strings.ToUpper(code)
	if len(up) != 2 || up[0] < 'A' || up[0] > 'Z' || up[1] < 'A' || up[1] > 'Z' {
		return fmt.Errorf("countries: %q is no code of ISO 3166-1: write two letters, such as NL", code)
	}
	put(&c.countries, up, number)
	c.any = true
	return nil
}

func put[K comparable](m *map[K]uint32, k K, number uint32) {
	if *m == nil {
		*m = map[K]uint32{}
	}
	if _, ok := (*m)[k]; !ok {
		(*m)[k] = number
	}
}

// find returns the number of a list that names the client, 0 for none.
func (c *clients) find(client netip.Addr, f *flow.Facts) uint32 {
	if !c.any {
		return 0
	}
	if n, ok := c.addresses.Lookup(client); ok {
		return n
	}
	if f.Country != "" && c.countries != nil {
		if n := c.countries[f.Country]; n != 0 {
			return n
		}
	}
	if f.Network != 0 && c.networks != nil {
		return c.networks[f.Network]
	}
	return 0
}

// Name implements flow.Stage.
func (s *Stage) Name() string { return Name }

// Decide implements flow.Stage. Its error is always nil.
func (s *Stage) Decide(_ context.Context, f *flow.Facts) (flow.Verdict, error) {
	client := f.Client.Unmap()
	if n := s.allow.find(client, f); n != 0 {
		return s.verdict(flow.Admit, n, false), nil
	}
	if n := s.refuse.find(client, f); n != 0 {
		return s.verdict(flow.Refuse, n, false), nil
	}
	if n := s.dryAllow.find(client, f); n != 0 {
		return s.verdict(flow.Admit, n, true), nil
	}
	if n := s.dryRefuse.find(client, f); n != 0 {
		return s.verdict(flow.Refuse, n, true), nil
	}
	return flow.Verdict{}, nil
}

func (s *Stage) verdict(a flow.Action, number uint32, dry bool) flow.Verdict {
	v := flow.Verdict{Action: a, Reason: flow.ListRefuse, Rule: s.names[number-1], Dry: dry}
	if a == flow.Admit {
		v.Reason = flow.ListAllow
	}
	return v
}

// Allows reports whether an allow list names the address itself, for whoever has nothing but an address: a listener, a
// firewall. Countries and networks do not count, nor do lists on a dry run.
func (s *Stage) Allows(a netip.Addr) bool {
	return s.allow.any && s.allow.addresses.Contains(a.Unmap())
}

// Files are the files of the lists, each once, in the order of the policy. Their change changes the lists.
func (s *Stage) Files() []string { return slices.Clone(s.files) }

// Files is what Stage.Files returns, for lists of which no Stage could be made.
func Files(ls []policy.List) (files []string) {
	for i := range ls {
		if f := ls[i].File; f != "" && !slices.Contains(files, f) {
			files = append(files, f)
		}
	}
	return files
}

// Aside is what New put aside: rows of refuse lists' files that go against the never-block floor. They are not in force;
// whoever makes the Stage tells the operator.
type Aside struct {
	Count int
	Rows  []Row // the first 100
}

// Row is a row of a file.
type Row struct {
	List, File string
	Line       int
	Text       string
	// Why says in words what is wrong with refusing it.
	Why string
}

// String returns the row as a line of a log.
func (r Row) String() string {
	return fmt.Sprintf("list %q: %s:%d: %s is put aside: %s", cmp.Or(r.List, "(no name)"), r.File, r.Line, r.Text, r.Why)
}

// Aside returns what was put aside.
func (s *Stage) Aside() Aside { return Aside{s.aside.Count, slices.Clone(s.aside.Rows)} }

func (a *Aside) add(r Row) {
	a.Count++
	if len(a.Rows) < 100 {
		a.Rows = append(a.Rows, r)
	}
}
