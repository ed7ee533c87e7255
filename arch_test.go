package stormdoor

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// importOrder is the order of imports, ground floor first. A package imports only lines above its own; packages on one
// line never import each other. A pattern "x/*" stands for the packages below x.
const importOrder = `
flow internal/reactor
seclang/internal/*
policy state seclang internal/wire
internal/gate/* internal/loop/observe internal/loop/tape internal/loop/scene
.
internal/drill
cmd/stormdoor
`

// outside lists folders with Go files that stand beside the house: tests and tools that may import anything.
var outside = []string{"e2e", "bench"}

const module = "stormdoor"

func TestImportsPointDown(t *testing.T) {
	floors := map[string]int{}
	for i, line := range strings.Split(strings.TrimSpace(importOrder), "\n") {
		for _, p := range strings.Fields(line) {
			floors[p] = i
		}
	}
	floor := func(pkg string) (int, bool) {
		if f, ok := floors[pkg]; ok {
			return f, true
		}
		for dir := path.Dir(pkg); dir != "."; dir = path.Dir(dir) {
			if f, ok := floors[dir+"/*"]; ok {
				return f, true
			}
			if f, ok := floors[dir]; ok { // a folder inside a package's folder is part of it
				return f, true
			}
		}
		return 0, false
	}
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(file, ".go") {
			if d != nil && d.IsDir() && (strings.HasPrefix(d.Name(), ".") && file != "." || d.Name() == "testdata") {
				return fs.SkipDir
			}
			return err
		}
		pkg := filepath.ToSlash(filepath.Dir(file))
		for _, o := range outside {
			if pkg == o || strings.HasPrefix(pkg, o+"/") {
				return nil
			}
		}
		mine, ok := floor(pkg)
		if !ok {
			t.Errorf("%s: package %s has no line in importOrder: add it where it belongs", file, pkg)
			return nil
		}
		ast, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, im := range ast.Imports {
			p, _ := strconv.Unquote(im.Path.Value)
			switch {
			case p == module:
				p = "."
			case strings.HasPrefix(p, module+"/"):
				p = strings.TrimPrefix(p, module+"/")
			default:
				if pkg == "flow" && !strings.HasSuffix(file, "_test.go") && (p == "net/http" || strings.Contains(p, ".")) {
					t.Errorf("%s imports %s: flow knows no protocol library", file, p)
				}
				continue
			}
			if p == pkg || strings.HasSuffix(file, "_test.go") && p == path.Dir(pkg) {
				continue
			}
			theirs, ok := floor(p)
			inside := strings.HasPrefix(p, pkg+"/") || strings.HasPrefix(pkg, p+"/")
			if !ok || theirs > mine || theirs == mine && !inside {
				t.Errorf("%s imports %s, which does not stand below it in importOrder", file, p)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
