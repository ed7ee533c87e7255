package policy

// WAFMode is what the web application firewall does.
type WAFMode string

// What the web application firewall does.
const (
	WAFOff    WAFMode = "off"
	WAFCounts WAFMode = "count" // what it finds is logged and counted, and nobody is refused
	WAFBlocks WAFMode = "block"
)

// OverBody is what happens to a body that is longer than what is inspected.
type OverBody string

// What happens to a body that is longer than what is inspected at once.
const (
	OverFollowed OverBody = "follow" // the rest is inspected too, piece by piece as it is sent on
	OverPrefix   OverBody = "prefix" // its beginning is inspected, and the rest passes
	OverRefused  OverBody = "refuse" // 413
)

// WAF inspects requests by SecLang rules: the OWASP Core Rule Set, which is built in, and files of the operator.
type WAF struct {
	// Mode is off, count (what is found is logged and counted, nobody is refused) or block. Sites and routes may say
	// otherwise.
	Mode WAFMode `yaml:"mode,omitempty" enum:"off,count,block" default:"off"`
	// Leaks is what is done where an origin's answer tells what nobody outside is to read (keys and passwords, phpinfo, stack
	// traces, lists of files): off, count, or block, which answers 502 instead. The first 16 KiB of answers that are text are
	// looked at. Sites and routes may say otherwise.
	Leaks WAFMode `yaml:"leaks,omitempty" enum:"off,count,block" default:"off"`
	// CoreRuleSet loads the OWASP Core Rule Set. Default true.
	CoreRuleSet *bool `yaml:"core_rule_set,omitempty" default:"true"`
	// OwnRules loads the door's own rules beside the Core Rule Set, and has both look into values that are encoded once
	// more. Default true.
	OwnRules *bool `yaml:"own_rules,omitempty" default:"true"`
	// Prose keeps rules that match by words from counting where the value reads as text and has nothing that an attack of
	// their class cannot do without. What they matched is logged. Default true.
	Prose *bool `yaml:"prose,omitempty" default:"true"`
	// Paranoia is the paranoia level of the Core Rule Set whose rules count towards a refusal. Default 1.
	Paranoia int `yaml:"paranoia,omitempty" default:"1" min:"1" max:"4"`
	// Detect is the paranoia level whose rules are logged without counting. Default: the same as paranoia.
	Detect int `yaml:"detect,omitempty" min:"1" max:"4" example:"2"`
	// Threshold is the anomaly score from which a request is refused; a critical rule scores 5. Default 5.
	Threshold int `yaml:"threshold,omitempty" default:"5" min:"1" max:"10000"`
	// Files are SecLang files that are loaded behind the Core Rule Set; "*" stands for part of a name.
	Files []string `yaml:"files,omitempty" example:"[/etc/stormdoor/rules/*.conf]" empty:"none"`
	// InspectBody bounds how much of a request's body is inspected at once. It is held in memory for that. Default 128KiB.
	InspectBody Bytes `yaml:"inspect_body,omitempty" default:"128KiB" min:"1KiB" max:"16MiB"`
	// OverBody says what happens to a longer body: follow (default) inspects its beginning before an origin is asked and the rest
	// piece by piece as it goes there, whose end it never sees where something is found; prefix inspects the beginning only;
	// refuse answers 413.
	OverBody OverBody `yaml:"over_body,omitempty" enum:"follow,prefix,refuse" default:"follow"`
	// GraphQL bounds what a request may ask a server of GraphQL for.
	GraphQL GraphQL `yaml:"graphql,omitempty"`
	// Exclude takes rules back where they hit what is right.
	Exclude []WAFExclusion `yaml:"exclude,omitempty" empty:"nothing"`
	// Shadow is a second rule set that judges what this one has judged, beside the path: nobody is refused by it, and nobody
	// waits for it. Whom it would refuse, or let pass, otherwise is counted and logged. Default: none.
	Shadow *WAFShadow `yaml:"shadow,omitempty"`
}

