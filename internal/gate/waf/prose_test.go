package waf

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"stormdoor/flow"
	"stormdoor/policy"
)

// judges are the ways to tell a text from an attack, with what each has to say yes and no to.
var judges = []struct {
	name      string
	judge     func(string) bool
	text, not []string
}{
	{"shell", shellProse, []string{
		"ZSH is the best!",
		"LS 300 lexus",
		"an apple pie; and at the same time a great she-bear, coming up the street",
		"Dawn, n.:\r\n\tThe time when men of reason go to bed.\r\n\t\t-- Ambrose Bierce, \"The Devil's Dictionary\"",
		"Using anything but a hammer to hammer a nail into the\r\n\twall, such as shoes.\r\n\t\t-- \"Sniglets\", Rich Hall & Friends",
		"Go back and\nrepeat the sequence until it is 10:30.",
		"the pie is good (reboot)", "this is the pie; sleep X; and of the rest (a lot) we speak later",
	}, []string{
		"", "id", "whoami", "cat passwd", "cat secret txt", "; reboot", "ls -la is the best", "cat /etc/passwd of the house",
		"the pie is good; cat passwd", "the pie is good\nwhoami", "the pie is good & reboot", "the pie is good& reboot", "the pie is good; curl the.evil.com", "it is $HOME of the",
		"it is `id` of the", "this is the pie | sh", "this is > the file", "w'h'oami is the best", "c\\at is the best",
		"the pie is good; nc the 203.0.113.9 of evil_host", "the %3Bid of it", "zsh -c the",
	}},
	{"windows", windowsProse, []string{"Provi ad imitare il rumore\r\n\tdel modem che si sente", "the pie is good\nDir Windows"}, []string{
		"DIR windows now", "the dir c:\\ of it", "the pie is good; del *.*",
	}},
	{"substitution", noSubstitution, []string{"<met> (I was asked)", "<ini>: ( any order )"}, []string{
		"<(id)", ">(id)", "$(id)", "${IFS}", "$[1+1]", "/bin/[a]", "%24(id)", "<\\(id)", "`id`",
	}},
	{"mention", mention, []string{"Has anybody ever heard of .cshrc in the city?", "they all are sent to /dev/null and it is full"}, []string{
		"/etc/passwd", ".cshrc is the file of it and", "the x/../../etc/passwd of it and that", "the file:///etc/passwd of it and that",
		"cat /etc/passwd", "C:\\boot.ini is the a of it",
	}},
	{"mentioned program", mentionedProgram, []string{"on this system the shell is in /bin/sh and not in /bin/bash"}, []string{
		"see the cat of it; cat /etc/passwd", "it is the good one of all\n/bin/sh", "it is the good one of all ;/bin/sh", "the is | cat /etc/passwd of it",
	}},
	{"sql", sqlProse, []string{"Union was a great select", "Drive a streetcar and sing love\r\nsongs to his mare \"Mitzie\"!"}, []string{
		"union select the password", "x union all select a of", "id union distinct select a from users", "the a' or 'x of the", "select the password from users", "1 or 1=1 the of a",
		"the a; drop table users", "the sleep(5) of a it", "a of the /* x */ it", "the a or (1) of it", "the a' union select the", "the a; shutdown now",
	}},
	{"query", query, []string{"query Q($id: ID!) { user(id: $id) { name posts(first: 10) { edges { node { title } } } } }", "{ me { id } }"}, []string{
		"{ id; }", "{ user(id: \"1' or 1=1\") { name } }", "{ $(id) }", "{ cat$IFS }", "{ x | sh }", "{a}{", "{ cat /etc/passwd }", "query x", "{ user(id: 1) or 1=1 }", "; { id }",
	}},
	{"other query", otherQuery, []string{"$filter", "$orderby", "{ me { id } }"}, []string{"$ne", "$where", "a[$ne]", "$filter; x", "{\"$ne\": 1}"}},
	{"mailbox", mailbox, []string{"John Or@var.es", "anna@example.org", "Anna or.not@mail.example.org"}, []string{
		"1 or@@version", "1 or 1=1", "x' or@var.es", "1 or@x", "1;or@var.es", "(1)or@var.es",
	}},
	{"script", noScript, []string{"JavaScript: Basics of JavaScript Language"}, []string{
		"javascript:alert(1)", "javascript:alert`1`", "javascript:a=b", "javascript&colon;x", "\"><javascript:x", "java%0ascript:x", "javascript:[x]", "javascript:throw{}",
	}},
}

