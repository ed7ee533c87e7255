package waf

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"stormdoor/policy"
)

// The ids of what this package adds to a rule set, in the range that SecLang leaves to local rules.
const (
	idSetup  = 10_000
	idBounds = 10_001
)

// directives writes the policy as SecLang: the engine's settings, the Core Rule Set with its levels and the door's
// own rules, and the operator's files.
func directives(w *policy.WAF) string {
	var b strings.Builder
	if crs(w) {
		b.WriteString("Include @coraza.conf-recommended\n")
	}
	b.WriteString("SecRuleEngine On\nSecRequestBodyAccess On\nSecResponseBodyAccess Off\n")
	action := "ProcessPartial"
	if w.OverBody == policy.OverRefused {
		action = "Reject"
	}
	fmt.Fprintf(&b, "SecRequestBodyLimit %d\nSecRequestBodyLimitAction %s\nSecArgumentsLimit %d\n", w.InspectBody, action, mostFields)
	fmt.Fprintf(&b, "SecAction \"id:%d,phase:1,nolog,pass,setvar:tx.blocking_paranoia_level=%d,setvar:tx.detection_paranoia_level=%d,setvar:tx.inbound_anomaly_score_threshold=%d\"\n",
		idSetup, w.Paranoia, max(w.Paranoia, w.Detect), w.Threshold)
	if crs(w) {
		b.WriteString("Include @crs-setup.conf.example\n")
		if own(w) {
			graphQLBounds(&b, &w.GraphQL)
			fmt.Fprintf(&b, "Include %s/*.conf\n", ownFolder) // before the rules that add the scores up
		}
		b.WriteString("Include @owasp_crs/*.conf\n")
	}
	for _, f := range w.Files {
		if abs, err := filepath.Abs(f); err == nil {
			f = abs
		}
		fmt.Fprintf(&b, "Include %s\n", f)
	}
	for i := range w.Exclude {
		if removes(&w.Exclude[i]) {
			fmt.Fprintf(&b, "SecRuleRemoveById %d\n", w.Exclude[i].Rule)
		}
	}
	return b.String()
}

// graphQLBounds writes what the rules 9001100 to 9001105 compare with.
func graphQLBounds(b *strings.Builder, g *policy.GraphQL) {
	introspection := 1
	if g.Introspection == policy.IntrospectionRefused {
		introspection = 0
	}
	fmt.Fprintf(b, "SecAction \"id:%d,phase:1,nolog,pass,setvar:tx.graphql_depth=%d,setvar:tx.graphql_aliases=%d,setvar:tx.graphql_fields=%d,setvar:tx.graphql_cost=%d,setvar:tx.graphql_documents=%d,setvar:tx.graphql_introspection=%d\"\n",
		idBounds, g.Depth, g.Aliases, g.Fields, g.Cost, g.Documents, introspection)
}

// mostFields is how many fields of a request are read. Who sends more is refused by a rule of the door's own, for what comes
// behind the last one would reach the origin uninspected.
const mostFields = 16 << 10

// files is the file system that Include reads: the Core Rule Set under "@", and the operator's files by their paths, whose
// leading slash an fs.FS does not know.
type files struct{}

func (files) Open(name string) (fs.File, error) {
	if strings.HasPrefix(name, ownFolder) {
		return openOwn(name)
	}
	if strings.HasPrefix(name, "@") {
		return openCRS(name)
	}
	return os.Open("/" + name)
}
