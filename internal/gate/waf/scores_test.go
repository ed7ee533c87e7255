package waf

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"stormdoor/flow"
	"stormdoor/policy"
)

// recorded is a recorded request of a public set: Raw holds its bytes, one rune each.
type recorded struct{ ID, Suite, Want, Raw string }

// request reads a recorded request as far as the rules are told it; false if it is none.
func (r *recorded) request() (f *flow.Facts, body string, ok bool) {
	raw := make([]byte, 0, len(r.Raw))
	for _, c := range r.Raw {
		raw = append(raw, byte(c))
	}
	head, rest, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
	lines := strings.Split(string(head), "\r\n")
	parts := strings.Split(lines[0], " ")
	if len(parts) != 3 || !strings.HasPrefix(parts[1], "/") {
		return nil, "", false
	}
	path, query, _ := strings.Cut(parts[1], "?")
	h := flow.NewHeader(len(lines))
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ":")
		h.Add(name, strings.TrimSpace(value))
	}
	f = facts(parts[0], path, query)
	f.Header, f.Length = h, int64(len(rest))
	return f, string(rest), true
}

// score is how many requests of a set were refused, at each threshold.
type score struct {
	requests int
	refused  map[int]int
}

var thresholds = []int{5, 10}

var scores = flag.Bool("scores", false, "print what the firewall finds and whom it hurts")

// TestScores prints what the defaults find and whom they hurt: in the corpora of testdata, and in recorded requests, files
// of JSON lines under the folder that STORMDOOR_WAF_CASES names. STORMDOOR_WAF_SHOW says which wrong verdicts are listed:
// missed, false. It judges nothing: the corpora have a test of their own.
func TestScores(t *testing.T) {
	if !*scores {
		t.Skip("prints: see make waf-scores")
	}
	sets := map[string]*score{}
	for _, file := range []string{"attacks.txt", "harmless.txt", "texts.txt"} {
		set := &score{refused: map[int]int{}}
		for _, sample := range samples(t, file) {
			f, body := sample.request(t)
			set.add(whole(one(), f, body))
		}
		sets["own "+file] = set
	}
	set := &score{refused: map[int]int{}}
	for _, r := range clients(t) {
		f, body, _ := r.request()
		set.add(whole(one(), f, body))
	}
	sets["own clients.txt"] = set
	if folder := os.Getenv("STORMDOOR_WAF_CASES"); folder != "" {
		recordings(t, folder, sets)
	}
	for _, name := range slices.Sorted(maps.Keys(sets)) {
		fmt.Printf("%-34s %s\n", name, sets[name])
	}
}

// recordings judges the recorded requests under a folder.
func recordings(t *testing.T, folder string, sets map[string]*score) {
	files, err := filepath.Glob(filepath.Join(folder, "*", "*.jsonl*"))
	if err != nil {
		t.Fatal(err)
	}
	show := os.Getenv("STORMDOOR_WAF_SHOW")
	for _, file := range files {
		eachRecorded(t, file, func(r *recorded) {
			f, body, ok := r.request()
			if !ok || r.Want != "block" && r.Want != "pass" {
				return
			}
			v := whole(one(), f, body)
			set := sets[filepath.Base(file)+" "+r.Want]
			if set == nil {
				set = &score{refused: map[int]int{}}
				sets[filepath.Base(file)+" "+r.Want] = set
			}
			set.add(v)
			if refused := v.Action == flow.Refuse; show == "missed" && !refused && r.Want == "block" || show == "false" && refused && r.Want == "pass" {
				t.Logf("%s: %s", r.ID, described(v))
			}
		})
	}
}

func (s *score) add(v flow.Verdict) {
	s.requests++
	for _, threshold := range thresholds {
		if v.Action == flow.Refuse && (v.Reason != flow.WAFScore || v.Found.Score >= threshold) {
			s.refused[threshold]++
		}
	}
}

func (s *score) String() string {
	out := fmt.Sprintf("%6d requests", s.requests)
	for _, threshold := range thresholds {
		out += fmt.Sprintf("   threshold %d: %5d refused (%.2f %%)", threshold, s.refused[threshold], 100*float64(s.refused[threshold])/float64(s.requests))
	}
	return out
}

// whole judges a request with its body.
func whole(s *Stage, f *flow.Facts, body string) flow.Verdict {
	if s.WantsBody(f) {
		v, held := s.Inspect(f, strings.NewReader(body))
		held.Release()
		return v
	}
	v, _ := s.inspect(f, policy.WAFBlocks, nil)
	return v
}

func described(v flow.Verdict) string {
	if v.Found == nil {
		return string(v.Reason)
	}
	out := fmt.Sprintf("%s %d", v.Reason, v.Found.Score)
	for _, m := range v.Found.Matches {
		out += fmt.Sprintf("\n\t%d %s %q", m.Rule, m.Field, m.Value)
	}
	return out
}

func eachRecorded(t *testing.T, file string, do func(*recorded)) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var r io.Reader = bufio.NewReader(f)
	if strings.HasSuffix(file, ".gz") {
		if r, err = gzip.NewReader(r); err != nil {
			t.Fatal(err)
		}
	}
	for d := json.NewDecoder(r); ; {
		var row recorded
		if err := d.Decode(&row); err == io.EOF {
			return
		} else if err != nil {
			t.Fatal(file, err)
		}
		do(&row)
	}
}
