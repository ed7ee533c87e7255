package waf

import (
	"embed"
	"io/fs"
	"strings"

	"stormdoor/policy"
)

// ownRules are the door's own rules, which score as those of the Core Rule Set do: ids from 9,000,000 on, which neither
// the Core Rule Set nor its plugins use.
//
//go:embed rules/*.conf
var ownRules embed.FS

// ownFolder is the name under which a rule set includes them.
const ownFolder = "@stormdoor"

// openOwn opens one of ownRules by the name that an Include gives.
func openOwn(name string) (fs.File, error) {
	return ownRules.Open("rules" + strings.TrimPrefix(name, ownFolder))
}

// own reports whether a policy wants the door's own rules. Without the Core Rule Set nothing would add their scores up.
func own(w *policy.WAF) bool { return crs(w) && (w.OwnRules == nil || *w.OwnRules) }

// crs reports whether a policy wants the Core Rule Set.
func crs(w *policy.WAF) bool { return w.CoreRuleSet == nil || *w.CoreRuleSet }
