package stormdoor

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"stormdoor/internal/gate/rule"
)

// walkTree calls f for every file of the project with its slash-separated path. Folders that begin with "." are left out.
func walkTree(t *testing.T, f func(file string)) {
	t.Helper()
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && file != "." && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		case !d.IsDir():
			f(filepath.ToSlash(file))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func readDoc(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// layout returns the folders that ARCHITECTURE.md names: the first word of each line of the block under "## Layout".
func layout(t *testing.T) []string {
	t.Helper()
	_, rest, ok := strings.Cut(readDoc(t, "ARCHITECTURE.md"), "## Layout")
	_, block, ok2 := strings.Cut(rest, "```\n")
	block, _, ok3 := strings.Cut(block, "```")
	if !ok || !ok2 || !ok3 {
		t.Fatal(`ARCHITECTURE.md has no block under "## Layout"`)
	}
	var named []string
	for line := range strings.Lines(block) {
		if f := strings.Fields(line); len(f) > 1 && strings.HasSuffix(f[0], "/") {
			named = append(named, strings.TrimSuffix(f[0], "/"))
		}
	}
	return named
}

func TestArchitectureNamesEachFolder(t *testing.T) {
	named := layout(t)
	if len(named) < 10 {
		t.Fatalf("only %d folders are named: %v", len(named), named)
	}
	for _, dir := range named {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			t.Errorf("ARCHITECTURE.md names %s/, which is not there", dir)
		}
	}
	missing := map[string]bool{}
	walkTree(t, func(file string) {
		dir := path.Dir(file)
		if !strings.HasSuffix(file, ".go") || dir == "." || strings.Contains("/"+dir+"/", "/testdata/") {
			return
		}
		for d := dir; d != "."; d = path.Dir(d) {
			if slices.Contains(named, d) {
				return // a folder inside a package's folder is part of it
			}
		}
		missing[dir] = true
	})
	for dir := range missing {
		t.Errorf("ARCHITECTURE.md does not name %s/", dir)
	}
}

func TestArchitectureFitsOnePage(t *testing.T) {
	if n := strings.Count(readDoc(t, "ARCHITECTURE.md"), "\n"); n > 110 {
		t.Errorf("ARCHITECTURE.md has %d lines; one page is at most 110", n)
	}
}

// TestSecurityCitesTestsThatExist holds every failure mode that SECURITY.md promises to the test that turns it on.
func TestSecurityCitesTestsThatExist(t *testing.T) {
	var sources strings.Builder
	walkTree(t, func(file string) {
		if strings.HasSuffix(file, "_test.go") || strings.HasPrefix(file, "state/statetest/") {
			sources.WriteString(readDoc(t, file))
		}
	})
	all := sources.String()
	cited := regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z]\w*`).FindAllString(readDoc(t, "SECURITY.md"), -1)
	if len(cited) < 20 {
		t.Errorf("only %d tests are cited", len(cited))
	}
	for _, name := range cited {
		if !strings.Contains(all, "\nfunc "+name+"(") {
			t.Errorf("SECURITY.md cites %s, and there is no such test", name)
		}
	}
}

var markdownLink = regexp.MustCompile(`\]\(([^)#\s]+)(?:#[^)]*)?\)`)

func TestLinksInDocumentsLeadSomewhere(t *testing.T) {
	walkTree(t, func(file string) {
		if !strings.HasSuffix(file, ".md") || strings.Contains(file, "testdata/") {
			return
		}
		for _, m := range markdownLink.FindAllStringSubmatch(readDoc(t, file), -1) {
			to := m[1]
			if strings.Contains(to, "://") || strings.HasPrefix(to, "mailto:") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), filepath.FromSlash(to))); err != nil {
				t.Errorf("%s links to %s, which is not there", file, to)
			}
		}
	})
}

