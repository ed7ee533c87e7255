package waf

import (
	"encoding/json"
	"encoding/xml"
	"io"
	"net/url"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"stormdoor/internal/gate/waf/syntax"
	"stormdoor/policy"
	"stormdoor/seclang"
)

// doubts are the rules that match by words, with what a value must be for their match to say nothing. Each judge is about
// what an attack of the rule's class cannot do without; rules for structure that no text has are never doubted.
var doubts = map[int]func(sent string) bool{
	// Commands of the shell by name, and what a shell expands, found after spaces and quotes were taken out.
	932230: shellProse, 932235: shellOrFile, 932250: shellProse, 932260: shellOrFile, 932340: shellProse, 932175: shellProse,
	932130: noSubstitution, 932280: noShell, 9000301: noShell, 9000303: noShell, 9000508: noShell,
	// Commands of Windows by name.
	932120: windowsProse, 932125: windowsProse, 932370: windowsProse, 932380: windowsProse, 932140: noBatch,
	// Names of uploaded files: an apostrophe or a "=" alone.
	920120: fileName,
	// Paths by dots, and requests and answers by their first lines.
	930100: noClimb, 930110: noClimb, 921110: oneLine,
	// Files and programs of the system by name.
	930120: mention, 932160: mentionedProgram,
	// SQL: its words, its fingerprints by libinjection ("John Or@var.es"), and its punctuation.
	942100: noInjection, 942140: noSQL, 942151: sqlProse, 942160: noSQL, 942170: noSQL, 942190: sqlProse, 942230: sqlProse, 942240: noSQL,
	942280: noSQL, 942320: noSQL, 942350: sqlProse, 942360: sqlProse, 942500: noSQL, 942540: noStacking, 942550: noSQL,
	9000605: noSQL,
	// Operators of MongoDB, which other languages of queries write alike.
	942290: otherQuery,
	// Calls of PHP and of JavaScript by the names of functions.
	933135: noVariable, 933150: noProgram, 933160: noCall, 933180: noProgram, 933210: noProgram, 934100: noProgram, 934160: noProgram,
	9000311: noBasic,
	// HTML and its scripts by words and punctuation.
	941100: noMarkup, 941120: noMarkup, 941130: noNamespace, 941170: inlineFile, 934170: noData, 941160: noMarkup, 941180: onlyComments, 941250: noMarkup, 941260: noMarkup, 941270: noMarkup, 941310: noMarkup,
	9000322: noMarkup, 9000323: noMarkup, 941370: noScripts, 941390: noScripts, 9000320: noScripts, 9000321: noScripts,
	// Fields of answers.
	921120: noAnswer, 921130: noAnswerInside, 921160: noAnswer, 9000260: noAnswer,
	// The word "javascript:".
	941210: noScript,
}

// doubtOf is what a policy lets doubt; nil for nothing.
func doubtOf(w *policy.WAF) func(*seclang.Rule, string) bool {
	if w.Prose != nil && !*w.Prose {
		return nil
	}
	return doubt
}

// doubt implements seclang.Options.Doubt.
func doubt(r *seclang.Rule, sent string) bool {
	judge := doubts[r.ID]
	if judge == nil {
		return false
	}
	if strings.IndexByte(sent, '%') >= 0 { // most rules decode once more than the body's type says
		if decoded, err := url.QueryUnescape(sent); err == nil {
			sent = decoded
		}
	}
	return judge(sent) || leaves(sent, judge)
}

// mostJSON is the longest document of JSON in a field of which the values are judged one by one, in bytes.
const mostJSON = 64 << 10

// plainLeaf is a value of JSON that nothing can be made of: a name, a number, a time, an address of the web without a query.
var plainLeaf = regexp.MustCompile(`^(?:[\w:@+-]+(?:\.[\w:@+-]+)*|\{\}|\[\]|https?://[\w-]+(?:\.[\w-]+)*(?::\d+)?(?:/[\w~:@+-]+(?:\.[\w~:@+-]+)*)*/?)?$`)

// programLeaf begins like an option of a command or an object of a program.
var programLeaf = regexp.MustCompile(`^-|(?i)^(?:process|window|document|java|javax|system|runtime|os|global|globalthis|require|module|self|this|navigator|location|powershell|cmd|bash|sh)\b`)

