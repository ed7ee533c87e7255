package waf

import (
	"encoding/json"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"stormdoor/internal/gate/waf/syntax"
)

// shellProse reports whether a value is a text in which no shell finds a command to run, should it be given to one. A
// command needs an argument with structure (a path, an option, a variable, a redirection), or to stand alone where a command
// may stand. Names of commands are in lower case.
func shellProse(s string) bool {
	return clauses(s, true) || listing.MatchString(s) || query(s) || noShell(s)
}

// shellOrFile is for rules that take the "base64," of a file for a command.
func shellOrFile(s string) bool {
	return inlineFile(s) || shellProse(s) || compound.MatchString(s) || disposition.MatchString(s)
}

// windowsProse is shellProse where the case of names does not matter.
func windowsProse(s string) bool { return clauses(s, false) || noWindows(s) }

// clauses reports whether each part of a text that a shell would take for a command is a clause of a sentence.
func clauses(s string, lowerCommands bool) bool {
	if strings.ContainsAny(s, "$`<>|\\{}[]=~^%*#@_\x00") || strings.Contains(strings.ReplaceAll(s, " & ", ""), "&") || !utf8.ValidString(s) {
		return false
	}
	s = strings.ReplaceAll(s, " & ", " ; ") // either parts commands
	words, grammar := 0, 0
	for clause := range strings.FieldsFuncSeq(s, func(r rune) bool { return strings.ContainsRune(";\r\n()", r) }) {
		capital, n, g := false, 0, 0
		for token := range strings.FieldsSeq(clause) {
			word, plain := wordOf(token)
			if !plain {
				return false
			}
			if word == "" {
				continue
			}
			first, _ := utf8.DecodeRuneInString(word)
			if n == 0 {
				capital = unicode.IsUpper(first)
			}
			n++
			if grammatical[strings.ToLower(word)] {
				g++
			}
		}
		if n > 0 && g == 0 && !(capital && lowerCommands) {
			return false
		}
		words, grammar = words+n, grammar+g
	}
	alone := !strings.ContainsAny(s, ";\r\n()")
	if words == 2 && grammar == 0 && lowerCommands && names.MatchString(s) {
		return true
	}
	return words >= 3 && (grammar*8 >= words || grammar == 0 && alone && lowerCommands)
}

// wordOf takes the punctuation of sentences off a token. It is plain if what is left is a word, a number or nothing.
func wordOf(token string) (word string, plain bool) {
	if strings.HasPrefix(token, "-") && strings.Trim(token, "-") != "" {
		return "", false // an option
	}
	word = strings.Trim(token, `"'.,:!?-`)
	numeric := strings.IndexFunc(word, unicode.IsLetter) < 0
	for _, r := range word {
		switch {
		case unicode.IsLetter(r), unicode.IsDigit(r), unicode.Is(unicode.Mn, r):
		case r == '\'', r == '-', r == '’':
		case r >= 0x80 && !unicode.IsControl(r):
		case numeric && strings.ContainsRune(".,:", r):
		default:
			return "", false
		}
	}
	if strings.Count(word, "'") > 1 || strings.HasSuffix(word, "'") {
		return "", false // quotes that hide a name
	}
	return word, true
}

// substitution is what a shell expands, as it has to be written.
var substitution = regexp.MustCompile("[$<>]\\(|\\$[{\\[]|/\\w*\\[|`|%|\\\\")

// noSubstitution reports whether no shell would expand anything in a value.
func noSubstitution(s string) bool {
	if filledIn(s) {
		return true
	}
	if pagePath.MatchString(s) {
		s = anyPage.ReplaceAllString(s, "/")
	}
	return !substitution.MatchString(s) || noShell(s)
}

// mention reports whether a value is a text that speaks of a file: it neither begins with a path nor climbs, so that
// opening it opens nothing.
func mention(s string) bool {
	first, _, _ := strings.Cut(strings.TrimSpace(s), " ")
	if jsonName.MatchString(s) {
		return true
	}
	return inside.MatchString(s) && !climbing.MatchString(s) || text(s) && !climbing.MatchString(s) && !strings.HasPrefix(first, ".") && !strings.HasPrefix(first, "~") && !strings.ContainsAny(first, "/\\")
}

// climbing is a path that leaves its folder behind whatever stands before it, or an address that names a file.
var climbing = regexp.MustCompile(`\.\.[/\\]|(?i)\b(?:file|php|phar|zip|data|expect|glob|jar|netdoc)://`)

// mentionedProgram is mention for paths of programs, which a shell may run.
func mentionedProgram(s string) bool { return noShell(s) && mention(s) }

// count counts the words of a text, and how many of them make sentences.
func count(s string) (words, grammar int) {
	for token := range strings.FieldsSeq(s) {
		words++
		if grammatical[strings.ToLower(strings.Trim(token, `"'.,:;!?()-`))] {
			grammar++
		}
	}
	return words, grammar
}

