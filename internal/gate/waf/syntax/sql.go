package syntax

import (
	"regexp"
	"strings"
)

// The words of SQL, by where they may stand. A word that is in none of them is a name.
var (
	sqlBetween  = setOf("and or xor like rlike regexp div mod is in between similar glob match collate sounds ilike escape overlaps")                                                                                                                                                    // behind an operand, before another
	sqlBefore   = setOf("not exists binary distinct all any some interval case prior top row distinctrow sql_calc_found_rows straight_join unique")                                                                                                                                      // before an operand
	sqlLiteral  = setOf("date time timestamp n x b e q u _utf8 _latin1 _binary _ucs2 nchar")                                                                                                                                                                                             // before a string
	sqlClause   = setOf("as from where group order having limit offset into procedure for window fetch returning set values on using join left right inner outer cross natural full by then else when lateral apply pivot partition over with within separator lines fields terminated") // begins what follows
	sqlTrailing = setOf("asc desc end nulls first last only rows next share update nowait rollup array")                                                                                                                                                                                 // behind an operand
	sqlSets     = setOf("union except intersect minus")
	sqlStarts   = setOf("select insert update delete drop create alter exec execute declare waitfor shutdown truncate grant revoke set begin if use call copy do merge replace rename load handler backup restore print raiserror kill dbcc bulk attach detach pragma vacuum show describe explain with values prepare deallocate open fetch")
	// sqlSecond is what the second word of a statement is, where its first is a word that people use.
	sqlSecond = map[string]set{
		"insert": setOf("into ignore low_priority delayed high_priority overwrite or"), "delete": setOf("from top low_priority quick ignore"), "drop": setOf("table database view index user schema function procedure trigger column login role sequence temporary type"),
		"create": setOf("table database view index user schema function procedure trigger login role sequence temporary temp type or unique extension alias"), "alter": setOf("table database view index user schema function procedure trigger login role session system"),
		"waitfor": setOf("delay time"), "load": setOf("data xml extension"), "begin": setOf("dbms_lock declare transaction tran work try execute select null"), "use": nil, "set": nil, "show": setOf("tables databases columns variables grants processlist status"),
		"backup": setOf("database log table"), "restore": setOf("database log table"), "bulk": setOf("insert"), "open": nil, "describe": nil, "explain": setOf("select analyze plan"), "print": nil, "kill": nil, "call": nil, "do": nil, "copy": nil, "fetch": setOf("next from"), "rename": setOf("table user"), "grant": nil,
	}
)

// dollar begins a literal of PostgreSQL.
var dollar = regexp.MustCompile(`^\$[A-Za-z_]*\$`)

// SQL reports whether a value could change what a statement of SQL does that it is put into, in quotes or without.
func SQL(s string) bool {
	if strings.Contains(s, "/*!") {
		return true
	}
	all, complete := starts(s, "'\"`")
	if !complete {
		return true
	}
	budget := 4*len(s) + 1024
	for _, from := range all {
		p := sqlReader{s: s, i: from.at, from: from, budget: budget}
		if from.quote != 0 {
			p.operand = true
		}
		if p.read() {
			return true
		}
		if budget = p.budget; budget <= 0 {
			return true
		}
	}
	return false
}

// sqlReader reads a value as the continuation of a statement.
type sqlReader struct {
	s       string
	i       int
	from    start
	budget  int  // bytes that may still be read
	operand bool // one stands before i; otherwise one must follow, or a clause
	tokens  int  // read in this statement
	depth   int  // brackets of the value's own that are open
	lists   bool // in a list of columns or tables, where names of their own may follow
	named   bool // such a name stands before i
	selects bool // in a statement of SELECT of the value's own
	does    bool // what was read does more than the application's statement would
	joined  bool // and, or and their kin were read
	compare bool // operands were compared
}

