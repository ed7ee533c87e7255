package waf

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"stormdoor/flow"
	"stormdoor/policy"
)

// trial is a stage that refuses ARGS:a=attack and ARGS:a=old, with a shadow that refuses attack and new.
func trial(t *testing.T) (*Stage, *Shadows) {
	t.Helper()
	rules := func(name string, words string) string {
		file := filepath.Join(t.TempDir(), name)
		text := fmt.Sprintf("SecRule ARGS:a|ARGS:b \"@within %s\" \"id:%d,phase:2,deny,log,status:403\"\n", words, 4711)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	no := false
	p := &policy.Policy{Sites: []policy.Site{{Name: "shop", Hosts: []string{"shop.example"}, Origins: []policy.Origin{{URL: "http://127.0.0.1:1"}}}}}
	p.WAF = policy.WAF{Mode: policy.WAFBlocks, CoreRuleSet: &no, Files: []string{rules("now.conf", "attack old")},
		Shadow: &policy.WAFShadow{Files: []string{rules("trial.conf", "attack new")}, Processor: 100}}
	q := NewShadows()
	s, err := New(p.WithDefaults(), Options{Held: new(atomic.Int64), Shadows: q})
	if err != nil {
		t.Fatal(err)
	}
	return s, q
}

// drain judges what waits.
func drain(q *Shadows, differ func(Difference)) {
	for len(q.jobs) > 0 {
		job := <-q.jobs
		q.bytes.Add(-job.size)
		job.judge(differ)
	}
}

func outcomes(s *Stage) string {
	out := ""
	s.ShadowOutcomes(func(outcome string, n int64) { out += fmt.Sprintf("%s %d ", outcome, n) })
	return out
}

// The shadow says what it would do, of a copy, and changes nothing.
func TestAShadowIsComparedAndRefusesNobody(t *testing.T) {
	s, q := trial(t)
	want := map[string]flow.Action{"x": flow.Continue, "attack": flow.Refuse, "old": flow.Refuse, "new": flow.Continue}
	for _, value := range []string{"x", "attack", "old", "new"} {
		f := facts("GET", "/search", "a="+value)
		if v := decide(t, s, f); v.Action != want[value] {
			t.Errorf("%s: %+v", value, v)
		}
		f.Header.Reset() // the request has ended, and its memory is another's
		f.Query = "a=attack"
	}
	f := post("b=new")
	if v, held := s.Inspect(f, strings.NewReader("b=new")); v.Action != flow.Continue {
		t.Errorf("a body: %+v", v)
	} else {
		held.Release()
	}
	var got []string
	drain(q, func(d Difference) {
		got = append(got, fmt.Sprintf("%s %s%s by %s", d.Outcome, d.Facts.Query, d.Facts.Header.Get("Content-Type"), d.Shadow.Rule+d.Judged.Rule))
	})
	if fmt.Sprint(got) != "[would_admit a=old by 4711 would_refuse a=new by 4711 would_refuse application/x-www-form-urlencoded by 4711]" {
		t.Errorf("differences: %v", got)
	}
	if got := outcomes(s); got != "same 2 would_refuse 2 would_admit 1 left_out 0 " {
		t.Errorf("outcomes: %s", got)
	}
	hits := int64(0)
	s.Shadow().Hits(func(_, _ string, _ int, n int64) { hits += n })
	if hits != 3 {
		t.Errorf("the rule on trial has %d hits, want 3", hits)
	}
}

// Nobody waits for a shadow: what finds no room is left out.
func TestAShadowLeavesOutWhatItHasNoRoomFor(t *testing.T) {
	s, q := trial(t)
	for n := range shadowJobs + 10 {
		decide(t, s, facts("GET", "/", fmt.Sprint("a=", n)))
	}
	if got := outcomes(s); got != "same 0 would_refuse 0 would_admit 0 left_out 10 " {
		t.Errorf("requests: %s", got)
	}
	drain(q, nil)
	large := make([]byte, 100<<10)
	for range shadowBytes/len(large) + 5 {
		s.recall(post("x"), policy.WAFBlocks, large)
	}
	if got := outcomes(s); got != fmt.Sprintf("same %d would_refuse 0 would_admit 0 left_out 15 ", shadowJobs) {
		t.Errorf("bytes: %s", got)
	}
	drain(q, nil)
	if n := q.bytes.Load(); n != 0 {
		t.Errorf("%d bytes are still accounted", n)
	}
}

// What comes again is judged once by the shadow, too.
func TestAShadowJudgesRepeatsOnce(t *testing.T) {
	s, q := trial(t)
	for range 20 {
		decide(t, s, facts("GET", "/", "a=x"))
	}
	if n := len(q.jobs); n != 2 {
		t.Errorf("%d requests for the shadow, want 2", n)
	}
}

func TestShadowsEndWithTheirDoor(t *testing.T) {
	s, q := trial(t)
	ctx, cancel := context.WithCancel(context.Background())
	seen := make(chan Difference)
	done := make(chan struct{})
	go func() { defer close(done); q.Run(ctx, func(d Difference) { seen <- d }) }()
	decide(t, s, facts("GET", "/", "a=new"))
	if d := <-seen; d.Outcome != ShadowRefuses || d.Facts.Query != "a=new" {
		t.Errorf("%+v", d)
	}
	cancel()
	<-done
}
