package policy

import (
	"fmt"
	"regexp"
	"slices"
	"time"
)

// wafField is a variable of SecLang, with a key or without.
var wafField = regexp.MustCompile(`^[A-Z_]+(:[^\s"',*]+\*?)?$`)

// deciding reports whether the Core Rule Set does not refuse, or not as it is set up, without the rule: those that set up
// (900 and 901), those that weigh what the others have found (949 and 959), and those that report it (980).
func deciding(rule int) bool {
	switch rule / 1000 {
	case 900, 901, 949, 959, 980:
		return true
	}
	return false
}

func (c *checker) waf(names siteNames) {
	w := &c.policy.WAF
	if w.CoreRuleSet != nil && !*w.CoreRuleSet && len(w.Files) == 0 && w.Mode != "" && w.Mode != WAFOff {
		c.bad("waf.core_rule_set", "leaves no rules to inspect by", "leave it out, or name files")
	}
	if w.CoreRuleSet != nil && !*w.CoreRuleSet && w.OwnRules != nil && *w.OwnRules && c.written("waf.own_rules") {
		c.bad("waf.own_rules", "scores by the Core Rule Set, which core_rule_set: false leaves out", "leave one of the two out")
	}
	if w.Detect != 0 && w.Detect < max(1, w.Paranoia) {
		c.bad("waf.detect", fmt.Sprintf("is below paranoia, which is %d", max(1, w.Paranoia)), "what counts is detected too: leave it out, or write a higher level")
	}
	c.shadow(w)
	for i := range w.Exclude {
		e, at := &w.Exclude[i], itemPath("waf.exclude", i)
		if e.Field != "" && !wafField.MatchString(e.Field) {
			c.bad(at+".field", quote(e.Field)+" is not a variable of SecLang", `write it like "ARGS:comment" or "ARGS:item*", without quotes or spaces in the name`)
		}
		if e.Path != "" {
			c.path(e.Path, at+".path")
		}
		if _, err := time.Parse(time.DateOnly, e.Until); e.Until != "" && err != nil {
			c.bad(at+".until", quote(e.Until)+" is not a day", "write it like 2026-12-31")
		}
		c.exclusionScope(e, at, names)
		if deciding(e.Rule) && !e.SwitchesOff {
			c.bad(at+".rule", fmt.Sprintf("excluding %d would switch the firewall off: it sets up or decides, and all others only score", e.Rule),
				"exclude the rules that scored, which the log names; or set mode: count; or say switches_off: true if that is what you want")
		}
	}
}

// shadow checks the rule set on trial.
func (c *checker) shadow(w *WAF) {
	s := w.Shadow
	if s == nil {
		return
	}
	without := func(b *bool) bool { return b != nil && !*b }
	switch rules := s.Rules(*w); {
	case without(rules.CoreRuleSet) && len(rules.Files) == 0:
		c.bad("waf.shadow.core_rule_set", "leaves no rules to judge by", "leave it out, or name files")
	case without(rules.CoreRuleSet) && rules.OwnRules != nil && *rules.OwnRules && c.written("waf.shadow.own_rules"):
		c.bad("waf.shadow.own_rules", "scores by the Core Rule Set, which core_rule_set: false leaves out", "leave one of the two out")
	}
}

// exclusionScope checks that the site and the route of an exclusion exist.
func (c *checker) exclusionScope(e *WAFExclusion, at string, names siteNames) {
	if !names.known {
		return
	}
	routes, where := names.all, ""
	if e.Site != "" {
		of, ok := names.routes[e.Site]
		if !ok {
			c.noSuch(at+".site", "site", e.Site, "", names.sites)
			return
		}
		routes, where = of, " in this site"
	}
	if e.Route != "" && !slices.Contains(routes, e.Route) {
		c.noSuch(at+".route", "route", e.Route, where, routes)
	}
}
