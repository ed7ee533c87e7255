package flow

// Findings is what an inspection of a request by a rule set found.
type Findings struct {
	// Score is the anomaly score, and Threshold from where on it refuses.
	Score, Threshold int
	// Matches are the rules that matched, in order, at most MaxFindings of them; More counts the rest.
	Matches []Finding
	More    int
}

// MaxFindings bounds how many matches are kept of one request.
const MaxFindings = 48

// Finding is one rule that matched.
type Finding struct {
	Rule int
	// Message says what the rule looks for.
	Message string
	// Field is where it matched ("ARGS:id"), and Value what stood there: a part of it, as the rule saw it. It comes from
	// the client: escape it.
	Field, Value string
}

// MaxFindingValue bounds Value, in bytes.
const MaxFindingValue = 100
