package syntax

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Commands, by what makes one of them more than a word.
var (
	// alone tell or do something without any argument.
	alone = setOf("id whoami uname ls dir env printenv set pwd ifconfig ipconfig hostname netstat ps w who reboot halt poweroff shutdown systeminfo tasklist ver mount df lsof ip arp route hostid groups history")
	// quiet do nothing to anybody, or are words that people write, unless they are handed a place or an expansion.
	quiet = setOf("man less more diff time date sort make test at last finger mail write talk join split cut paste look yes true false clear exit file type cal bc dc sleep cd fg bg jobs wait alias export unset read return shift tr wc uniq comm cmp info help apropos whatis tee nice true edit ed ex vi vim nano emacs screen tmux watch start title color path call if for do move copy rename print tree break continue trap eval source let local command builtin kill top free uptime tail head expand fold fmt nl od strings apt apt-get yum dnf apk rpm dpkg pip pip3 npm go gem cargo git svn cvs make cmake gcc cc g++ ld as calc notepad")
	// active need an argument that reads as one.
	active = setOf("cat tac curl wget nc ncat netcat ping ping6 nslookup dig host traceroute tracert telnet ssh scp sftp ftp tftp rsync bash sh zsh ksh dash csh ash busybox python python2 python3 perl php ruby node lua java awk gawk mawk sed grep egrep fgrep find locate xargs rm cp mv ln touch mkdir rmdir chmod chown chgrp chattr dd tar gzip gunzip bzip2 zip unzip xz base64 base32 xxd hexdump openssl echo printf expr getent which whereis sudo su crontab useradd adduser userdel usermod passwd net netsh reg sc schtasks taskkill wmic powershell pwsh cmd certutil bitsadmin mshta rundll32 regsvr32 cscript wscript msiexec del erase ren attrib icacls cacls findstr iex iwr invoke-expression invoke-webrequest start-process get-content get-childitem set-content new-object gc gci rev nohup setsid timeout stdbuf env script socat mysql psql sqlite3 redis-cli mongo docker kubectl systemctl service iptables nft nmap tcpdump strace gdb mkfifo mknod screen install patch")
	// remote commands take the name of a host.
	remote = setOf("curl wget nc ncat netcat ping ping6 nslookup dig host traceroute tracert telnet ssh scp sftp ftp tftp rsync socat nmap net finger getent iwr invoke-webrequest")
	// readers take a file by its bare name, and waiters a number.
	readers = setOf("cat tac rm cp mv touch more less head tail sh bash sed awk grep base64 xxd chmod chown source python python3 perl php ruby node del type copy move get-content gc")
	waiters = setOf("sleep kill timeout ping expr")
	// runners run what is piped to them.
	runners = setOf("sh bash zsh ksh dash ash csh python python2 python3 perl php ruby node xargs nc ncat netcat powershell pwsh cmd iex mysql psql")
)

var (
	hostArgument = regexp.MustCompile(`^(?:\d{1,3}\.){3}\d{1,3}\b|^(?:[\w-]+\.)+(?:[a-z]{2,8})(?:[:/]\S*)?$|^localhost\b|^\[[0-9a-f:]+\]|^0x[0-9a-f]+$|@`)
	pathArgument = regexp.MustCompile(`^(?:[.~]{0,2}/[\w.*?-]|[a-zA-Z]:\\|\\\\\w|\.\./|\.\.\\)|://|^[\w.*?-]*/[\w.*?-]*/|%\w+%|\$[\w({]|` + "`")
	fileArgument = regexp.MustCompile(`^[\w*?-]+\.[a-zA-Z0-9*?]{1,5}$|^\*|^[\w-]*\*$`)
	// expandedName is a command that is made of variables: a shell's own, a slice of one, or one amid letters.
	expandedName = regexp.MustCompile(`^\$\{?(?:SHELL|BASH|0|_|PATH|HOME|IFS|PWD|@|\*|!)\b|\$\{\w+:|[\w/]\$[@*\w{]|\$(?:[@*]|\{\w+\})[\w/]+$`)
	// globbed is a path of a command that a pattern stands for: /b?n/c?t.
	globbed  = regexp.MustCompile(`/[\w.*?\[\]-]*[*?\[]\w|/\w[\w.*?\[\]-]*[*?]`)
	assigned = regexp.MustCompile(`^[A-Za-z_]\w*=`)
)

