package policy

import (
	"fmt"
	"slices"
	"strings"
)

func (c *checker) lists() {
	seen := map[string]string{}
	allows := slices.ContainsFunc(c.policy.Lists, func(l List) bool { return l.Action == ListAllows })
	for i := range c.policy.Lists {
		l, at := &c.policy.Lists[i], itemPath("lists", i)
		if l.Name != "" {
			c.name(at+".name", l.Name)
			c.twice(seen, l.Name, at+".name", "list", "give one of the lists another name")
		}
		if len(l.Addresses)+len(l.Networks)+len(l.Countries) == 0 && l.File == "" && !c.report.brokenUnder(at) {
			c.bad(at, "the list names nobody", "give it addresses, file, networks or countries")
		}
		if len(l.Networks) > 0 && c.policy.Geo.Network == "" {
			c.bad(at+".networks", "networks are not known without a database", "name one in geo.network, such as /var/lib/geo/asn.mmdb")
		}
		if len(l.Countries) > 0 && c.policy.Geo.Country == "" {
			c.bad(at+".countries", "countries are not known without a database", "name one in geo.country, such as /var/lib/geo/country.mmdb")
		}
		for j, country := range l.Countries {
			if country != "" && !isCountry(country) {
				c.bad(itemPath(at+".countries", j), quote(country)+" is not a country's code of ISO 3166-1", countryHint(country))
			}
		}
		if l.Action == ListRefuses && !l.DryRun && !allows {
			c.everybody(l, at)
		}
	}
}

// everybody refuses a list that would shut out all visitors.
func (c *checker) everybody(l *List, at string) {
	for j, p := range l.Addresses {
		if p.IsValid() && p.Bits() == 0 {
			c.bad(itemPath(at+".addresses", j), quote(p.String())+" refuses everybody", "add a list that allows those who may come in, or remove it")
		}
	}
}

func (c *checker) limits(names siteNames) {
	seen := map[string]string{}
	for i := range c.policy.Limits {
		l, at := &c.policy.Limits[i], itemPath("limits", i)
		if l.Name != "" {
			c.name(at+".name", l.Name)
			c.twice(seen, l.Name, at+".name", "limit", "give one of the limits another name")
		}
		c.scope(l, at, names)
		c.key(l.By, at+".by")
		for j, p := range l.Paths {
			c.path(p, itemPath(at+".paths", j))
		}
		c.methods(l.Methods, at+".methods")
		c.amounts(l, at)
		for _, f := range []string{"max_wait", "max_queue"} {
			if (l.Over == "" || l.Over == OverRefuse) && c.written(at+"."+f) {
				c.bad(at+"."+f, "has no meaning for a limit that refuses", "write over: queue or over: throttle, or remove the line")
			}
		}
	}
}

// scope checks that the sites and routes of a limit exist.
func (c *checker) scope(l *Limit, at string, names siteNames) {
	if !names.known {
		return
	}
	routes, where := names.all, ""
	if len(l.Sites) > 0 {
		routes, where = nil, " in these sites"
	}
	for j, s := range l.Sites {
		of, ok := names.routes[s]
		routes = append(routes, of...)
		if s != "" && !ok {
			c.noSuch(itemPath(at+".sites", j), "site", s, "", names.sites)
		}
	}
	if len(l.Routes) == 0 {
		return
	}
	exist := map[string]bool{"": true} // a blank is reported elsewhere
	for _, r := range routes {
		exist[r] = true
	}
	for j, r := range l.Routes {
		if !exist[r] {
			c.noSuch(itemPath(at+".routes", j), "route", r, where, routes)
		}
	}
}

// noSuch reports a reference to something that does not exist.
func (c *checker) noSuch(path, what, name, where string, words []string) {
	hint := ""
	if !c.report.full() { // looking for the nearest name costs the more the more there are
		hint = didYouMean(name, words, "the "+what+"s are")
	}
	c.bad(path, "there is no "+what+" "+quote(name)+where, hint)
}

