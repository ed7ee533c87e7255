package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestFilesThatCannotBeRead: each command says of each file that cannot be read whose it is, which, why, and what to do, in
// one form.
func TestFilesThatCannotBeRead(t *testing.T) {
	good := writeFile(t, "stormdoor.yaml", "sites: [{hosts: [shop.example], origins: ['http://127.0.0.1:1']}]\n")
	missing, folder := filepath.Join(t.TempDir(), "missing.yaml"), t.TempDir()
	for _, c := range []struct {
		what string
		args []string // FILE stands for the file
	}{
		{"policy", []string{"check", "FILE"}},
		{"policy", []string{"serve", "-c", "FILE"}},
		{"policy", []string{"explain", "http://shop.example/", "-c", "FILE"}},
		{"policy", []string{"explain", "czb2ypvqxa6h8b2t", "-c", "FILE"}},
		{"policy", []string{"replay", good, "-c", "FILE"}},
		{"policy", []string{"waf", "explain", "http://shop.example/", "-c", "FILE"}},
		{"policy", []string{"waf", "cost", "-c", "FILE"}},
		{"access log", []string{"replay", "FILE", "-c", good}},
		{"requests", []string{"waf", "test", "FILE"}},
		{"requests", []string{"waf", "cost", "FILE"}},
		{"--body", []string{"waf", "explain", "http://shop.example/", "--body", "FILE"}},
	} {
		for file, why := range map[string]string{
			missing: "there is no such file; check its path",
			folder:  "it is a folder; name a file",
		} {
			var args []string
			for _, a := range c.args {
				args = append(args, strings.Replace(a, "FILE", file, 1))
			}
			want := "stormdoor: " + c.what + " " + file + ": " + why + "\n"
			if status, _, errs := command(t, t.Context(), args...); status != 1 || errs != want {
				t.Errorf("%v: status %d,\n%swant\n%s", c.args, status, errs, want)
			}
		}
	}
}

// TestWrongWordsOnTheCommandLine: what is not understood is named, and where to read on is the help of that very command.
func TestWrongWordsOnTheCommandLine(t *testing.T) {
	for _, c := range []struct{ args, said, try string }{
		{"chekc", `unexpected argument chekc, did you mean "check"?`, "stormdoor --help"},
		{"--foo", "unknown flag --foo", "stormdoor --help"},
		{"check", `expected "<file>"`, "stormdoor check --help"},
		{"check --foo", "unknown flag --foo", "stormdoor check --help"},
		{"check a b", "unexpected argument b", "stormdoor check --help"},
		{"serve --orign http://x", `unknown flag --orign, did you mean "--origin"?`, "stormdoor serve --help"},
		{"waf", `expected one of "explain"`, "stormdoor waf --help"},
		{"waf foo", "unexpected argument foo", "stormdoor waf --help"},
		{"waf test --foo", "unknown flag --foo", "stormdoor waf test --help"},
		{"completion foo", `<shell> must be one of "bash","zsh","fish" but got "foo"`, "stormdoor completion --help"},
	} {
		status, out, errs := command(t, t.Context(), strings.Fields(c.args)...)
		if status != 2 || out != "" || !strings.HasPrefix(errs, "stormdoor: "+c.said) || !strings.HasSuffix(errs, "\nTry: "+c.try+"\n") {
			t.Errorf("%s: status %d, %q, want %q and %q", c.args, status, errs, c.said, c.try)
		}
	}
}

// TestBinaryFilesReachNoTerminal: what is no text is told of without its bytes, which a terminal would obey.
func TestBinaryFilesReachNoTerminal(t *testing.T) {
	good := writeFile(t, "stormdoor.yaml", "sites: [{hosts: [shop.example], origins: ['http://127.0.0.1:1']}]\n")
	binary := writeFile(t, "b.yaml", "a\x1b]0;title\x07: \x1b[2J\x00\x01\xff\n\x1b[31m")
	lines := writeFile(t, "b.jsonl", "\x1b]0;title\x07\x1b[2J\x00\x01\xff\n")
	for _, args := range [][]string{
		{"check", binary}, {"serve", "-c", binary}, {"replay", lines, "-c", good},
		{"waf", "test", binary}, {"waf", "test", lines}, {"waf", "cost", binary},
	} {
		status, _, errs := command(t, t.Context(), args...)
		file := args[len(args)-1]
		if file == good {
			file = args[1]
		}
		if status != 1 || !strings.Contains(errs, file) || strings.ContainsAny(errs, "\x1b\x07\x00") {
			t.Errorf("%v: status %d, %q", args, status, errs)
		}
	}
}
