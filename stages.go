package stormdoor

import (
	"stormdoor/flow"
	"stormdoor/internal/gate/limit"
	"stormdoor/internal/gate/lists"
	"stormdoor/internal/gate/rule"
	"stormdoor/internal/gate/waf"
)

// stages is THE order in which a request is judged: lists first, because an allow list wins over everything, then what
// the operator has written down, then what counts, and last what costs most: the rules of the firewall.
func stages(l *lists.Stage, r *rule.Stage, m *limit.Stage, w *waf.Stage) []flow.Stage {
	return []flow.Stage{l, r, m, w}
}