// leaves reports whether a value is a document of JSON, as hooks send it in a field of a form, of which every text and every name is harmless by itself.
func leaves(s string, judge func(string) bool) bool {
	if len(s) > mostJSON || len(s) == 0 || s[0] != '{' && s[0] != '[' || !json.Valid([]byte(s)) {
		return false
	}
	tokens := json.NewDecoder(strings.NewReader(s))
	for {
		token, err := tokens.Token()
		if err != nil {
			return err == io.EOF
		}
		if text, ok := token.(string); ok && !(plainLeaf.MatchString(text) && !programLeaf.MatchString(text)) && !judge(text) {
			return false
		}
	}
}

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

// compound is one name of several words, such as docker-hello-world: no command, or one that is given nothing to do.
var compound = regexp.MustCompile(`^[a-z]+(?:-[a-z0-9]+)+$`)

// disposition is what stands in the field Content-Disposition (RFC 6266), which addresses of stores have in their query.
var disposition = regexp.MustCompile(`^(?:attachment|inline)(?:;\s*[a-zA-Z]+\*?=(?:"(?:[\w .,'+@&#!~^=\p{L}\p{N}-]|\(\d{1,4}\))*"|[\w!#&+.^~%'-]+))*$`)

// listing is the one command that tells nothing without a path: ls of plain names.
var listing = regexp.MustCompile(`(?i)^ls(?: [a-z0-9]+){2,}$`)

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

// names are two words with capitals, as people and things have them; commands have none.
var names = regexp.MustCompile(`^[A-Z][a-z]+ [A-Z][a-z]+$`)

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

// filledIn reports whether a value is nothing but a place that some program fills in, ${api_key}, or an address or a path with such places as whole parts
// of it: an empty variable anywhere else takes the name of a command apart.
func filledIn(s string) bool {
	if !places.MatchString(s) {
		return false
	}
	for _, name := range filled.FindAllStringSubmatch(s, -1) {
		if special.MatchString(name[1]) {
			return false
		}
	}
	return true
}

var (
	filled = regexp.MustCompile(`\$\{(\w+)\}`)
	places = regexp.MustCompile(`^(?:(?:(?i:bearer|basic|token|apikey) )?\$\{\w{1,40}\}` +
		`|[\w.-]+(?:/[\w.-]+)*/\$\{\w{1,40}\}` +
		`|https?://[\w.-]+(?::\d+)?(?:[/?&]|[\w.%:,+~-]|=|[=/]\$\{\w{1,40}\}(?:[&/]|$))*)$`)
	// special are variables that hold something: of a shell, and of the languages of templates.
	special = regexp.MustCompile(`^(?:IFS|PATH|HOME|PWD|OLDPWD|SHELL\w*|BASH\w*|ENV|USER|HOST\w*|TERM\w*|LANG|MAIL\w*|EDITOR|\w*DIR\w*|PS\d|LD_\w*|LS_\w*|RANDOM|SECONDS|LINENO|OPT\w*|REPLY|_+\w*` +
		`|(?i:cookie|header|param|request|response|session|application|page|init)\w*|self|this|root|config|env|class|T|execution|facesContext|jndi|sys)$`)
)

// pagePath is a path below some folder: from the root on, brackets stand for programs of the system.
var pagePath = regexp.MustCompile(`^[\w@(][\w./()@\[\]-]*$`)

// anyPage is a part of a path that stands for any page in the files of a site (Next.js): [slug], [...slug], [[...slug]].
var anyPage = regexp.MustCompile(`(?:^|/)\[{1,2}(?:\.\.\.)?[\w-]+\]{1,2}(?:-[0-9a-f]{6,40}\.(?:js|css|map))?(?:/|$)`)

// mention reports whether a value is a text that speaks of a file: it neither begins with a path nor climbs, so that
// opening it opens nothing.
func mention(s string) bool {
	first, _, _ := strings.Cut(strings.TrimSpace(s), " ")
	if jsonName.MatchString(s) {
		return true
	}
	return inside.MatchString(s) && !climbing.MatchString(s) || text(s) && !climbing.MatchString(s) && !strings.HasPrefix(first, ".") && !strings.HasPrefix(first, "~") && !strings.ContainsAny(first, "/\\")
}

