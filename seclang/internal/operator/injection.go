package operator

import (
	_ "embed"
	"strings"

	"github.com/corazawaf/libinjection-go"
)

// sqlWords are the words, in lower case, by which libinjection tells SQL apart: those that its table classes as keyword,
// expression, union, group, type, T-SQL, variable, collation or logic operator, and the first words of its phrases of these
// classes.
//
//go:embed sqlwords.txt
var sqlWords string

// sqli matches what libinjection takes for an SQL injection.
type sqli struct{ gate Gate }

func compileSQLi(string, ReadFile) (Operator, error) {
	return sqli{Gate{Expr: sqliGate(), Raw: true}}, nil
}

func (o sqli) Gate() (Gate, bool) { return o.gate, true }

func (sqli) Match(value, _ string, c *Captures) bool {
	found, fingerprint := detectSQL(value)
	if found && c != nil {
		c.clear()
		c.Fingerprint = fingerprint
	}
	return found
}

// detectSQL asks libinjection, within sqliWork. A value that is too much for it is judged twice: by its front, and as a whole
// without its escaped and doubled quotes, behind which nothing can hide then.
func detectSQL(value string) (found bool, fingerprint string) {
	n := affordable(value)
	if found, fingerprint = libinjection.IsSQLi(value[:n]); found || n == len(value) {
		return found, fingerprint
	}
	bare := escapedQuotes.Replace(value)
	return libinjection.IsSQLi(bare[:affordable(bare)])
}

var escapedQuotes = strings.NewReplacer(`\\`, `\\`, `\'`, "", `\"`, "", "\\`", "", "''", "", `""`, "", "``", "")

// sqliWork bounds what libinjection may spend on one value. It reads what stands before a quote anew for each quote that is
// escaped or doubled, so that its time grows as their number times the value's length: 1.2 s for 64 KiB of JSON in a string.
const sqliWork = 4 << 20

// affordable returns how much of value, from its front, libinjection can judge within sqliWork: all of it, unless it is long
// and full of escaped or doubled quotes.
func affordable(value string) int {
	quotes := 0
	for i := 1; i < len(value); i++ {
		switch value[i] {
		case '\'', '"', '`':
			if before := value[i-1]; before == '\\' || before == value[i] {
				quotes++
			}
			if quotes*i > sqliWork {
				return i
			}
		}
	}
	return len(value)
}

// sqliGate is what each value meets that libinjection can find an injection in. Every fingerprint of its table holds at least
// one token that only these can give: a string ('"$), a comment (-- # /* `), a bracket, a variable (@), a logic operator, or
// one of sqlWords. A word ends where its tokenizer ends words. It can begin behind a digit, or behind the letter of a number
// such as 1e or 0xab; behind a backslash the tokenizer may begin it anywhere. The bytes \xc4 and \xc5 begin the letters
// U+0131 and U+017F, which it reads as I and S.
func sqliGate() string {
	words := strings.ReplaceAll(strings.TrimSpace(sqlWords), "\n", "|")
	return "(?i)['\"`$#@(){}\\\\\\xc4\\xc5]|--|/\\*|&&|\\|\\||" +
		`(?:\A|[^g-z_])(?:` + words + `)(?:\z|[\x00\t-\r "'` + "`" + `#%&()*+,./:;<=>?@\[\\\]^{|}~\xa0!-])`
}

// xss matches what libinjection takes for cross-site scripting.
type xss struct{}

func compileXSS(string, ReadFile) (Operator, error) { return xss{}, nil }

func (xss) Match(value, _ string, _ *Captures) bool { return libinjection.IsXSS(value) }

// Gate: libinjection finds scripts in tags, and in attributes that have a value.
func (xss) Gate() (Gate, bool) { return Gate{Expr: `[<=]`, Raw: true}, true }