// TestMetricsAreDocumented holds docs/manual/observing.md to the names of the metrics in the code, both ways.
func TestMetricsAreDocumented(t *testing.T) {
	inCode := map[string]bool{}
	quoted := regexp.MustCompile(`"(stormdoor_[a-z0-9_]+)"`)
	walkTree(t, func(file string) {
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return
		}
		for _, m := range quoted.FindAllStringSubmatch(readDoc(t, file), -1) {
			inCode[m[1]] = true
		}
	})
	inManual := map[string]bool{}
	for _, name := range regexp.MustCompile("`stormdoor_[a-z0-9_]+`").FindAllString(readDoc(t, "docs/manual/observing.md"), -1) {
		inManual[strings.Trim(name, "`")] = true
	}
	for name := range inCode {
		if !inManual[name] {
			t.Errorf("docs/manual/observing.md does not tell of the metric %s", name)
		}
	}
	for name := range inManual {
		if !inCode[name] {
			t.Errorf("docs/manual/observing.md tells of %s, which no code writes", name)
		}
	}
}

// TestLogFieldsAreDocumented looks for each field of the access log in the table of docs/manual/observing.md.
func TestLogFieldsAreDocumented(t *testing.T) {
	text := readDoc(t, "internal/loop/observe/line.go")
	manual := readDoc(t, "docs/manual/observing.md")
	fields := regexp.MustCompile(`(?:str|num|secs)\(b, "([a-z0-9_]+)"|,"([a-z]+)":`).FindAllStringSubmatch(text, -1)
	if len(fields) < 20 {
		t.Fatalf("found only %d fields in the code", len(fields))
	}
	for _, m := range fields {
		if name := m[1] + m[2]; !strings.Contains(manual, "`"+name+"`") {
			t.Errorf("docs/manual/observing.md does not tell of the log field %s", name)
		}
	}
}

// TestRuleLanguageIsDocumented holds the tables of docs/manual/judging.md to the rule language.
func TestRuleLanguageIsDocumented(t *testing.T) {
	manual := readDoc(t, "docs/manual/judging.md")
	var rows []string
	for _, v := range rule.Variables {
		rows = append(rows, "| `"+v.Name+"` | "+v.Type+" | "+v.Meaning+" |")
	}
	for _, f := range rule.Functions {
		rows = append(rows, "| `"+f.Form+"` | "+f.Meaning+" |")
	}
	for _, row := range rows {
		if !strings.Contains(manual, "\n"+row+"\n") {
			t.Errorf("docs/manual/judging.md lacks the row\n%s", row)
		}
	}
}

// TestNoticeNamesWhatIsLinked compares NOTICE with the modules that the code of cmd/stormdoor imports by itself.
func TestNoticeNamesWhatIsLinked(t *testing.T) {
	notice, gomod := readDoc(t, "NOTICE"), readDoc(t, "go.mod")
	var modules []string
	for _, m := range regexp.MustCompile(`(?m)^\t(\S+\.\S+/\S+) v`).FindAllStringSubmatch(gomod, -1) {
		modules = append(modules, m[1])
	}
	named := regexp.MustCompile(`(?m)^(\S+\.\S+/\S+) `).FindAllStringSubmatch(notice, -1)
	linked := linkedImports(t)
	for imported := range linked {
		owner := ""
		for _, m := range modules {
			if (imported == m || strings.HasPrefix(imported, m+"/")) && len(m) > len(owner) {
				owner = m
			}
		}
		if owner != "" && !slices.ContainsFunc(named, func(n []string) bool { return n[1] == owner }) {
			t.Errorf("NOTICE does not name %s, which is linked for %s", owner, imported)
		}
	}
	for _, n := range named {
		if !slices.Contains(modules, n[1]) {
			t.Errorf("NOTICE names %s, which go.mod does not require", n[1])
		}
	}
}

// linkedImports are the packages from outside that cmd/stormdoor reaches through packages of the project.
func linkedImports(t *testing.T) map[string]bool {
	t.Helper()
	outsiders, seen := map[string]bool{}, map[string]bool{}
	var visit func(dir string)
	visit = func(dir string) {
		if seen[dir] {
			return
		}
		seen[dir] = true
		files, err := filepath.Glob(filepath.Join(filepath.FromSlash(dir), "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			for _, im := range parsed.Imports {
				p, _ := strconv.Unquote(im.Path.Value)
				switch {
				case p == module:
					visit(".")
				case strings.HasPrefix(p, module+"/"):
					visit(strings.TrimPrefix(p, module+"/"))
				default:
					outsiders[p] = true
				}
			}
		}
	}
	visit("cmd/stormdoor")
	return outsiders
}