// Shell reports whether a shell would run a command of use to an attacker, if the value were put into a command line, in
// quotes or without.
func Shell(s string) bool { return commands(s, false) }

// Windows is Shell for cmd.exe and PowerShell, where the case of names does not matter.
func Windows(s string) bool { return commands(s, true) }

func commands(s string, windows bool) bool {
	all, complete := starts(s, `'"`)
	if !complete {
		all = all[:1]
	}
	seen := map[byte]bool{}
	for _, from := range all {
		if seen[from.quote] { // only the first of its kind closes what the application has opened
			continue
		}
		seen[from.quote] = true
		r := shellReader{s: s, i: from.at, quote: from.quote, windows: windows, begins: from.quote == 0}
		if r.read() {
			return true
		}
	}
	// Within double quotes, and in a document that is fed to a shell, substitutions run wherever they stand.
	return substitutes(s)
}

// substitutes reports whether a substitution in s runs a command.
func substitutes(s string) bool {
	for i := 0; i < len(s); i++ {
		var inside string
		switch {
		case s[i] == '`':
			n := strings.IndexByte(s[i+1:], '`')
			if n < 0 {
				return false
			}
			inside = s[i+1 : i+1+n]
			i += n + 1
			if strings.ContainsRune(inside, '\n') || len(inside) > 200 {
				continue // quotation marks, not code
			}
		case (s[i] == '$' || s[i] == '<' || s[i] == '>') && i+1 < len(s) && s[i+1] == '(':
			inside = s[i+2 : min(len(s), i+200)]
			if n := strings.IndexByte(inside, ')'); n >= 0 {
				inside = inside[:n]
			}
			i++
		default:
			continue
		}
		if risky(inside) {
			return true
		}
	}
	return false
}

// risky reports whether a command in a substitution does more than show something that a text may well speak of: `ls -l`.
func risky(command string) bool {
	r := shellReader{s: command, begins: true}
	if !r.read() {
		return false
	}
	first := strings.TrimLeft(command, " \t")
	first = first[:nameEnd(first, 0)]
	return !quiet[first] && !(alone[first] && words(command, 3) < 3 && !strings.ContainsAny(command, "/|;&$>")) || strings.ContainsAny(command, "|;&$<>")
}

// shellReader reads a value as lines of a shell.
type shellReader struct {
	s       string
	i       int
	quote   byte // that was closed before i, and that the application closes again
	windows bool
	piped   bool // what stands before i is written to the command that is read
	begins  bool // a command may stand right at the beginning: the value may be the whole of it
	depth   int  // brackets that are open
	fresh   bool // the command that is read stands on a line of its own
	words   []string
	odd     bool // a word of this command was quoted, escaped or expanded in its middle: hidden
	found   bool // a command of use stands in this line
	aimed   bool // this command's output goes to a place
}

// read reports whether a command of use runs before the first error of syntax.
func (r *shellReader) read() bool {
	command := r.begins
	for r.i < len(r.s) {
		c := r.s[r.i]
		switch {
		case c == ' ' || c == '\t' || c == '\r':
			r.i++
		case c == '\n':
			r.end(command)
			if r.found && r.depth == 0 {
				return true
			}
			command, r.fresh = true, true
			r.i++
		case c == '#' && !r.windows && (r.i == 0 || strings.IndexByte(" \t\n;&|", r.s[r.i-1]) >= 0):
			n := strings.IndexByte(r.s[r.i:], '\n')
			if n < 0 {
				n = len(r.s) - r.i
			}
			r.i += n
		case c == ';' || c == '&' || c == '|':
			if !r.separator(command) {
				return false
			}
			command = true
		case c == '(' || c == ')':
			if !r.bracket(command) {
				return r.windows && r.found
			}
			command = command || c == '('
		case c == '<' || c == '>':
			if !r.redirect() {
				return false
			}
		default:
			if !r.word() {
				return r.windows && r.found // a quote that nobody closes
			}
		}
	}
	r.end(command)
	return r.found && (r.depth == 0 || r.windows)
}