// jsonName is where a value stands in JSON: the points are the reader's own.
var jsonName = regexp.MustCompile(`^(?:json|protobuf)(?:\.[\w$@-]+)+$`)

// inside is a path below a folder of the program's own that is named as one of the system is: src/etc/hosts.go.
var inside = regexp.MustCompile(`^[\w-][\w.-]*/(?:[\w-][\w.-]*/)*(?:etc|proc|sys|usr|dev|bin)/[\w-][\w./-]*$`)

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

// graphQL is what a document of GraphQL without literals is written in.
var graphQL = regexp.MustCompile(`^\s*(?:(?:query|mutation|subscription|fragment)\b[\s\w$!:,()\[\]@]*)?\{[\s\w!:,(){}\[\]@.$]*\}\s*$`)

// expanded is what a shell makes of a dollar sign; a variable of GraphQL is a name behind it.
var expanded = regexp.MustCompile(`(?i)\$(?:[^a-z_]|ifs|path|home|shell|env|$)`)

// query reports whether a value is a document of GraphQL: names and brackets, nothing that is quoted, joined or compared.
func query(s string) bool {
	return strings.Count(s, "{") == strings.Count(s, "}") && graphQL.MatchString(s) && !expanded.MatchString(s)
}

// odata is a system query option of OData (version 4, part 2, section 5).
var odata = regexp.MustCompile(`^\$(?:filter|select|orderby|top|skip|count|expand|search|format|apply|compute|skiptoken)$`)

// odataAddress reports whether every dollar sign in a value begins a query option of an address.
func odataAddress(s string) bool {
	_, options, found := strings.Cut(s, "?")
	if !found || strings.ContainsAny(s, " \r\n{}\"") || strings.Contains(s[:len(s)-len(options)], "$") {
		return false
	}
	for option := range strings.SplitSeq(options, "&") {
		name, value, _ := strings.Cut(option, "=")
		if strings.Contains(name, "$") && !odata.MatchString(name) || strings.Contains(value, "$") {
			return false
		}
	}
	return true
}

// odataOptions reports whether every dollar sign in a value begins a query option inside another ("Items($filter=Qty gt 1;$orderby=Qty)"); operators of
// MongoDB are followed by no "=".
func odataOptions(s string) bool {
	return !strings.ContainsAny(s, "{}[]\"") && strings.Contains(s, "$") && !strings.Contains(odataOption.ReplaceAllString(s, ""), "$")
}

var odataOption = regexp.MustCompile(`(?:^|[(;,])\s*\$(?:filter|select|orderby|top|skip|count|expand|search|levels|compute)=`)

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

// noClimb reports whether no part of a value leads out of a folder, however dots are written.
func noClimb(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 || r == '/' || r == '%' }) && !strings.Contains(s, "..") && !odd.MatchString(s)
}

// odd is a backslash that is none of an expression's, and a point in other characters.
var odd = regexp.MustCompile(`(?i)\\(?:[^dwsb.*+?^$(){}|\[\]]|$)|2e|0x2|u002|c0|e0|af`)

// oneLine reports whether a value has no line end, without which it begins nothing: none of those, none that is still escaped, and no character of which
// something behind a program could keep the lower byte.
func oneLine(s string) bool {
	return !escapedEnd.MatchString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return r == '\n' || r == '\r' || r >= 0x80 && (r&0xff == '\n' || r&0xff == '\r' || r == 0x85 || r == 0x2028 || r == 0x2029)
	})
}

var escapedEnd = regexp.MustCompile(`\\[rnux0]|&#|%[0u]`)

func noAnswerInside(s string) bool { return noAnswer(s) || oneLine(s) && !strings.Contains(s, "<") }

// noData is for addresses of the kind data:, which have a comma.
func noData(s string) bool {
	return inlineFile(s) || strings.HasPrefix(s, "data:") && !strings.Contains(s, ",")
}