// read reports whether the value holds together from here to its end or to a comment, and does something.
func (p *sqlReader) read() bool {
	for {
		p.space()
		if p.i >= len(p.s) {
			return p.active("")
		}
		if p.budget <= 0 {
			return true
		}
		at := p.i
		ended, ok := p.token()
		p.budget -= p.i - at
		switch {
		case ended:
			return ok
		case !ok:
			return false
		}
		p.tokens++
	}
}

func (p *sqlReader) space() {
	for p.i < len(p.s) {
		switch c := p.s[p.i]; {
		case c == ' ' || c >= '\t' && c <= '\r' || c == 0 || c == 0xa0:
			p.i++
			p.budget--
		case strings.HasPrefix(p.s[p.i:], "/*"):
			n := strings.Index(p.s[p.i+2:], "*/")
			if n < 0 {
				return
			}
			p.i += n + 4
			p.budget -= n + 4
		default:
			return
		}
	}
}

// active says whether what was read up to a comment, or up to the end of the value, does something.
func (p *sqlReader) active(comment string) bool {
	if comment != "" && (!p.operand || p.depth > 0) {
		return false // an operator without its operand, a bracket that nobody can close any more
	}
	if p.does || p.joined && (p.from.quote != 0 || p.compare || p.tokens < 8) {
		return true
	}
	// The rest of the statement is cut off: a text behind the comment is no reason to believe that it was meant, unless
	// the value has got out of its quotes at the first chance.
	return comment != "" && p.from.quote != 0 && p.operand && (p.from.first || words(comment, 3) < 3)
}

// token reads one token. ended says that the reading is over, and ok then whether it does something; otherwise ok says
// whether the token may stand here.
func (p *sqlReader) token() (ended, ok bool) {
	s, i := p.s, p.i
	c := s[i]
	rest := s[i:]
	switch {
	case strings.HasPrefix(rest, "/*"):
		return true, p.active(rest)
	case strings.HasPrefix(rest, "--"), c == '#':
		n := strings.IndexByte(rest, '\n')
		if n < 0 || strings.TrimSpace(rest[n:]) == "" {
			return true, p.active(rest)
		}
		p.i += n // what follows the line is read
		return false, true
	case c == ';':
		p.i++
		return p.statement()
	case c == '\'' || c == '"' || c == '`':
		return p.literal(c)
	case c == '$' && dollar.MatchString(rest): // a literal of PostgreSQL
		tag := dollar.FindString(rest)
		n := strings.Index(rest[len(tag):], tag)
		if n < 0 || p.operand {
			return true, false
		}
		p.i += n + 2*len(tag)
		p.operand = true
		return false, true
	case c == '[':
		n := strings.IndexByte(rest, ']')
		if n < 0 || p.operand && !p.lists && s[max(0, i-1)] == ' ' {
			return false, false
		}
		p.i += n + 1
		p.operand = true
		return false, true
	case digit(c), c == '.' && i+1 < len(s) && digit(s[i+1]):
		return false, p.number()
	case named(c), c == '@', c == '$' && i+1 < len(s) && named(s[i+1]), c == ':' && i+1 < len(s) && named(s[i+1]) && !p.operand:
		return p.word()
	case c == '(' || c == '{':
		p.i++
		p.depth++
		if p.operand { // f(…), in (…): the name has been taken for an operand
			p.does = p.does || p.called(i)
		}
		p.operand = false
		return false, true
	case c == ')' || c == '}':
		p.i++
		p.depth--
		begins := p.tokens == 0 && p.from.quote == 0 // what stands in the bracket is the application's
		ok := p.operand || i > 0 && s[i-1] == '(' || begins
		p.operand, p.named, p.lists = true, false, p.lists || p.selects // a subquery gets a name
		return false, ok
	case c == ',':
		p.i++
		ok := p.operand
		p.operand, p.named = false, false
		return false, ok
	}
	return false, p.operator()
}