// sqlShape is what a statement of SQL is made of, beside its words.
var sqlShape = regexp.MustCompile(`(?i)\bunion\W*(?:(?:all|distinct)\W+)?select\b|\bselect\b.{0,400}\bfrom\b|\binsert\W+into\b|\bupdate\b.{0,200}\bset\b|\bdelete\W+from\b|\bdrop\W+\w|\bcase\W+when\b|\bhaving\b|\bload_file\b|\binto\W+(?:out|dump)file\b|\w\(|\b(?:(?:pg_)?sleep|benchmark|if|ifnull|user|version|database|count|concat\w*|group_concat|char|chr|ascii|ord|hex|mid|substr\w*|length|cast|convert|exp|extractvalue|updatexml|md5|randomblob)\s*\(|\(\s*select\b|\b(?:or|and|xor|not|like|between|in|is)\b\s*(?:['"(\d!-]|null\b|true\b|false\b)|['"]\s*(?:or|and|xor|\|\||;|having|group|order|limit|union)\b|['")\d]\s*#|['")\d]--|;\s*\w+\s+\w+\s*$`)

// sqlProse reports whether a value is a text with words that SQL has too.
func sqlProse(s string) bool {
	if query(s) || noSQL(s) {
		return true
	}
	if strings.ContainsAny(s, "=<>|&$`\\{}[]@%\x00") || strings.Contains(s, "/*") || sqlShape.MatchString(s) {
		return false
	}
	words, grammar := count(s)
	return words >= 4 && grammar*8 >= words
}

// otherQuery reports whether a dollar sign belongs to GraphQL or OData.
func otherQuery(s string) bool {
	return query(s) || odata.MatchString(s) || odataAddress(s) || odataOptions(s) || text(s) && !operator.MatchString(s)
}

// noVariable is for variables of PHP, which other programs fill in where they write them alike.
func noVariable(s string) bool {
	return noProgram(s) || filledIn(s)
}

// noCall is for calls of functions.
func noCall(s string) bool { return noProgram(s) || disposition.MatchString(s) }

// operator is one of MongoDB as it has to be written: a key of an object, or in the brackets of a name.
var operator = regexp.MustCompile(`(?i)["'\[{,]\s*\$(?:eq|ne|gte?|lte?|n?in|n?or|and|not|regex|exists|type|mod|where|expr|all|elemmatch|size|text|function|set|unset|inc|push|pull)["'\]]?\s*[:\]]`)

// noScript reports whether a value has nothing by which a script calls or sets anything.
func noScript(s string) bool { return !strings.ContainsAny(s, "(`=[{+\\%&<>;\x00") }

// text reports whether people may have written a value for people: words that stand apart, some of which make sentences.
// It decides nothing by itself: what it lets pass must not hold together as an attack either.
func text(s string) bool {
	if len(s) < 20 || !utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0 {
		return false
	}
	if c := s[0]; (c == '{' || c == '[') && json.Valid([]byte(s)) {
		return false // the values in it are what is used
	}
	words, grammar, letters := 0, 0, 0
	for token := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == '<' || r == '>' || unicode.IsSpace(r) }) {
		if pairs.MatchString(token) && !strings.Contains(token, "/") {
			return false // fields within a field
		}
		word := strings.Trim(token, "\"'.,:;!?()-<>[]…“”„«»*_`")
		foreign, plain := 0, true
		for _, r := range word {
			switch {
			case r >= utf8.RuneSelf && unicode.IsLetter(r):
				foreign++
			case !unicode.IsLetter(r) && r != '\'' && r != '’' && r != '-' && !unicode.Is(unicode.Mn, r):
				plain = false
			}
		}
		letters += foreign
		if len(word) < 2 || !plain && foreign == 0 {
			continue
		}
		words++
		if foreign > 0 || grammatical[strings.ToLower(word)] || common[strings.ToLower(word)] {
			grammar++
		}
		if words >= 5 && grammar >= 1 || words >= 9 || letters >= 20 {
			return true
		}
	}
	return false
}

// common are words that sentences are made of, and commands and statements are as well.
var common = map[string]bool{"for": true, "in": true, "as": true, "at": true, "if": true, "all": true, "now": true, "see": true, "new": true, "use": true, "no": true, "like": true, "when": true, "can": true, "do": true, "try": true, "how": true, "who": true}

// pairs is how fields stand in the body of a form.
var pairs = regexp.MustCompile(`[\w\]]=[^&=]*&[\w.\[\]-]+=`)

// probing is SQL that nobody writes but to try a database: it counts wherever it stands.
var probing = regexp.MustCompile(`(?i)\b(?:and|or|not|select|union|if|when|xor)\b\W.{0,40}\b(?:(?:pg_)?sleep|benchmark)\s*\(\s*\d|\bwaitfor\s+delay\s*'|\b(?:extractvalue|updatexml|xmltype|dbms_pipe\.\w+|utl_(?:http|inaddr)\.\w+)\s*\(|\b(?:or|and)\s+(?:(\d)=\d|'(\w)'='\w)`)