func TestTextIsToldFromAttacks(t *testing.T) {
	for _, c := range judges {
		for _, s := range c.text {
			if !c.judge(s) {
				t.Errorf("%s: %q is a text", c.name, s)
			}
		}
		for _, s := range c.not {
			if c.judge(s) {
				t.Errorf("%s: %q is none", c.name, s)
			}
		}
	}
}

// notInText are attacks that have to stand at the beginning of a value: behind a text, what reads the value meets an error of
// syntax before it meets them. Each is refused where a text follows it behind a comment.
var notInText = []string{
	"C:\\Windows\\System32\\drivers\\etc\\hosts", // opens nothing
	"1 UNION ALL SELECT NULL,version(),NULL-- -", "1; DROP TABLE users--",
	"window['al'+'ert'](1)", "top[/al/.source+/ert/.source](1)", "confirm.call(null,2)",
	"_$$ND_FUNC$$_function(){require('child_process')}",
}

// What is in attacks.txt must be refused also where an attacker has put it into the middle of a text, if it works there.
func TestTextAroundAnAttackHidesNothing(t *testing.T) {
	without := stage(t, policy.WAFBlocks, func(p *policy.Policy) { no := false; p.WAF.Prose = &no })
	for _, s := range samples(t, "attacks.txt") {
		if !slices.Contains([]string{"query", "form", "json"}, s.place) || slices.Contains(notInText, s.value) {
			continue
		}
		for _, around := range [][2]string{{"This is the pie of my mother and it was good ", " and that is what they have had"}, {"It is the best of all that we had.\n", "\nThis is not what you have"}} {
			if strings.HasSuffix(around[0], "\n") && strings.ContainsAny(s.value[:1], ";|") {
				continue // no line of a shell begins so
			}
			hidden := s
			hidden.value = around[0] + s.value + around[1]
			f, text := hidden.request(t)
			before, after := whole(without, f, text), whole(one(), f, text)
			if before.Action == flow.Refuse && after.Action != flow.Refuse {
				t.Errorf("%s %q passes in a text only because it reads as text: %s", s.class, s.value, described(after))
			}
		}
	}
}

func TestADoubtedMatchIsLoggedAndDoesNotCount(t *testing.T) {
	v := decide(t, one(), facts("GET", "/search", "q=Union+was+a+great+select"))
	if v.Action == flow.Refuse || v.Found == nil || v.Found.Score != 0 {
		t.Fatalf("%+v, %s", v, described(v))
	}
	if m := v.Found.Matches[0]; m.Rule != 942190 || !strings.Contains(m.Message, "does not count") {
		t.Errorf("%+v", m)
	}
	off := stage(t, policy.WAFBlocks, func(p *policy.Policy) { no := false; p.WAF.Prose = &no })
	if v := decide(t, off, facts("GET", "/search", "q=Union+was+a+great+select")); v.Action != flow.Refuse || v.Rule != "942190" {
		t.Errorf("without prose: %+v", v)
	}
}

// What is looked for before the expression is needed by all that it matches.
func TestMayProbeMissesNothing(t *testing.T) {
	parts := []string{"1 ", "or ", "AND ", "if", "(", " (", "sleep", "pg_SLEEP", "benchmark", "ſleep", "5", ")", "waitfor ", "delay ", "'", "a", "=", "1=1", "'a'='b", "extractvalue", "UpdateXML", "dbms_pipe.receive", "utl_http.request", "utl_inaddr.x", "\n", "ü", "_", ",", "select "}
	rapid.Check(t, func(t *rapid.T) {
		s := strings.Join(rapid.SliceOfN(rapid.SampledFrom(parts), 0, 12).Draw(t, "parts"), "")
		if probing.MatchString(s) && !mayProbe(s) {
			t.Fatalf("%q is missed", s)
		}
	})
}