// called reports whether a bracket at i is that of a call: a name stands right before it, or with a space.
func (p *sqlReader) called(i int) bool {
	before := strings.TrimRight(p.s[:i], " ")
	return before != "" && named(before[len(before)-1])
}

func (p *sqlReader) operator() bool {
	rest := p.s[p.i:]
	for _, o := range []string{"<=>", "->>", "||", "&&", "<>", "<=", ">=", "!=", "^=", ":=", "::", "<<", ">>", "->", "**", "~*", "!~", "==", "=", "<", ">", "+", "-", "*", "/", "%", "|", "&", "^", "~", "!", ".", "?", "\\"} {
		if !strings.HasPrefix(rest, o) {
			continue
		}
		p.i += len(o)
		switch o {
		case "||", "&&":
			p.joined = p.joined || p.operand
		case "=", "<", ">", "<>", "<=", ">=", "!=", "<=>", "==":
			p.compare = true
		case ":=":
			p.does = true
		case "-", "+", "~", "!":
			if !p.operand {
				return true // signs
			}
		case "*":
			if !p.operand { // count(*), select *
				p.operand = true
				return true
			}
		case "?":
			return false // a place for a value: nothing runs a statement with one
		case "\\": // \N, or what a backslash has before a quote
			p.operand = true
			return p.i < len(p.s) && (p.s[p.i] == 'N' || p.s[p.i] == '\'' || p.s[p.i] == '"')
		}
		ok := p.operand
		p.operand, p.named = false, false
		return ok
	}
	return false
}

func (p *sqlReader) literal(quote byte) (ended, ok bool) {
	end, closed := closing(p.s, p.i+1, quote)
	for closed && end < len(p.s) && p.s[end] == quote { // doubled
		end, closed = closing(p.s, end+1, quote)
	}
	before := p.i > 0 && (p.s[p.i-1] == '\'' || p.s[p.i-1] == '"')
	joins := !p.operand || before || p.lists && !p.named || p.tokens == 0 && p.from.quote != 0
	p.i = end
	if !joins {
		return true, false
	}
	if !closed { // the application closes it, if it is of its kind
		return true, quote == p.from.quote && p.active("")
	}
	p.named = p.operand
	p.operand = true
	return false, true
}

func (p *sqlReader) number() bool {
	end := p.i
	for end < len(p.s) && (named(p.s[end]) || p.s[end] == '.') {
		end++
	}
	p.i = end
	ok := !p.operand
	p.operand = true
	return ok
}

// word reads a name or a word of SQL.
func (p *sqlReader) word() (ended, ok bool) {
	end := p.i + 1
	for end < len(p.s) && (named(p.s[end]) || p.s[end] == '@' || p.s[end] == '$' || p.s[end] == '.' && end+1 < len(p.s) && named(p.s[end+1])) {
		end++
	}
	text := p.s[p.i:end]
	word := strings.ToLower(text)
	p.i = end
	switch {
	case word == "select":
		// In brackets, behind union, or as a statement: not in the middle of an expression.
		p.does, p.selects, p.lists, p.operand = true, true, true, false
		return false, p.tokens == 0 || p.opened(word, len(text))
	case sqlSets[word]:
		ok = p.operand && p.setFollows()
		p.does, p.operand = p.does || ok, false
		return false, ok
	case sqlBetween[word]:
		p.joined = p.joined || p.operand && (word == "and" || word == "or" || word == "xor")
		p.compare = p.compare || p.operand && word != "and" && word != "or"
		ok = p.operand
		p.operand, p.named, p.lists = false, false, p.lists && p.selects && word != "and" && word != "or"
		return false, ok
	case sqlBefore[word]:
		ok = !p.operand || word == "not" || word == "all" || word == "distinct"
		p.operand = false
		return false, ok
	case sqlClause[word]:
		return false, p.clause(word)
	case sqlTrailing[word] && p.operand:
		return false, true
	case sqlLiteral[word] && p.i < len(p.s) && (p.s[p.i] == '\'' || p.s[p.i] == '"'):
		ok = !p.operand
		p.operand = false
		return false, ok
	case !p.operand:
		p.operand = true
		return false, true
	}
	// A name behind an operand is a name that is given to it: once, and only in a list.
	ok = !p.named && (p.lists || p.tokens == 1 && p.from.quote == 0)
	p.named = true
	return false, ok
}

