package match

import (
	"io/fs"
	"net/url"
	"strings"
	"testing"

	"github.com/corazawaf/coraza-coreruleset/v4/tests"
)

// crsPayloads returns the values that the Core Rule Set's own regression tests send, decoded where they are encoded.
func crsPayloads(tb testing.TB) []string {
	tb.Helper()
	var out []string
	seen := map[string]bool{}
	add := func(v string) {
		if !seen[v] && v != "" {
			seen[v] = true
			out = append(out, v)
		}
	}
	err := fs.WalkDir(tests.FS, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(name, ".yaml") {
			return err
		}
		text, err := fs.ReadFile(tests.FS, name)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(text)) {
			key, value, ok := strings.Cut(strings.TrimSpace(line), ": ")
			switch strings.Trim(key, `"`) {
			case "data", "uri", "User-Agent", "Cookie", "Referer":
			default:
				ok = false
			}
			if !ok {
				continue
			}
			value = strings.Trim(strings.ReplaceAll(value, `\"`, `"`), `"'`)
			for part := range strings.SplitSeq(value, "&") {
				if _, v, ok := strings.Cut(part, "="); ok {
					if d, err := url.QueryUnescape(v); err == nil {
						add(d)
					}
				}
			}
			add(value)
		}
		return nil
	})
	if err != nil || len(out) == 0 {
		tb.Fatal("no payloads", err)
	}
	return out
}
