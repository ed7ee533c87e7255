package match

import (
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"

	coreruleset "github.com/corazawaf/coraza-coreruleset/v4"
)

// crsRule is an @rx operator of the OWASP Core Rule Set, and what it is applied to.
type crsRule struct {
	targets, expr string
	level         string // paranoia level
}

var (
	crsDirective = regexp.MustCompile(`(?s)^SecRule\s+(\S+|"[^"]*")\s+"!?@rx ((?:[^"\\]|\\.)*)"(.*)$`)
	crsLevel     = regexp.MustCompile(`paranoia-level/(\d)`)
)

// crsFiles returns the texts of the embedded Core Rule Set's files.
func crsFiles(tb testing.TB) []string {
	tb.Helper()
	names, err := fs.Glob(coreruleset.FS, "@owasp_crs/*.conf")
	if err != nil || len(names) == 0 {
		tb.Fatal("no rules", err)
	}
	var texts []string
	for _, name := range names {
		text, err := fs.ReadFile(coreruleset.FS, name)
		if err != nil {
			tb.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	return texts
}

// crsRules returns all @rx operators of the embedded Core Rule Set that hold no macros, in their order.
func crsRules(tb testing.TB) []crsRule {
	tb.Helper()
	var rules []crsRule
	for _, text := range crsFiles(tb) {
		level := "1"
		for line := range strings.Lines(strings.ReplaceAll(text, "\\\n", "")) {
			m := crsDirective.FindStringSubmatch(strings.TrimSpace(line))
			if m == nil || strings.Contains(m[2], "%{") {
				continue
			}
			if l := crsLevel.FindStringSubmatch(m[3]); l != nil {
				level = l[1]
			}
			rules = append(rules, crsRule{m[1], strings.ReplaceAll(m[2], `\"`, `"`), level})
		}
	}
	return rules
}

// crsByte finds an escape of a byte above ASCII.
var crsByte = regexp.MustCompile(`\\x[89a-fA-F][0-9a-fA-F]`)

// crsPattern returns an operator's argument as Coraza compiles it: an expression that names bytes above ASCII reads bytes.
func crsPattern(expr string) Pattern {
	if crsByte.MatchString(expr) {
		return Pattern{Expr: expr, Raw: true}
	}
	return Pattern{Expr: "(?sm)" + expr}
}

// crsPatterns returns the distinct patterns of the rules to keep.
func crsPatterns(tb testing.TB, keep func(crsRule) bool) []Pattern {
	var out []Pattern
	seen := map[string]bool{}
	for _, r := range crsRules(tb) {
		if keep(r) && !seen[r.expr] {
			seen[r.expr] = true
			out = append(out, crsPattern(r.expr))
		}
	}
	return out
}

// argsAt keeps the rules for arguments up to a paranoia level.
func argsAt(level string) func(crsRule) bool {
	return func(r crsRule) bool {
		return r.level <= level && slices.Contains(strings.Split(strings.Trim(r.targets, `"`), "|"), "ARGS")
	}
}
