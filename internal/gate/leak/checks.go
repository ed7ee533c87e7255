package leak

import (
	"regexp"
	"strings"
)

// answer is what is looked at of an origin's answer.
type answer struct {
	status int
	media  string // the media type without parameters, in lower case
	path   string // that was asked for, without its query
	body   string // the beginning, unpacked
}

// check is one thing that nobody is to read from outside.
type check struct {
	// Name is told in logs and metrics.
	name, message string
	found         func(a *answer) bool
}

// checks are asked in this order; the first that finds something names the leak.
var checks = []check{
	{"private-key", "a private key", privateKey},
	{"credential", "a credential whose check digits are right", credential},
	{"dotenv", "the environment of a program, with its passwords", environment},
	{"git", "the state of a repository", repository},
	{"dump", "a dump of a database", dump},
	{"source", "the source of a program that should have run", source},
	{"phpinfo", "the configuration of PHP", phpinfo},
	{"debug-page", "the debugging page of a framework", debugPage},
	{"stack-trace", "a stack trace", stackTrace},
	{"database-error", "an error message of a database", databaseError},
	{"listing", "a list of the files in a folder", listing},
	{"cards", "numbers of payment cards", cards},
}

func page(a *answer) bool { return a.media == "text/html" || a.media == "application/xhtml+xml" }

// privateKey is about keys in PEM (RFC 7468) that are served as what they are, not spoken of in a page.
func privateKey(a *answer) bool {
	_, rest, found := strings.Cut(a.body, "-----BEGIN ")
	if !found {
		return false
	}
	label, rest, found := strings.Cut(rest, "-----")
	if !found || len(label) > 30 || !strings.HasSuffix(label, "PRIVATE KEY") && !strings.HasSuffix(label, "PRIVATE KEY BLOCK") {
		return false
	}
	return keyText.MatchString(rest)
}

// keyText is enough of a key to be one: examples in texts break off.
var keyText = regexp.MustCompile(`^(?:\s|\\n|\\r)*(?:[A-Za-z-]+: [^\r\n]*\s+)*[A-Za-z0-9+/]{60}`)

// environment is about files of NAME=value with secrets among them.
func environment(a *answer) bool {
	if page(a) || !strings.Contains(a.body, "=") {
		return false
	}
	lines, secrets := 0, 0
	for line := range strings.Lines(a.body) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		m := variable.FindStringSubmatch(line)
		if m == nil {
			return false // a file of something else
		}
		lines++
		if secret.MatchString(m[1]) && len(m[2]) >= 4 {
			secrets++
		}
		if lines == 100 {
			break
		}
	}
	return lines >= 3 && secrets >= 1
}

var (
	variable = regexp.MustCompile(`^(?:export +)?([A-Z][A-Z0-9_]*)=(.*)$`)
	secret   = regexp.MustCompile(`(?:^|_)(?:PASS(?:WORD|WD)?|SECRET|TOKEN|KEY|PRIVATE|CREDENTIALS?|DSN)(?:_|$)|_URL$`)
)

// repository is about the files in a folder .git.
func repository(a *answer) bool {
	switch {
	case page(a):
		return false
	case strings.HasPrefix(a.body, "[core]") && strings.Contains(a.body, "repositoryformatversion"), strings.HasPrefix(a.body, "DIRC\x00\x00\x00"):
		return true
	}
	return strings.HasPrefix(a.body, "ref: refs/") && len(a.body) < 300 && strings.HasSuffix(a.path, "/HEAD") && strings.Contains(a.path, "/.git/")
}

func dump(a *answer) bool {
	head := strings.TrimLeft(a.body[:min(len(a.body), 400)], "\ufeff \r\n-/*!")
	for _, begin := range []string{"MySQL dump ", "MariaDB dump ", "PostgreSQL database dump", "phpMyAdmin SQL Dump", "PostgreSQL database cluster dump"} {
		if strings.HasPrefix(head, begin) {
			return true
		}
	}
	return strings.HasPrefix(a.body, "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;") || strings.HasPrefix(a.body, "SQLite format 3\x00")
}