// operator is one of MongoDB as it has to be written: a key of an object, or in the brackets of a name.
var operator = regexp.MustCompile(`(?i)["'\[{,]\s*\$(?:eq|ne|gte?|lte?|n?in|n?or|and|not|regex|exists|type|mod|where|expr|all|elemmatch|size|text|function|set|unset|inc|push|pull)["'\]]?\s*[:\]]`)

// address is a name with an address of mail behind it. Nothing in it ends a literal or compares, and the variable of SQL that
// the address could be is never set.
var address = regexp.MustCompile(`^[\p{L}\p{N} ._-]+@[\p{L}\p{N}-]+(?:\.[\p{L}\p{N}-]+)*\.\p{L}{2,}$`)

func mailbox(s string) bool { return address.MatchString(s) }

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

// wildcard is a path with one segment that stands for any; SQL would read the beginning of a comment there, and never its end.
var wildcard = regexp.MustCompile(`^/?(?:\d/)?(?:[A-Za-z_](?:-?[\w.:])*/)+\*(?:/[A-Za-z_](?:-?[\w.:])*)*$`)

// prepared is a statement with places for values, as logs and traces show it: nothing runs it so.
var prepared = regexp.MustCompile(`(?:=|<|>|,|\(|(?i:limit|offset|like)\s)\s*\?\s*(?:$|[,);]|(?i:and|or|order|limit|group)\b)`)

// noNamespace is for declarations of namespaces: a document of XML has them, and runs nothing if none is one that browsers
// know.
func noNamespace(s string) bool {
	return inlineFile(s) || noMarkup(s) || !strings.ContainsAny(s, "<>\"'`") && !attribute.MatchString(s) || document.MatchString(s) && !known.MatchString(s)
}

var (
	document  = regexp.MustCompile(`^\s*(?:<\?xml[^>]*\?>\s*)?<(?:[\w-]+:)?[\w-]+\s[^<]*xmlns(?::[\w-]+)?=`)
	attribute = regexp.MustCompile(`(?i)(?:^|[\s/])(?:on\w+|formaction|action|src\w*|href|xlink:href|style|data|background|poster)\s*=`)
	known     = regexp.MustCompile(`(?i)1999/(?:xhtml|xsl|xlink)|2000/svg|1998/math|<(?:script|svg|html)\b|\bon\w+\s*=|script:`)
)

// plainXML reports whether a value is a whole document of XML, without a declaration of its type, that is none for browsers, which know no namespaces: an
// assertion of SAML, a request to a gateway.
func plainXML(s string) bool {
	if len(s) > mostJSON || !strings.HasPrefix(strings.TrimLeft(s, " \t\r\n"), "<") || known.MatchString(s) || syntax.Runs(s) || strings.Contains(s, "<!") || object.MatchString(s) {
		return false
	}
	d := xml.NewDecoder(strings.NewReader(s))
	var open []xml.Name
	elements := 0
	for {
		token, err := d.RawToken()
		if err != nil {
			return err == io.EOF && elements > 0 && len(open) == 0
		}
		switch token := token.(type) {
		case xml.StartElement:
			if elements++; token.Name.Space == "" && syntax.IsTag(token.Name.Local) {
				return false
			}
			open = append(open, token.Name)
		case xml.EndElement:
			if len(open) == 0 || open[len(open)-1] != token.Name {
				return false
			}
			open = open[:len(open)-1]
		case xml.ProcInst:
			if token.Target != "xml" {
				return false
			}
		}
	}
}

// object is what makes an object of a program out of a document.
var object = regexp.MustCompile(`(?i)\b(?:ldaps?|rmi|jndi|iiop|dns):|\bjavax?\.|\bcom\.sun\.|ysoserial|include`)

// onlyComments is for what XSS and comments of HTML have in common: comments that are closed, and nothing else.
func onlyComments(s string) bool {
	return noMarkup(s) || strings.Contains(s, "-->") && !comment.MatchString(closedComment.ReplaceAllString(s, "")) && !syntax.HTML(s)
}

var (
	closedComment = regexp.MustCompile(`<!--[^<>\[#]*-->`)
	comment       = regexp.MustCompile(`(?i)<!--|-->|<!\[cdata\[|document\.(?:cookie|write)|\.(?:parentnode|innerhtml)|window\.location|-moz-binding`)
)
