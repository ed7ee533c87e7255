package scene

import (
	"strings"
	"testing"
)

func TestASceneIsATitleAStoryAndParts(t *testing.T) {
	s, err := Parse("flood.txtar", []byte("A flood\n\nIt rains\nfor long.\n-- scene --\nbots: 5\n-- policy.yaml --\nsites: []\n"))
	if err != nil {
		t.Fatal(err)
	}
	if s.Name != "flood" || s.Title != "A flood" || s.Story != "It rains\nfor long." || len(s.Parts) != 2 {
		t.Errorf("%+v", s)
	}
	var v struct{ Bots int }
	if err := s.Decode("scene", &v); err != nil || v.Bots != 5 {
		t.Errorf("%+v, %v", v, err)
	}
	if text, ok := s.Part("policy.yaml"); !ok || text != "sites: []\n" {
		t.Errorf("%q, %v", text, ok)
	}
	if _, ok := s.Part("tape"); ok {
		t.Error("there is no tape")
	}
}

func TestABadSceneSaysWhatIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		"-- scene --\n":                      "scene bad: the title is missing",
		"A\n-- a --\n1\n-- a --\n2\n":        `scene bad: the part "a" is given twice`,
		"A\n-- scene --\nbotz: 5\n":          `unknown field "botz"`,
		"A\n-- other --\n":                   `scene bad: the part "scene" is missing`,
		"A\n-- scene --\nbots: [not, one]\n": `scene bad: the part "scene"`,
	} {
		s, err := Parse("bad.txtar", []byte(text))
		if err == nil {
			var v struct{ Bots int }
			err = s.Decode("scene", &v)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