// end closes a command.
func (r *shellReader) end(isCommand bool) {
	if isCommand && len(r.words) > 0 {
		r.found = r.found || r.useful()
	}
	r.piped = false
	r.words, r.odd, r.aimed = r.words[:0], false, false
}

// separator reads what parts commands.
func (r *shellReader) separator(isCommand bool) bool {
	c := r.s[r.i]
	if c == ';' && r.windows && !isCommand && len(r.words) == 0 {
		r.i++
		return true
	}
	empty := len(r.words) == 0 && isCommand && r.i > 0 && !r.windows
	r.end(isCommand)
	r.i++
	r.piped, r.fresh = c == '|', false
	if r.i < len(r.s) && r.s[r.i] == c && c != ';' {
		r.i++
		r.piped = false
	}
	return !empty || r.i <= 2 // "; ;" and "| |" are errors
}

// bracket reads a bracket: one opens a group where a command may stand, and nowhere else.
func (r *shellReader) bracket(isCommand bool) bool {
	c := r.s[r.i]
	r.i++
	if r.windows {
		r.end(isCommand)
		return true
	}
	if c == '(' {
		if !isCommand || len(r.words) > 0 {
			return false
		}
		r.depth++
		return true
	}
	r.end(isCommand)
	r.depth--
	return r.depth >= 0
}

// redirect reads a redirection, which needs a word.
func (r *shellReader) redirect() bool {
	for r.i < len(r.s) && strings.IndexByte("<>&|", r.s[r.i]) >= 0 {
		r.i++
	}
	for r.i < len(r.s) && (r.s[r.i] == ' ' || r.s[r.i] == '\t') {
		r.i++
	}
	if r.i < len(r.s) && r.s[r.i] == '(' { // process substitution
		return true
	}
	n := len(r.words)
	if r.i == len(r.s) || strings.IndexByte("\r\n;()<>", r.s[r.i]) >= 0 || !r.word() {
		return r.windows
	}
	if len(r.words) > n {
		r.aimed = r.aimed || isPath(r.words[n]) || isFile(r.words[n])
		r.words = r.words[:n]
	}
	return true
}

// word reads a word, with its quotes taken off.
func (r *shellReader) word() bool {
	begin := r.i
	plain, quoted, hidden := []byte(nil), false, false
	for r.i < len(r.s) {
		c := r.s[r.i]
		if strings.IndexByte(" \t\r\n;&|()<>", c) >= 0 && !(c == '(' && r.i > begin && r.s[r.i-1] == '$') {
			break
		}
		switch {
		case c == '\\' && !r.windows:
			if r.i+1 < len(r.s) && r.s[r.i+1] != '\n' {
				plain = append(plain, r.s[r.i+1])
			}
			hidden = true
			r.i += 2
			continue
		case c == '\'' && !r.windows || c == '"':
			end := strings.IndexByte(r.s[r.i+1:], c)
			if end < 0 {
				r.i = len(r.s)
				return r.windows || c == r.quote
			}
			hidden = hidden || r.i > begin || r.i+end+2 < len(r.s) && named(r.s[r.i+end+2])
			plain = append(plain, r.s[r.i+1:r.i+1+end]...)
			r.i += end + 2
			quoted = true
			continue
		case c == '^' && r.windows:
			r.i++
			continue
		case c == '(':
			n := strings.IndexByte(r.s[r.i:], ')')
			if n < 0 {
				r.i = len(r.s)
				return r.windows
			}
			plain = append(plain, r.s[r.i:r.i+n+1]...)
			r.i += n + 1
			continue
		}
		plain = append(plain, c)
		r.i++
	}
	r.i = min(r.i, len(r.s))
	w := string(plain)
	if len(r.words) == 0 && (hidden || strings.ContainsAny(w, "$*?[{")) && !quoted || len(r.words) == 0 && hidden {
		r.odd = true
	}
	if len(r.words) == 0 && assigned.MatchString(w) {
		return true // a variable that is set before the command
	}
	if w != "" || quoted {
		r.words = append(r.words, w)
	}
	return true
}

