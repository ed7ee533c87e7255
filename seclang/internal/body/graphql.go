package body

import "bytes"

// Operation describes one operation of a GraphQL document, with the fragments that it spreads.
type Operation struct {
	// Type is query, mutation or subscription. Name may be empty.
	Type, Name string
	// Depth is how many selection sets enclose each other; Fields and Aliases are how many it selects.
	Depth, Fields, Aliases int
	// Cost estimates how many fields the answer can have: each field counts as often as the lists around it are long, which
	// the arguments first, last and limit say. A variable among these counts as what is sent for it, or as its default, the larger of
	// both, and as 10 where neither is known.
	Cost int
	// Introspection is how many fields of the schema itself it selects: __schema and __type.
	Introspection int
}

// costCeiling is where counting ends.
const costCeiling = 1 << 40

// GraphQL parses a GraphQL document (September 2025, section 2) with its executable definitions. It adds to Operations, and its
// string values to Args, under graphql and the name of the argument, as in graphql.id, and its comments as graphql.#.
func GraphQL(text []byte, limits Limits, out *Fields) {
	p := graphqlParser{text: text, sent: limits.Variable, limits: limits.withDefaults(len(text)), out: out, fragments: map[string]*definition{}}
	p.read()
	for p.token != "" && !p.failed {
		p.definition()
	}
	for _, d := range p.operations {
		total := p.resolve(d, 0)
		out.Operations = append(out.Operations, Operation{d.kind, d.name, total.depth, total.fields, total.aliases, total.cost, total.introspection})
	}
}

// counts are what a selection adds up to.
type counts struct{ depth, fields, aliases, cost, introspection int }

// definition is an operation or a fragment.
type definition struct {
	kind, name string
	counts
	spreads []spread
	state   uint8 // of resolve
}

// spread is where a fragment is spread.
type spread struct {
	name          string
	depth, factor int
}

type graphqlParser struct {
	text       []byte
	limits     Limits
	out        *Fields
	at         int
	token      string // the token to look at, "" at the end
	start      int    // where it begins
	failed     bool
	operations []*definition
	fragments  map[string]*definition
	current    *definition
	argument   string // whose value is read
	args       int
	variable   string                        // the variable that was read last
	sent       func(name string) (int, bool) // see Limits.Variable
	defaults   map[string]int                // of variables; nil until one is wanted
	nested     int                           // selection sets that are open, those of fragments in place among them
}

func (p *graphqlParser) fail(kind Kind, text string) {
	if !p.failed {
		p.out.fail(kind, min(p.start, len(p.text)), text)
	}
	p.failed, p.token = true, ""
}

// read moves on to the next token: a name, a number, a string with its quotes, "..." or one character.
func (p *graphqlParser) read() {
	for p.at < len(p.text) {
		switch c := p.text[p.at]; {
		case c == '#':
			p.comment()
			continue
		case c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == ',':
			p.at++
			continue
		case bytes.HasPrefix(p.text[p.at:], []byte("\ufeff")):
			p.at += 3
			continue
		}
		break
	}
	p.start = p.at
	rest := p.text[p.at:]
	n := 1
	switch {
	case len(rest) == 0:
		p.token = ""
		return
	case isNameByte(rest[0]) || rest[0] == '-':
		for n < len(rest) && (isNameByte(rest[n]) || rest[n] == '.' && rest[0] <= '9' || (rest[n] == '+' || rest[n] == '-') && rest[n-1]|0x20 == 'e' && rest[0] <= '9') {
			n++
		}
	case bytes.HasPrefix(rest, []byte("...")):
		n = 3
	case rest[0] == '"':
		n = stringLength(rest)
		if n == 0 {
			p.fail(Malformed, "a GraphQL string does not end")
			return
		}
	}
	p.token = view(rest[:n])
	p.at += n
}

// comment reads a comment. Its text is kept as a string is: who logs the document logs it, too.
func (p *graphqlParser) comment() {
	start := p.at + len("#")
	if i := bytes.IndexAny(p.text[start:], "\n\r"); i >= 0 {
		p.at = start + i
	} else {
		p.at = len(p.text)
	}
	p.add("graphql.#", view(p.text[start:p.at]), start, p.at)
}

// add adds a string.
func (p *graphqlParser) add(name, value string, start, end int) {
	if p.args++; p.args > p.limits.Fields {
		p.fail(TooManyFields, "more GraphQL strings and comments than the limit")
		return
	}
	p.out.Args = append(p.out.Args, Field{name, value, start, end})
}

func isNameByte(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
}

func isName(token string) bool { return token != "" && isNameByte(token[0]) && token[0] > '9' }

