// Package scene answers "what does a scene file hold?": a title, a story, and named parts such as a policy, in one text that a
// person can read. Scenario tests and the drill read the same files.
package scene

import (
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	"golang.org/x/tools/txtar"
)

// Scene is one scene file, a txtar archive. It begins with a title of one line and a story of any length; then come the
// parts, each behind a line "-- name --".
type Scene struct {
	// Name is the file's name without its ending.
	Name string
	// Title is the first line of the file, Story what stands between it and the first part, "" for nothing.
	Title, Story string
	// Parts are the parts in their order; their names are unique.
	Parts []Part
}

// Part is a named piece of a scene.
type Part struct{ Name, Text string }

// Ending is how a scene's file name ends.
const Ending = ".txtar"

// Parse reads the file of that name.
func Parse(file string, b []byte) (Scene, error) {
	a := txtar.Parse(b)
	s := Scene{Name: strings.TrimSuffix(file, Ending)}
	s.Title, s.Story, _ = strings.Cut(strings.TrimSpace(string(a.Comment)), "\n")
	s.Story = strings.TrimSpace(s.Story)
	if s.Title == "" {
		return s, fmt.Errorf("scene %s: the title is missing, which is the first line", s.Name)
	}
	for _, f := range a.Files {
		if _, twice := s.Part(f.Name); twice {
			return s, fmt.Errorf("scene %s: the part %q is given twice", s.Name, f.Name)
		}
		s.Parts = append(s.Parts, Part{f.Name, string(f.Data)})
	}
	return s, nil
}

// Part returns the text of the part of that name; ok is false when there is none.
func (s *Scene) Part(name string) (text string, ok bool) {
	for _, p := range s.Parts {
		if p.Name == name {
			return p.Text, true
		}
	}
	return "", false
}

// Decode reads the part of that name, strict YAML, into what to points at. A part that is missing is an error.
func (s *Scene) Decode(name string, to any) error {
	text, ok := s.Part(name)
	if !ok {
		return fmt.Errorf("scene %s: the part %q is missing", s.Name, name)
	}
	if err := yaml.UnmarshalWithOptions([]byte(text), to, yaml.Strict()); err != nil {
		return fmt.Errorf("scene %s: the part %q: %w", s.Name, name, err)
	}
	return nil
}
