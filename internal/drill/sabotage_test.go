//go:build e2e

package drill

import (
	"context"
	"testing"
	"time"
)

// A drill that cannot fail is worthless: each defect turns the scorecard red, and in the right row.
func TestSabotageTurnsTheRightRowRed(t *testing.T) {
	for _, c := range []struct{ defect, scene, law, row string }{
		{sabotageDisarm, "flood-one-page", "good visitors first", ""},
		{sabotageBurn, "exploit-sweep", "never amplify", "door CPU"},
		{sabotageLeak, "slow-heads", "never amplify", "memory at most"},
		{sabotageBabble, "slow-heads", "never amplify", "log"},
		{sabotageCharge, "flood-one-page", "good visitors first", ""},
		{sabotageAmplify, "exploit-sweep", "never amplify", "origin requests"},
	} {
		t.Run(c.defect, func(t *testing.T) {
			card, err := Run(context.Background(), Options{Self: self(t), Only: []string{c.scene}, Length: 8 * time.Second, sabotage: c.defect})
			if err != nil {
				t.Fatal(err)
			}
			s := card.Scores[0]
			if s.Pass() || len(card.Broken()) == 0 {
				t.Errorf("every law was kept: %+v, %+v", s.Laws, s.Amplification)
			}
			for _, l := range s.Laws {
				if l.Law == c.law && l.Pass {
					t.Errorf("%s was kept: %s", l.Law, l.Detail)
				}
			}
			for _, r := range s.Amplification {
				if r.What == c.row && r.Pass {
					t.Errorf("row %s was kept: %+v", r.What, r)
				}
			}
		})
	}
}
