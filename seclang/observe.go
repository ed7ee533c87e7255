package seclang

// Excuser takes matches back: it is asked about each value that a rule matches, after the fact, so that it costs nothing
// where nothing is found. A match in which it excuses every value is recorded, as Match.Excused, and nothing follows from it.
// In a chain, it is enough that every match of one link is excused.
type Excuser interface {
	// Excuses is asked with the first rule of a chain, the variable as the rule names it and the key and the value as they were sent; all are
	// empty for a rule that looks at nothing.
	Excuses(r *Rule, variable, key, sent string) bool
}

// Observer is told what a transaction spends on what, in units of Cost.Work.
type Observer interface {
	// Scanned is told what it took to look for the patterns of all rules of a phase at once.
	Scanned(phase int, work int64)
	// Evaluated is told of each rule that was evaluated by itself, what that took and whether it matched.
	Evaluated(r *Rule, work int64, matched bool)
}

// Transformations names the transformations that the rule, or the link of its chain, has applied, in order.
func (v *Value) Transformations() []string {
	if v.by == nil {
		return nil
	}
	names := make([]string, len(v.by.transforms))
	for i, step := range v.by.transforms {
		names[i] = step.String()
	}
	return names
}

// Operator is the operator that matched, such as "@rx" or "!@within"; "" for a rule that always matches.
func (v *Value) Operator() string {
	if v.by == nil {
		return ""
	}
	return v.by.operator
}

// observeScan scans, and tells the Observer, which is not nil, what it took.
func (t *Transaction) observeScan(p *phasePlan) {
	before := t.cost.Work
	t.scan(p)
	t.start.Observer.Scanned(t.phase, t.cost.Work-before)
}

func (t *Transaction) observeRule(r *rule, hits []hit) bool {
	before, recorded := t.cost.Work, len(t.matches)
	matched := t.rule(r, hits)
	t.start.Observer.Evaluated(r.info, t.cost.Work-before, matched || len(t.matches) > recorded)
	return matched
}
