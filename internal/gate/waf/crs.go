package waf

import (
	"embed"
	"io/fs"
	"strings"
)

// coreRuleSet is the OWASP Core Rule Set as it is published, and the settings that Coraza recommends for it. crs/README.md says
// where they come from.
//
//go:embed crs/rules crs/crs-setup.conf.example crs/coraza.conf-recommended
var coreRuleSet embed.FS

// crsFolder is the name under which a rule set includes the rules.
const crsFolder = "@owasp_crs"

// openCRS opens one of coreRuleSet by the name that an Include gives.
func openCRS(name string) (fs.File, error) {
	if rest, ok := strings.CutPrefix(name, crsFolder); ok {
		return coreRuleSet.Open("crs/rules" + rest)
	}
	return coreRuleSet.Open("crs/" + strings.TrimPrefix(name, "@"))
}