// source is about programs that the server was to run.
func source(a *answer) bool {
	head := strings.TrimLeft(a.body[:min(len(a.body), 200)], "\ufeff \r\n\t")
	if strings.HasPrefix(head, "#!") {
		return strings.Contains(a.path, "/cgi-bin/")
	}
	return (strings.HasPrefix(head, "<?php") || strings.HasPrefix(head, "<%@ page") || strings.HasPrefix(head, "<%@ Page") || strings.HasPrefix(head, "<%@Language") || strings.HasPrefix(head, "<cfset ")) && programs.MatchString(a.path)
}

// programs are what servers run, instead of sending it.
var programs = regexp.MustCompile(`(?i)(?:/|\.(?:php\d?|phtml|inc|jspx?|aspx?|cfm)[~.\w]*)$`)

func phpinfo(a *answer) bool {
	return page(a) && strings.Contains(a.body, "<title>") && (strings.Contains(a.body, "phpinfo()</title>") || strings.Contains(a.body, `<h1 class="p">PHP Version `))
}

// debugPage is about frameworks that were left in their mode for developers.
func debugPage(a *answer) bool {
	if !page(a) || a.status < 400 {
		return false
	}
	for _, mark := range []string{"You're seeing this error because you have <code>DEBUG = True</code>", "EVALEX_TRUSTED", "window.ignite(", "<title>Action Controller: Exception caught", "<body class=\"exception\">", "sf-toolbar", "Whoops\\Exception", "Whoops, looks like something went wrong.", "<b> Source File: </b>", "<h2> <i>Runtime Error</i>", "Application Trace</a>", "data-plugin=\"sf-dump", "<title>Werkzeug"} {
		if strings.Contains(a.body, mark) {
			return true
		}
	}
	return false
}

// stackTrace is about errors: a page of a manual or a forum has traces as well, and no error's status.
func stackTrace(a *answer) bool { return a.status >= 500 && trace.MatchString(a.body) }

var trace = regexp.MustCompile(`(?:\s|>|&nbsp;|\\n|\\t)at [\w.$/<>&;]+\([\w$]+\.(?:java|kt|scala|groovy):\d+\)` + // Java
	`|Traceback \(most recent call last\):\s+File |\\n  File \\"[^"]+\\", line \d+, in ` + // Python
	`|(?:Fatal|Parse|Warning|Uncaught)[^\n]{0,20}(?:</b>)?:[^\n]{1,400}\bin (?:<b>)?(?:/|[A-Z]:\\)[^\n<]{1,200}(?:</b>)? on line (?:<b>)?\d+|#0 (?:/|[A-Z]:\\)[^\n(]{1,200}\(\d+\): ` + // PHP
	`|(?:\n|\\n|>|\s)\s*at [\w.]+\.[\w<>` + "`" + `.]+\([^)\n]*\)(?: in [^\n]{1,200}:line \d+|(?:\r?\n|\\n|\\r|<br)\s*at (?:System|Microsoft)\.)` + // .NET
	`|\bat (?:[\w.<>$ ]+ \()?(?:file://)?(?:/|[A-Z]:\\)[^\s():]{1,200}\.[cm]?[jt]s:\d+:\d+\)?` + // Node
	`|goroutine \d+ \[running\]:` + // Go
	`|[/\w.-]+\.rb:\d+:in [` + "`'" + `]`) // Ruby

func databaseError(a *answer) bool {
	return a.status >= 500 && sqlError.MatchString(a.body)
}

var sqlError = regexp.MustCompile(`You have an error in your SQL syntax; check the manual|SQLSTATE\[\w{5}\]|\bORA-\d{5}: |unterminated quoted string at or near|Unclosed quotation mark after the character string|pg_query\(\): |mysqli?_\w+\(\): |PG::SyntaxError|SQLite3::SQLException|Microsoft OLE DB Provider for|\[ODBC [\w ]+ Driver\]|PSQLException: ERROR`)

// listing is about the pages that servers make of folders.
func listing(a *answer) bool {
	if !page(a) || a.status != 200 {
		return false
	}
	head := a.body[:min(len(a.body), 2048)]
	return strings.Contains(head, "<title>Index of /") && strings.Contains(head, "<h1>Index of /") || strings.Contains(head, "<title>Directory listing for /") ||
		strings.Contains(head, "[To Parent Directory]</A>") || strings.Contains(head, "<title>listing directory /")
}