// useful reports whether the command that was read does something.
func (r *shellReader) useful() bool {
	name, args := r.words[0], r.words[1:]
	for len(args) > 0 && (name == "sudo" || name == "nohup" || name == "exec" || name == "then" || name == "do" || name == "else" || name == "!" || name == "{") {
		name, args = args[0], args[1:]
	}
	if strings.ContainsAny(name, "$`") { // what is substituted has been looked at
		return expandedName.MatchString(name)
	}
	if strings.ContainsAny(name, "*?[") && globbed.MatchString(name) {
		return true
	}
	path := strings.LastIndexAny(name, `/\`)
	base := name[path+1:]
	if r.windows {
		base = strings.TrimSuffix(strings.ToLower(base), ".exe")
	}
	known := alone[base] || active[base] || quiet[base]
	switch {
	case !known:
		return path >= 0 && !r.windows && strings.HasPrefix(name, "/") && (strings.Contains(name, "bin/") || strings.HasPrefix(name, "/tmp/"))
	case r.odd && !quiet[base], path > 0 && len(args) < 3:
		return true
	case r.piped && runners[base]:
		return true
	case len(args) == 0:
		return alone[base] || r.aimed
	case len(args) == 1 && namesOnly(args[0]) && (base == "ls" || base == "dir" || base == "ps"):
		return !r.windows || !r.fresh
	}
	return r.handed(base, args)
}

// handed reports whether a command is handed what it can work on.
func (r *shellReader) handed(name string, args []string) bool {
	low := quiet[name] || r.windows && r.fresh
	sentence := 0 // plain words at the end
	for i := len(args) - 1; i >= 0 && plainWord(args[i]); i-- {
		sentence++
	}
	for i, a := range args {
		switch {
		case isPath(a):
			return true
		case low:
			if waiters[name] && i == 0 && len(args) == 1 && digits(a) {
				return true
			}
			if readers[name] && len(args) == 1 && isFile(a) {
				return true
			}
			continue
		case a[:min(1, len(a))] == "-" && len(a) > 1 && utf8.RuneCountInString(a) < 24 && a[1] != '-' && named(a[1]), strings.HasPrefix(a, "--") && len(a) > 3 && named(a[2]):
			if sentence < 4 { // "tar --verbose no longer tells what it does"
				return true
			}
		case r.windows && len(a) > 1 && a[0] == '/' && named(a[1]):
			return true
		case remote[name] && i < 3 && isHost(a), waiters[name] && i == 0 && digits(a):
			return true
		case readers[name] && (isFile(a) || len(args) == 1 && namesOnly(a)):
			return true
		}
	}
	return r.aimed || !low && len(args) == 1 && !strings.HasSuffix(args[0], ".") && (name == "echo" || name == "printf" || name == "which" || name == "net" || name == "su" || name == "service")
}

// The expressions are asked only where what they need is there: most arguments are words.
func isPath(s string) bool { return strings.ContainsAny(s, "/\\%$`") && pathArgument.MatchString(s) }
func isFile(s string) bool { return strings.ContainsAny(s, ".*") && fileArgument.MatchString(s) }
func isHost(s string) bool { return strings.ContainsAny(s, ".@:xlh") && hostArgument.MatchString(s) }

func digits(s string) bool {
	for i := range len(s) {
		if !digit(s[i]) && s[i] != '.' {
			return false
		}
	}
	return s != "" && digit(s[0])
}

func namesOnly(s string) bool { return nameEnd(s, 0) == len(s) }

// plainWord reports whether an argument is a word of a sentence.
func plainWord(s string) bool {
	s = strings.TrimRight(s, ".,:!?")
	for _, r := range s {
		if !unicode.IsLetter(r) && r != '\'' && r != '-' {
			return false
		}
	}
	return s != "" && s[0] != '-'
}