// stringLength returns the length of the string or block string at the front of s, 0 if it does not end.
func stringLength(s []byte) int {
	block := bytes.HasPrefix(s, []byte(`"""`))
	if !block && bytes.HasPrefix(s, []byte(`""`)) {
		return 2
	}
	for i := 1; i < len(s); i++ {
		switch {
		case block && i >= 3 && bytes.HasPrefix(s[i:], []byte(`\"""`)):
			i += 3
		case block && i >= 3 && bytes.HasPrefix(s[i:], []byte(`"""`)):
			return i + 3
		case block:
		case s[i] == '\\' && i+1 < len(s) && s[i+1] != '\n' && s[i+1] != '\r': // a string ends before its line does
			i++
		case s[i] == '"':
			return i + 1
		case s[i] == '\n' || s[i] == '\r':
			return 0
		}
	}
	return 0
}

// accept moves on if the token is this one.
func (p *graphqlParser) accept(token string) bool {
	if p.token != token || p.failed {
		return false
	}
	p.read()
	return true
}

func (p *graphqlParser) expect(token, text string) {
	if !p.accept(token) {
		p.fail(Malformed, text)
	}
}

// name reads a name.
func (p *graphqlParser) name() string {
	name := p.token
	if !isName(name) {
		p.fail(Malformed, "no GraphQL name where one is due")
		return ""
	}
	p.read()
	return name
}

func (p *graphqlParser) definition() {
	d := &definition{kind: "query"}
	p.current = d
	if len(p.operations)+len(p.fragments) >= p.limits.Fields {
		p.fail(TooManyFields, "more GraphQL definitions than the limit")
		return
	}
	p.description()
	switch p.token {
	case "{":
	case "query", "mutation", "subscription":
		d.kind = p.name()
		if isName(p.token) {
			d.name = p.name()
		}
		if p.token == "(" {
			p.variables()
		}
	case "fragment":
		p.read()
		d.kind, d.name = "fragment", p.name()
		if p.token == "(" { // variables of a fragment, which are a proposal
			p.variables()
		}
		p.expect("on", "a GraphQL fragment without its type")
		p.name()
	default:
		p.fail(Malformed, "no GraphQL operation or fragment")
		return
	}
	p.directives()
	if d.kind == "fragment" {
		p.fragments[d.name] = d
	} else {
		p.operations = append(p.operations, d)
	}
	p.selections(1, 1)
}

// variables reads the definitions of variables, of which only the default values matter.
func (p *graphqlParser) variables() {
	p.expect("(", "no GraphQL variables")
	for !p.failed && !p.accept(")") {
		p.description()
		p.expect("$", "no GraphQL variable")
		p.argument = p.name()
		p.expect(":", "a GraphQL variable without its type")
		for isName(p.token) || p.token == "[" || p.token == "]" || p.token == "!" {
			p.read()
		}
		if p.accept("=") {
			p.value(1)
		}
		p.directives()
	}
}

// description reads the text before a definition, if there is one.
func (p *graphqlParser) description() {
	if p.token != "" && p.token[0] == '"' {
		p.argument = "#"
		p.keep()
		p.read()
	}
}

func (p *graphqlParser) directives() {
	for p.accept("@") {
		p.name()
		p.arguments()
	}
}

// arguments reads arguments, if there are any, and returns how long a list they ask for, 1 if they do not say.
func (p *graphqlParser) arguments() int {
	length := 1
	if !p.accept("(") {
		return length
	}
	for !p.failed && !p.accept(")") {
		p.argument = p.name()
		p.expect(":", "a GraphQL argument without a value")
		lists := p.argument == "first" || p.argument == "last" || p.argument == "limit"
		literal, isVariable := listLength(p.token), p.token == "$"
		p.value(1)
		switch {
		case lists && isVariable:
			length = max(length, p.variableLength())
		case lists:
			length = max(length, literal)
		}
	}
	return length
}

// variableLength is how long a list the variable that was read last asks for.
func (p *graphqlParser) variableLength() int {
	if p.defaults == nil {
		p.defaults = defaultsOf(p.text)
	}
	length, known := p.defaults[p.variable]
	if p.sent != nil {
		if n, ok := p.sent(p.variable); ok {
			length, known = max(length, n), true
		}
	}
	if !known {
		return listUnknown
	}
	return max(length, 1)
}

// listUnknown is how long a list is taken for that a variable asks for of which nothing is known.
const listUnknown = 10

// defaultsOf finds the numbers that variables have by default, wherever in a document they are declared: "$n: Int = 5".
func defaultsOf(text []byte) map[string]int {
	defaults := map[string]int{}
	for {
		i := bytes.IndexByte(text, '$')
		if i < 0 {
			return defaults
		}
		text = text[i+1:]
		n := 0
		for n < len(text) && isNameByte(text[n]) {
			n++
		}
		name := view(text[:n])
		text = text[n:]
		end := bytes.IndexAny(text, "$,)({}")
		if end < 0 {
			end = len(text)
		}
		if _, value, ok := bytes.Cut(text[:end], []byte("=")); ok {
			value = bytes.TrimLeft(value, " \t\r\n")
			defaults[name] = max(defaults[name], listLength(view(value)))
		}
	}
}