// GraphQL bounds what a request may ask a server of GraphQL for, in documents of the type application/graphql and in fields named
// query of JSON, forms and addresses. Of a document with several operations the largest counts. Rules of the door's own (9001100 to
// 9001105) see to it, so that own_rules: false leaves the bounds away.
type GraphQL struct {
	// Depth is how many selections may enclose each other. Default 30; what asks for a whole schema has 15.
	Depth int `yaml:"depth,omitempty" default:"30" min:"1" max:"1000"`
	// Aliases is how many fields may be asked for under another name: so a password is tried many times in one request. Default 500.
	Aliases int `yaml:"aliases,omitempty" default:"500" min:"1" max:"100000"`
	// Fields is how many fields may be selected, those of fragments as often as they are spread. Default 10000.
	Fields int `yaml:"fields,omitempty" default:"10000" min:"1" max:"1000000"`
	// Cost is how many fields the answer may have, by what the arguments first, last and limit say of the lists in it, and what is
	// sent for variables. Default 10000000.
	Cost int `yaml:"cost,omitempty" default:"10000000" min:"1" max:"1000000000"`
	// Documents is how many documents may come in one request, as a JSON array. Default 50.
	Documents int `yaml:"documents,omitempty" default:"50" min:"1" max:"10000"`
	// Introspection says whether the schema may be asked for: allow (default) or refuse.
	Introspection Introspection `yaml:"introspection,omitempty" enum:"allow,refuse" default:"allow"`
}

// Introspection is whether a schema may be asked for.
type Introspection string

// Whether a schema may be asked for.
const (
	IntrospectionAllowed Introspection = "allow"
	IntrospectionRefused Introspection = "refuse"
)

// WAFShadow is a rule set on trial: what differs from the one in force. Exclusions and bounds of bodies are the same.
type WAFShadow struct {
	// CoreRuleSet loads the OWASP Core Rule Set. Default: as in waf.
	CoreRuleSet *bool `yaml:"core_rule_set,omitempty"`
	// OwnRules loads the door's own rules. Default: as in waf.
	OwnRules *bool `yaml:"own_rules,omitempty"`
	// Prose spares what reads as text. Default: as in waf.
	Prose *bool `yaml:"prose,omitempty"`
	// Paranoia is the paranoia level whose rules count. Default: as in waf.
	Paranoia int `yaml:"paranoia,omitempty" min:"1" max:"4" example:"2"`
	// Threshold is the anomaly score from which a request would be refused. Default: as in waf.
	Threshold int `yaml:"threshold,omitempty" min:"1" max:"10000" example:"3"`
	// Files are SecLang files in place of those of waf. Default: as in waf.
	Files []string `yaml:"files,omitempty" example:"[/etc/stormdoor/trial/*.conf]" empty:"as in waf"`
	// Processor is how much of one processor it may use, in per cent. What comes beyond that is not judged by it, and counted.
	Processor int `yaml:"processor,omitempty" default:"5" min:"1" max:"100"`
}

// Rules are the rules of a shadow as those of a firewall; waf is the one in force.
func (s *WAFShadow) Rules(waf WAF) WAF {
	w := waf
	w.Shadow = nil
	if s.CoreRuleSet != nil {
		w.CoreRuleSet = s.CoreRuleSet
	}
	if s.OwnRules != nil {
		w.OwnRules = s.OwnRules
	}
	if s.Prose != nil {
		w.Prose = s.Prose
	}
	if s.Paranoia != 0 {
		w.Paranoia = s.Paranoia
		w.Detect = max(w.Detect, s.Paranoia)
	}
	if s.Threshold != 0 {
		w.Threshold = s.Threshold
	}
	if s.Files != nil {
		w.Files = s.Files
	}
	return w
}

// WAFExclusion keeps a rule from looking at something.
type WAFExclusion struct {
	// Rule is the rule's id.
	Rule int `yaml:"rule" example:"942100" min:"1"`
	// Field is what the rule does not count in: "ARGS:comment", "REQUEST_COOKIES:session", "REQUEST_HEADERS:Referer", as the
	// log names it, or "ARGS:item*" for all that begin so. ARGS is the query and the body. Default: the rule does not count at all.
	Field string `yaml:"field,omitempty" example:"ARGS:comment"`
	// Site restricts it to a site, by name. Default: all.
	Site string `yaml:"site,omitempty" example:"shop"`
	// Route restricts it to the routes of that name. Default: all.
	Route string `yaml:"route,omitempty" example:"search"`
	// Path restricts it to an exact path or a prefix with "*" at the end. Default: everywhere.
	Path string `yaml:"path,omitempty" example:"/blog/*"`
	// Until is the last day on which it counts, as 2026-12-31. Default: for ever.
	Until string `yaml:"until,omitempty" example:"2026-12-31"`
	// Why is for whoever reads this later.
	Why string `yaml:"why,omitempty" example:"people write about SQL here"`
	// SwitchesOff says that you know that this rule sets up or decides what the others count for: without it the Core Rule Set
	// refuses nobody, or not whom it should.
	SwitchesOff bool `yaml:"switches_off,omitempty" default:"false"`
}
