// Command gen answers "how do the manual and the schema stay true?": it writes docs/manual/configuration.md and
// docs/stormdoor.schema.json from the types of package policy, their tags and their doc comments. Run it by go generate,
// or as "go run ./policy/gen" anywhere in the module.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run() error {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	files, err := generate(root)
	if err != nil {
		return err
	}
	for name, content := range files {
		file := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
		if err := os.WriteFile(file, content, 0o644); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	return nil
}

// generate returns the files by their path below root.
func generate(root string) (map[string][]byte, error) {
	l, err := readLanguage(filepath.Join(root, "policy"))
	if err != nil {
		return nil, err
	}
	schema, err := l.schema()
	if err != nil {
		return nil, err
	}
	return map[string][]byte{"docs/stormdoor.schema.json": schema, "docs/manual/configuration.md": l.manual()}, nil
}

// moduleRoot is the nearest folder upwards that holds go.mod.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", fmt.Errorf("no go.mod above the working folder: run this inside the module")
		}
		dir = up
	}
}