// listLength reads a number, or the start of a variable.
func listLength(token string) int {
	if len(token) > 0 && token[0] == '$' {
		return listUnknown
	}
	n := 0
	for i := 0; i < len(token) && '0' <= token[i] && token[i] <= '9'; i++ {
		n = min(10*n+int(token[i]-'0'), costCeiling)
	}
	return n
}

// value reads a value and keeps its strings.
func (p *graphqlParser) value(depth int) {
	if depth > p.limits.Depth {
		p.fail(TooDeep, "GraphQL values enclose each other deeper than the limit")
		return
	}
	switch {
	case p.token == "":
		p.fail(Malformed, "the GraphQL document ends early")
	case p.accept("$"):
		p.variable = p.name()
	case p.accept("["):
		for !p.failed && !p.accept("]") {
			p.value(depth + 1)
		}
	case p.accept("{"):
		for !p.failed && !p.accept("}") {
			p.argument = p.name()
			p.expect(":", "a GraphQL field without a value")
			p.value(depth + 1)
		}
	case p.token[0] == '"':
		p.keep()
		p.read()
	case isNameByte(p.token[0]) || p.token[0] == '-':
		p.read()
	default:
		p.fail(Malformed, "no GraphQL value")
	}
}

// keep adds the string that is the token.
func (p *graphqlParser) keep() {
	quotes := 1
	if len(p.token) >= 6 && p.token[:3] == `"""` {
		quotes = 3
	}
	start, end := p.start+quotes, p.start+len(p.token)-quotes
	value := view(p.text[start:end])
	if quotes == 1 && bytes.IndexByte(p.text[start:end], '\\') >= 0 {
		value = p.out.arena.keep(appendUnescaped(p.out.arena.take(end-start), p.text[start:end]))
	}
	room := p.out.arena.take(len("graphql.") + len(p.argument))
	name := p.out.arena.keep(append(append(room, "graphql."...), p.argument...))
	p.add(name, value, start, end)
}

// selections reads a selection set. depth is how many fields enclose it, and one; factor is how often it can be in the
// answer.
func (p *graphqlParser) selections(depth, factor int) {
	if p.nested++; p.nested > p.limits.Depth {
		p.fail(TooDeep, "GraphQL selections enclose each other deeper than the limit")
		return
	}
	defer func() { p.nested-- }()
	p.current.depth = max(p.current.depth, depth)
	p.expect("{", "no GraphQL selection")
	for !p.failed && !p.accept("}") {
		if p.accept("...") {
			p.spread(depth, factor)
		} else {
			p.field(depth, factor)
		}
	}
}

func (p *graphqlParser) field(depth, factor int) {
	name := p.name()
	if p.accept(":") {
		p.current.aliases++
		name = p.name()
	}
	if p.failed {
		return
	}
	if name == "__schema" || name == "__type" {
		p.current.introspection++
	}
	p.current.fields++
	p.current.cost = min(p.current.cost+factor, costCeiling)
	length := p.arguments()
	p.directives()
	if p.token == "{" {
		p.selections(depth+1, times(factor, length))
	}
}

// spread reads what follows "...": a fragment's name, or a fragment in place.
func (p *graphqlParser) spread(depth, factor int) {
	if isName(p.token) && p.token != "on" {
		p.current.spreads = append(p.current.spreads, spread{p.name(), depth, factor})
		p.directives()
		return
	}
	if p.accept("on") {
		p.name()
	}
	p.directives()
	p.selections(depth, factor)
}

func times(a, b int) int { return min(a*min(b, costCeiling/max(a, 1)+1), costCeiling) }

// The states of a definition in resolve.
const (
	unresolved = iota
	resolving
	resolved
)

// resolve adds to a definition what its fragments select. Fragments that spread themselves are a problem, and count once.
func (p *graphqlParser) resolve(d *definition, depth int) counts {
	switch {
	case d.state == resolved:
		return d.counts
	case d.state == resolving:
		p.out.fail(Malformed, 0, "a GraphQL fragment spreads itself")
		return counts{}
	case depth > p.limits.Depth:
		p.out.fail(TooDeep, 0, "GraphQL fragments spread each other deeper than the limit")
		return counts{}
	}
	d.state = resolving
	for _, s := range d.spreads {
		fragment, ok := p.fragments[s.name]
		if !ok {
			continue
		}
		c := p.resolve(fragment, depth+1)
		d.depth = max(d.depth, s.depth-1+c.depth)
		d.fields = min(d.fields+c.fields, costCeiling)
		d.aliases = min(d.aliases+c.aliases, costCeiling)
		d.cost = min(d.cost+times(s.factor, c.cost), costCeiling)
		d.introspection = min(d.introspection+c.introspection, costCeiling)
	}
	d.state = resolved
	return d.counts
}
