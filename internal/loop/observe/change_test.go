package observe

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stormdoor/flow"
	"stormdoor/policy"
)

// TestALogMoves: what is written after a change goes to the new place, and a change that is discarded is none.
func TestALogMoves(t *testing.T) {
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	var stream strings.Builder
	w, err := NewWriter("", &stream, 0, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	say := func(line string) {
		if _, err := w.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
		w.put(<-w.queue)
	}
	move := func(path string, discard bool) {
		t.Helper()
		c, err := w.Prepare(path, 0)
		if err != nil {
			t.Fatal(err)
		}
		end := c.Commit
		if discard {
			end = c.Discard
		}
		if err := end(); err != nil {
			t.Fatal(err)
		}
	}
	say("a\n")
	move(one, false)
	say("b\n")
	move(two, true)
	say("c\n")
	move(two, false)
	say("d\n")
	move("", false)
	say("e\n")
	if _, err := w.Prepare(filepath.Join(dir, "no", "folder"), 0); err == nil || !strings.Contains(err.Error(), "log.file") {
		t.Errorf("a folder that is not there: %v", err)
	}
	say("f\n")
	for file, want := range map[string]string{one: "b\nc\n", two: "d\n"} {
		if b, err := os.ReadFile(file); err != nil || string(b) != want {
			t.Errorf("%s holds %q, %v, want %q", file, b, err, want)
		}
	}
	if stream.String() != "a\ne\nf\n" {
		t.Errorf("the stream holds %q", stream.String())
	}
}

// TestARecorderChangesItsStyle: shares, counts and form are those of the policy in force.
func TestARecorderChangesItsStyle(t *testing.T) {
	w, err := NewWriter("", &strings.Builder{}, 0, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	r := NewRecorder(policy.Log{}, w, false, NewMetrics("test"), NewRecent(8), nil)
	o := &flow.Outcome{Status: 200}
	o.Facts.Site, o.Facts.Host = "shop", "shop.example"
	r.Record(o)
	if len(w.queue) != 0 {
		t.Fatal("a request that passed is logged")
	}
	r.Configure(policy.Log{Access: 1}, false)
	r.Record(o)
	if line := string((<-w.queue).text); !strings.HasPrefix(line, "{") {
		t.Errorf("no JSON: %q", line)
	}
	r.Configure(policy.Log{Access: 1}, true)
	r.Record(o)
	if line := string((<-w.queue).text); strings.HasPrefix(line, "{") || !strings.Contains(line, "shop.example") {
		t.Errorf("not for the console: %q", line)
	}
}
