package waf

import (
	"encoding/json"
	"io"
	"net/url"
	"regexp"
	"strings"

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