// opened reports whether a bracket, or a word that a statement follows, stands before the word that has just been read.
func (p *sqlReader) opened(word string, n int) bool {
	before := strings.ToLower(strings.TrimRight(p.s[max(0, p.i-n-80):p.i-n], " \t\r\n\f\v\x00+"))
	if strings.HasSuffix(before, "*/") {
		return true
	}
	if before == "" || strings.HasSuffix(before, "(") || strings.HasSuffix(before, ";") {
		return true
	}
	last := before[strings.LastIndexFunc(before, func(r rune) bool { return r < 0x80 && !named(byte(r)) })+1:]
	return sqlSets[last] || last == "all" || last == "distinct" || last == "distinctrow" || last == "as" || last == "explain" || last == "exec" || last == "begin"
}

// setFollows reports whether what follows union and its kin is a statement.
func (p *sqlReader) setFollows() bool {
	next := p.s[p.i:min(len(p.s), p.i+300)]
	for word := range strings.FieldsFuncSeq(next, func(r rune) bool { return r < 0x80 && !named(byte(r)) }) {
		switch strings.ToLower(word) {
		case "select", "values", "table":
			return true
		case "all", "distinct", "distinctrow":
			continue
		}
		return strings.Contains(next, "/*") || strings.Contains(next, "--")
	}
	return true // nothing: what follows is in another field
}

// clause reads a word that begins a clause.
func (p *sqlReader) clause(word string) bool {
	ok := p.operand || word == "when" || word == "then" || word == "by" || word == "left" || word == "right" || word == "for" || word == "values" || word == "join" || word == "outer" || word == "into" || p.tokens == 0
	switch word {
	case "from", "join", "using", "into", "set":
		p.lists = true
	case "where", "having", "on", "limit":
		p.lists = false
	}
	if p.from.quote != 0 && p.operand && (word == "having" || word == "procedure" || word == "into" || word == "limit" || word == "group" || word == "order") {
		p.does = true
	}
	if word == "into" || word == "procedure" || word == "having" {
		p.does = p.does || p.operand
	}
	if (word == "left" || word == "right" || word == "values") && p.i < len(p.s) && p.s[p.i] == '(' { // the functions
		ok, p.operand = !p.operand || word == "values", true
		return ok
	}
	p.operand, p.named = false, false
	return ok
}

// statement reads what stands behind a semicolon. The reading goes on where it is the beginning of a statement.
func (p *sqlReader) statement() (ended, ok bool) {
	if !p.operand && p.tokens > 0 {
		return true, false
	}
	p.space()
	rest := p.s[p.i:]
	if rest == "" || strings.HasPrefix(rest, "--") || strings.HasPrefix(rest, "#") || strings.HasPrefix(rest, "/*") {
		return true, p.active(rest + " ")
	}
	end := nameEnd(rest, 0)
	first := strings.ToLower(rest[:end])
	if !sqlStarts[first] {
		return true, false
	}
	if second, restricted := sqlSecond[first]; restricted {
		next := strings.TrimLeft(rest[end:], " \t\r\n\x00(")
		word := strings.ToLower(next[:nameEnd(next, 0)])
		switch {
		case strings.HasPrefix(next, "/*"), strings.HasPrefix(next, "@"):
		case second != nil && !second[word], second == nil && words(next, 3) == 3 && !strings.ContainsAny(next, "='\"@("):
			return true, false
		}
	}
	if words(rest, 12) >= 12 && !strings.ContainsAny(rest, "='\"@(*") { // statements are short, or have structure
		return true, false
	}
	return true, true
}
