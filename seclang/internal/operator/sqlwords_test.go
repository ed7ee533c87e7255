//go:build oracle

package operator

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestSQLGateAgainstTheTable reads libinjection's table from its source: every fingerprint must hold a token that the gate
// asks for, and every word that gives one of these tokens must be in sqlWords.
func TestSQLGateAgainstTheTable(t *testing.T) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/corazawaf/libinjection-go").Output()
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "sqli_data.go"))
	if err != nil {
		t.Fatal(err)
	}
	entries := regexp.MustCompile(`(?m)^\s*"((?:[^"\\]|\\.)*)":\s*'(.)'`).FindAllStringSubmatch(string(source), -1)
	if len(entries) < 9000 {
		t.Fatalf("the table has %d entries: it is written otherwise now", len(entries))
	}
	const (
		byWords = "kUBEtATv&" // what sqlWords give: all of these, in a fingerprint in upper case
		bySigns = "SC(){}&XV" // what quotes, comments, brackets, logic operators and variables give
		gated   = bySigns + "KUBETAV"
	)
	words := strings.Fields(sqlWords)
	for _, e := range entries {
		key, class := e[1], e[2]
		switch {
		case class == "F" && !strings.ContainsAny(key[1:], gated):
			t.Errorf("fingerprint %s holds nothing that the gate asks for", key[1:])
		case class != "F" && strings.Contains(byWords, class) && key != "&&" && key != "||":
			if first, _, _ := strings.Cut(strings.ToLower(key), " "); !slices.Contains(words, first) {
				t.Errorf("%q is of class %s and %q is not in sqlwords.txt", key, class, first)
			}
		}
	}
}
