// Package drill is a storm in a bottle. It answers "what would my visitors notice?": it starts an origin of limited
// capacity, a door, good visitors and a storm, all of them processes of its own on loopback, breaks things on purpose,
// and writes a scorecard.
//
// A drill takes no target. Every socket that its parts open goes through loopback.go, which binds and dials 127.0.0.0/8
// only; there is no parameter, flag or file by which an address could come in. Storms are bounded in time, connections
// and requests, and end when the director's process does.
//
// The director (Run) starts the parts as child processes of this same program (Part) and steers them over their standard
// input and output, so that the processor time of the door, of the origin and of the generators can be told apart.
package drill

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// Options are what an operator may say about a drill. The zero value runs every scene for ten seconds.
type Options struct {
	// Self is the command that runs a part of the drill: this program and the argument that leads to Part. Required.
	Self []string
	// Policy is a policy file whose sites the drill's origin stands in for; "" is the default policy.
	Policy string
	// Only names the scenes to run; empty runs all.
	Only []string
	// Length is how long each scene lasts, before and after the storm included. 0 means 10 s; at most 10 min.
	Length time.Duration
	// Seed makes everything that is drawn by lot repeatable. 0 means 1.
	Seed uint64
	// Confirm plays a scene in which a law was broken once more, three times as long, and counts only that: a short scene
	// on a machine that others use too is a hint, a long one is a finding.
	Confirm bool
	// Compare names peers ("nginx", "haproxy") before which the same storms are run, where they are installed.
	Compare []string
	// Record is a file for the tape: every answered and refused request as the door's log has it; "" keeps none.
	Record string
	// Progress is told what happens, several times a second. nil tells nobody.
	Progress func(Progress)

	sabotage string // a deliberate defect of the door, for the tests of the scorecard
}

// Progress is a moment of a drill.
type Progress struct {
	Scene   string
	Number  int // of this scene, from 1
	Of      int
	Phase   string
	Elapsed time.Duration // of this scene
	Length  time.Duration // of this scene
	Now     Window        // the last moment
	// Done is the score of a scene that has just ended, nil otherwise.
	Done *Score
	// Again is true where Done does not count, because the scene is played once more.
	Again bool
}

// The bounds of a drill.
const (
	minLength = 4 * time.Second
	maxLength = 10 * time.Minute
)

// Run runs the scenes and returns their scores. An error means that the drill could not be run; a law that was broken is
// in the scores. It cleans up whatever it has started, also when ctx ends.
func Run(ctx context.Context, o Options) (*Card, error) {
	if o.Length == 0 {
		o.Length = 10 * time.Second
	}
	if o.Length < minLength || o.Length > maxLength {
		return nil, fmt.Errorf("a scene lasts from %v to %v, not %v", minLength, maxLength, o.Length)
	}
	if o.Seed == 0 {
		o.Seed = 1
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	scenes, err := choose(o.Only)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "stormdoor-drill-")
	if err != nil {
		return nil, fmt.Errorf("the drill needs a folder for its files: %w", err)
	}
	defer os.RemoveAll(dir)
	d := &director{Options: o, dir: dir}
	if err := newNames(dir, o.Policy); err != nil {
		return nil, err
	}
	card := &Card{Started: time.Now().UTC(), Seed: o.Seed, Length: Seconds(o.Length)}
	for i, s := range scenes {
		if s.NotBuilt != "" {
			card.Scores = append(card.Scores, Score{Scene: s.Name, Title: s.Title, NotBuilt: s.NotBuilt})
			continue
		}
		d.number, d.of = i+1, len(scenes)
		score, err := d.score(ctx, s)
		if err != nil {
			return card, errors.Join(fmt.Errorf("scene %s: %w", s.Name, err), ctx.Err())
		}
		card.Scores = append(card.Scores, *score)
		o.Progress(Progress{Scene: s.Name, Number: d.number, Of: d.of, Done: score})
	}
	card.Total = card.CPU()
	card.Took = Seconds(time.Since(card.Started))
	return card, nil
}

// confirming is how much longer a scene is in which a finding is to be confirmed.
const confirming = 3

// score plays a scene, and with Confirm once more where a law was broken.
func (d *director) score(ctx context.Context, s Scene) (*Score, error) {
	score, err := d.play(ctx, s)
	if err != nil || score.Pass() || !d.Confirm || d.Length >= maxLength {
		return score, err
	}
	d.Progress(Progress{Scene: s.Name, Number: d.number, Of: d.of, Done: score, Again: true})
	longer := *d
	longer.Length = min(maxLength, confirming*d.Length)
	confirmed, err := longer.play(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("played again: %w", err)
	}
	confirmed.Unconfirmed = score.broken()
	return confirmed, nil
}