// probes reports whether a value holds such SQL. Most texts have none of what it cannot do without, which is looked for first: the
// expression is slow.
func probes(s string) bool { return mayProbe(s) && probing.MatchString(s) }

// mayProbe reports whether a value calls a function that probing names, compares two characters as it has to, or may wait.
func mayProbe(s string) bool {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '=':
			if i > 0 && i+1 < len(s) && (isDigit(s[i-1]) && isDigit(s[i+1]) || s[i-1] == '\'' && s[i+1] == '\'') {
				return true
			}
		case '(':
			name := strings.TrimRight(s[:i], " \t\n\f\r")
			end := strings.TrimRightFunc(name, func(r rune) bool { return r == '_' || r == '.' || unicode.IsLetter(r) || unicode.IsDigit(r) })
			if called.MatchString(name[len(end):]) {
				return true
			}
		case 'w', 'W':
			if len(s)-i > len("waitfor") && strings.EqualFold(s[i:i+len("waitfor")], "waitfor") {
				return true
			}
		}
	}
	return false
}

// called are the functions of probing, by how their names end.
var called = regexp.MustCompile(`(?i)(?:sleep|benchmark|extractvalue|updatexml|xmltype|dbms_pipe\.\w+|utl_(?:http|inaddr)\.\w+)$`)

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func noShell(s string) bool   { return text(s) && !syntax.Shell(s) }
func noWindows(s string) bool { return text(s) && !syntax.Windows(s) }
func noSQL(s string) bool     { return text(s) && !probes(s) && !syntax.SQL(s) }
func noBasic(s string) bool   { return noProgram(s) && !basic.MatchString(s) }

// basic is what programs of ASP and of Windows' script host are made of.
var basic = regexp.MustCompile(`(?i)\bev\s+al\b|server\.\w+\s*[=(]|resume\s+next|\w\.\w+\s*\(|response\.|createobject|wscript|xp_cmdshell|["']\s*&`)

func noBatch(s string) bool   { return text(s) && !syntax.Batch(s) }
func noProgram(s string) bool { return text(s) && !syntax.Script(s) }
func noMarkup(s string) bool {
	return text(s) && !syntax.HTML(s) && !syntax.Script(s) || syntax.Formatted(s) && !syntax.Runs(s) && !syntax.Script(s) || plainXML(s)
}
func noScripts(s string) bool { return text(s) && !syntax.Runs(s) && !syntax.Script(s) }
func noAnswer(s string) bool  { return text(s) && !answer.MatchString(s) && !syntax.HTML(s) }

// answer is where another answer could begin, or a field of one.
var answer = regexp.MustCompile(`(?i)http/\d(?:\.\d)?\s+\d{3}|[\r\n\x{560a}\x{560d}]\s*(?:set-cookie\s*:\s*[\w-]+=|location\s*:\s*(?:https?:)?//|refresh\s*:\s*\d|content-[\w-]+\s*:\s*[\w-]+[/;\d]|(?:x-forwarded-\w+|host|via)\s*:\s*[\w-]+\.[\w.-]+)`)

// oddWord reports whether a value is one short word, such as a password, that holds together as no SQL.
func oddWord(s string) bool {
	return len(s) <= 40 && !strings.ContainsAny(s, " \t\r\n\v\f+%\x00\xa0") && !strings.Contains(s, "/*") && !syntax.SQL(s)
}

func noStacking(s string) bool { return noSQL(s) || oddWord(s) }

// noInjection is for the fingerprints of libinjection.
func noInjection(s string) bool {
	return inlineFile(s) || strings.Count(s, "*") == 1 && wildcard.MatchString(s) || mailbox(s) || noSQL(s) || oddWord(s) || strings.Contains(s, "?") && prepared.MatchString(s) && !syntax.SQL(s)
}

// noNamespace is for declarations of namespaces: a document of XML has them, and runs nothing if none is one that browsers
// know.
func noNamespace(s string) bool {
	return inlineFile(s) || noMarkup(s) || !strings.ContainsAny(s, "<>\"'`") && !attribute.MatchString(s) || document.MatchString(s) && !known.MatchString(s)
}

// onlyComments is for what XSS and comments of HTML have in common: comments that are closed, and nothing else.
func onlyComments(s string) bool {
	return noMarkup(s) || strings.Contains(s, "-->") && !comment.MatchString(closedComment.ReplaceAllString(s, "")) && !syntax.HTML(s)
}

var (
	closedComment = regexp.MustCompile(`<!--[^<>\[#]*-->`)
	comment       = regexp.MustCompile(`(?i)<!--|-->|<!\[cdata\[|document\.(?:cookie|write)|\.(?:parentnode|innerhtml)|window\.location|-moz-binding`)
)
