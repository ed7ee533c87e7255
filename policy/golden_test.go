package policy

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares got with the text file beside the fixture.
func golden(t *testing.T, file, got string) {
	t.Helper()
	txt := strings.TrimSuffix(file, ".yaml") + ".txt"
	if *update {
		if err := os.WriteFile(txt, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(txt)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", file, got, want)
	}
}

func fixtures(t *testing.T, pattern string, atLeast int) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) < atLeast {
		t.Fatalf("%s: %d files, err %v: want at least %d", pattern, len(files), err, atLeast)
	}
	return files
}

// TestBad holds each mistake to the exact words that the operator reads.
func TestBad(t *testing.T) {
	for _, file := range fixtures(t, "testdata/bad/*.yaml", 40) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			p, err := Parse(filepath.Base(file), data)
			var all *Errors
			if p != nil || !errors.As(err, &all) {
				t.Fatalf("Parse = %v, %v: want an *Errors", p, err)
			}
			golden(t, file, all.Error()+"\n")
		})
	}
}

// TestGood holds each policy to what Describe says of it, and to staying good with its defaults.
func TestGood(t *testing.T) {
	for _, file := range fixtures(t, "testdata/good/*.yaml", 5) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			p, err := Load(file)
			if err != nil {
				t.Fatal(err)
			}
			full := p.withDefaults(testEnvironment)
			if err := full.Validate(); err != nil {
				t.Errorf("with defaults: %v", err)
			}
			var b bytes.Buffer
			full.Describe(&b)
			golden(t, file, b.String())
		})
	}
}

// testEnvironment is a process that may bind low ports, under systemd.
var testEnvironment = environment{
	getenv: func(name string) string {
		if name == "STATE_DIRECTORY" {
			return "/var/lib/stormdoor"
		}
		return ""
	},
	mayBind: func(int) bool { return true },
}

func TestExamples(t *testing.T) {
	for _, file := range fixtures(t, "../examples/*.yaml", 4) {
		p, err := Load(file)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		if err := p.WithDefaults().Validate(); err != nil {
			t.Errorf("%s with defaults: %v", file, err)
		}
	}
}
