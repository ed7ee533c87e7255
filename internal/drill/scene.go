package drill

import (
	"embed"
	"fmt"
	"path"
	"slices"
	"sort"
	"strings"
	"time"

	"stormdoor/internal/loop/scene"
)

//go:embed scenes/*.txtar
var sceneFiles embed.FS

// Scene is a storm, a fault, or both, and what is expected of the door in it. It is read from a scene file, in the
// form of the scenario tests: the part "scene" says what happens, and every other one is a part of a policy that a fault
// applies by its name.
type Scene struct {
	// Name is the name of the file; Title is the first line of its comment, and Story the rest.
	Name, Title, Story string `yaml:"-"`
	// NotBuilt says which part of the door a scene waits for; such a scene is listed and not run.
	NotBuilt string `yaml:"not_built"`
	// Origin is the capacity of the origin; the zero value is 8 workers of 10 ms.
	Workers int    `yaml:"workers"`
	Service string `yaml:"service"`
	// Storm lists what the bots do; Crowd is how many times as many good visitors come.
	Storm []StormSpec `yaml:"storm"`
	Crowd int         `yaml:"crowd"`
	// Policy names the part of a policy that is in force from the beginning, "" for none.
	Policy string `yaml:"policy"`
	// Faults is what goes wrong, in its order.
	Faults []Fault `yaml:"faults"`
	// DiskFull gives the door a log that takes not one byte.
	DiskFull bool `yaml:"disk_full"`
	// Goal is what the door promises in this scene.
	Goal Goal `yaml:"goal"`

	parts map[string]string
}

// Fault is something that goes wrong, at a share of the storm's length: 0 is its beginning, 1 its end. Exactly one of
// the others is set.
type Fault struct {
	At     float64      `yaml:"at"`
	Apply  string       `yaml:"apply"`  // put this part of a policy in force; "none" takes it back
	Clock  string       `yaml:"clock"`  // step the door's clock
	Kill   bool         `yaml:"kill"`   // kill the door and start it again
	Origin *OriginFault `yaml:"origin"` // break or mend the origin
	// Refused is true for an Apply that the door must refuse.
	Refused bool `yaml:"refused"`
}

// Goal is what is promised to good visitors during the storm. The zero Goal promises what every scene does.
type Goal struct {
	// Served is the least share of their requests, in per cent, that are answered within a second.
	Served float64 `yaml:"served"`
	// P99 is the longest time for 99 % of the served.
	P99 string `yaml:"p99"`
	// OriginDown is true where nobody can be served for a part of the time, whatever the door does: only that the door
	// recovers counts.
	OriginDown bool `yaml:"origin_down"`
}

// Scenes are all scenes, in the order in which they are run.
func Scenes() ([]Scene, error) {
	entries, err := sceneFiles.ReadDir("scenes")
	if err != nil {
		return nil, err
	}
	var out []Scene
	for _, e := range entries {
		b, err := sceneFiles.ReadFile("scenes/" + e.Name())
		if err != nil {
			return nil, err
		}
		s, err := parseScene(e.Name(), b)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].rank() < out[j].rank() })
	return out, nil
}

// rank puts storms before faults, and what is not built last.
func (s *Scene) rank() int {
	switch {
	case s.NotBuilt != "":
		return 2
	case len(s.Faults) > 0 || s.DiskFull:
		return 1
	}
	return 0
}

func parseScene(name string, b []byte) (Scene, error) {
	s := Scene{parts: map[string]string{"none": "", "": ""}}
	file, err := scene.Parse(name, b)
	if err != nil {
		return s, err
	}
	s.Name, s.Title, s.Story = file.Name, file.Title, file.Story
	if err := file.Decode("scene", &s); err != nil {
		return s, err
	}
	for _, p := range file.Parts {
		if p.Name != "scene" {
			s.parts[strings.TrimSuffix(p.Name, path.Ext(p.Name))] = p.Text
		}
	}
	if s.Workers == 0 {
		s.Workers = 8
	}
	if s.Service == "" {
		s.Service = "10ms"
	}
	if s.Goal.Served == 0 {
		s.Goal.Served = 99
	}
	return s, s.check()
}

func (s *Scene) check() error {
	for _, d := range []string{s.Service, s.Goal.P99} {
		if _, err := time.ParseDuration(d); d != "" && err != nil {
			return fmt.Errorf("scene %s: %w", s.Name, err)
		}
	}
	for _, w := range s.Storm {
		if weapons[w.Weapon] == nil {
			return fmt.Errorf("scene %s: there is no weapon %q", s.Name, w.Weapon)
		}
	}
	if _, ok := s.parts[s.Policy]; s.Policy != "" && !ok {
		return fmt.Errorf("scene %s: its policy is %q and it has no such file", s.Name, s.Policy)
	}
	for _, f := range s.Faults {
		if _, ok := s.parts[f.Apply]; f.Apply != "" && !ok {
			return fmt.Errorf("scene %s: it applies %q and has no such file", s.Name, f.Apply)
		}
		if _, err := time.ParseDuration(f.Clock); f.Clock != "" && err != nil {
			return fmt.Errorf("scene %s: %w", s.Name, err)
		}
	}
	return nil
}

func (s *Scene) origin() OriginSpec {
	d, _ := time.ParseDuration(s.Service) // parseScene has tried it
	return OriginSpec{Workers: s.Workers, Service: d}
}

// choose returns the scenes with these names, or all.
func choose(names []string) ([]Scene, error) {
	all, err := Scenes()
	if err != nil || len(names) == 0 {
		return all, err
	}
	var out []Scene
	for _, n := range names {
		i := slices.IndexFunc(all, func(s Scene) bool { return s.Name == n })
		if i < 0 {
			return nil, fmt.Errorf("there is no scene %q; stormdoor drill --list shows them", n)
		}
		out = append(out, all[i])
	}
	return out, nil
}
