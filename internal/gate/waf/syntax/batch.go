package syntax

import (
	"regexp"
	"strings"
)

// conditional is a statement of cmd.exe with what it tests, and the command that it runs.
var conditional = regexp.MustCompile(`(?i)(?:^|[&|(\n"'])\s*if(?:\s*/i)?\s*(?:not\s+)?(?:exist\s+\S+|defined\s+\w+|errorlevel\s+-?\d+|cmdextversion\s+\d+|[^\s=]+\s*(?:==|\bequ\b|\bneq\b|\blss\b|\bleq\b|\bgtr\b|\bgeq\b)\s*[^\s=]+)\s+[(@]*\s*([\w.\\:/-]+)`)

// loop is a loop of cmd.exe.
var loop = regexp.MustCompile(`(?i)\bfor\b[^\n]{0,300}?%+\S+\s+in\s*\(`)

// Batch reports whether cmd.exe would find a condition or a loop in a value.
func Batch(s string) bool {
	if strings.IndexByte(s, '%') >= 0 && loop.MatchString(s) {
		return true
	}
	if !strings.Contains(s, "==") && !anyFold(s, "exist", "defined", "errorlevel", "cmdextversion", " equ ", " neq ", " lss ", " leq ", " gtr ", " geq ") {
		return false
	}
	for _, m := range conditional.FindAllStringSubmatch(s, -1) {
		command := strings.ToLower(m[1][strings.LastIndexAny(m[1], `/\`)+1:])
		command = strings.TrimSuffix(command, ".exe")
		if alone[command] || active[command] || quiet[command] || strings.ContainsAny(m[1], `\:`) {
			return true
		}
	}
	return false
}