func (c *checker) key(by LimitKey, at string) {
	keys := []string{string(ByClient), string(ByCredential), string(ByHost), string(ByPath), string(ByJA4)}
	if by == "" || slices.Contains(keys, string(by)) {
		return
	}
	name, ok := strings.CutPrefix(string(by), "header:")
	switch {
	case ok && isToken(name):
	case ok:
		c.bad(at, quote(string(by))+" does not name a header", `write it like "header:x-api-key"`)
	default:
		c.bad(at, quote(string(by))+" is none of "+strings.Join(keys, ", ")+" and header:NAME", mayMean(string(by), keys))
	}
}

// amounts checks a limit's rate and burst against what it charges.
func (c *checker) amounts(l *Limit, at string) {
	rate, burst := at+".rate", at+".burst"
	charge := l.Charge
	if charge == "" {
		charge = ChargeRequests
	}
	if c.written(rate) || l.Rate != (Rate{}) {
		switch {
		case l.Rate.Amount <= 0 && l.Rate.Per >= 0:
			c.bad(rate, "a rate of zero would refuse everybody", "to refuse, write a list or a rule; to let everything pass, remove the limit")
		case l.Rate.Per <= 0:
			c.bad(rate, "is not a rate: its time must be above zero", rateHint)
		}
	} else if !c.written(rate) {
		c.bad(rate, "is missing", rateHint)
	}
	if (c.written(burst) || l.Burst != 0) && l.Burst < 1 {
		c.bad(burst, "is less than one "+chargeUnit(charge)+", so nothing would ever pass", "the least is 1, and ten seconds' worth is in force without the line")
	}
	if c.report.isBroken(at + ".charge") {
		return
	}
	if text := c.raw(rate); text != "" {
		if _, u, err := parseRate(text); err == nil {
			c.fits(u, charge, rate, text, rateExamples)
		}
	}
	if text := c.raw(burst); text != "" {
		if _, u, err := parseAmount(text); err == nil {
			c.fits(u, charge, burst, text, burstExamples)
		}
	}
}

func rateExamples(c Charge) string {
	return map[Charge]string{ChargeRequests: "100/s", ChargeBytes: "10MB/s", ChargeOriginTime: "500ms/s", ChargeInspection: "20ms/s"}[c]
}

func burstExamples(c Charge) string {
	return map[Charge]string{ChargeRequests: "1000", ChargeBytes: "100MB", ChargeOriginTime: "5s", ChargeInspection: "200ms"}[c]
}

func chargeUnit(c Charge) string {
	return map[Charge]string{ChargeRequests: "request", ChargeBytes: "byte", ChargeOriginTime: "millisecond", ChargeInspection: "millisecond"}[c]
}

// fits reports a number in a unit that does not go with the charge.
func (c *checker) fits(u unit, charge Charge, at, text string, example func(Charge) string) {
	suits := [...]Charge{unitCount: ChargeRequests, unitBytes: ChargeBytes, unitTime: ChargeOriginTime}[u]
	if suits == charge || suits == ChargeOriginTime && charge == ChargeInspection || chargeUnit(charge) == "" {
		return
	}
	what := map[unit]string{unitCount: "a plain number", unitBytes: "bytes", unitTime: "time"}[u]
	hint := "write it like " + example(charge)
	if charge == ChargeRequests {
		hint += ", or add charge: " + string(suits)
	}
	c.bad(at, fmt.Sprintf("%s counts %s, but the limit charges %s", quote(text), what, charge), hint)
}

func (c *checker) rules() {
	seen := map[string]string{}
	for i := range c.policy.Rules {
		r, at := &c.policy.Rules[i], itemPath("rules", i)
		if r.Name != "" {
			c.name(at+".name", r.Name)
			c.twice(seen, r.Name, at+".name", "rule", "give one of the rules another name")
		}
		if strings.TrimSpace(r.When) == "" && r.When != "" {
			c.bad(at+".when", "is empty", "write a condition, such as path.startsWith('/wp-')")
		}
		if r.Then != RuleRefuses && r.Then != "" && c.written(at+".status") {
			c.bad(at+".status", "has no meaning for a rule that does not refuse", "write then: refuse, or remove the line")
		}
	}
}
