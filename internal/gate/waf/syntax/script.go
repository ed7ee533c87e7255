package syntax

import "strings"

// Words of JavaScript and PHP behind which, or before which, a name may stand.
var scriptWords = setOf("var let const function return new typeof void delete in of instanceof if else for while do switch case break continue throw try catch finally class extends static async await yield import export from default this super with debugger get set echo print require require_once include include_once global public private protected use namespace as and or xor unset abstract final interface implements foreach elseif endif endwhile endforeach endfor goto clone insteadof match fn")

// Script reports whether a value could be run as a program of JavaScript or PHP, alone or behind what closes a literal. Both
// read a program to its end before they run any of it: one error of syntax, and nothing runs.
func Script(s string) bool {
	all, complete := starts(s, "'\"`")
	if !complete {
		all = all[:1]
		for _, q := range []byte("'\"`") { // a literal ends at the first of its kind
			if i := strings.IndexByte(s, q); i >= 0 {
				all = append(all, start{at: i + 1, quote: q, first: true})
			}
		}
	}
	for _, from := range all {
		if from.first && script(s[from.at:], from.quote) {
			return true
		}
	}
	return strings.Contains(s, "<?")
}

// script reads a program up to its end or to a comment that hides the rest.
func script(s string, quote byte) bool {
	operand := quote != 0
	did := false
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '\n' || c == '\r':
			operand, i = false, i+1
		case c == ' ' || c == '\t' || c == '\v' || c == '\f' || c == 0:
			i++
		case strings.HasPrefix(s[i:], "//"), c == '#', strings.HasPrefix(s[i:], "<!--"), strings.HasPrefix(s[i:], "-->"):
			if quote != 0 || did {
				return did || quote != 0 && words(s[i:], 3) < 3
			}
			n := strings.IndexByte(s[i:], '\n')
			if n < 0 {
				return did
			}
			i += n
		case strings.HasPrefix(s[i:], "/*"):
			n := strings.Index(s[i+2:], "*/")
			if n < 0 {
				return did
			}
			i += n + 4
		case c == '\'' || c == '"' || c == '`':
			end, closed := closing(s, i+1, c)
			if !closed {
				return c == quote && did && !operand
			}
			if operand && c != '`' {
				return false
			}
			operand, i = true, end
		case named(c) || c == '$' || c == '@':
			end := i + 1
			for end < len(s) && (named(s[end]) || s[end] == '$') {
				end++
			}
			if scriptWords[strings.ToLower(s[i:end])] {
				operand = false
			} else if operand {
				return false
			} else {
				operand = true
			}
			i = end
		case c == '(' || c == '[' || c == '{':
			did = did || c == '(' && operand
			operand, i = false, i+1
		case c == ')' || c == ']':
			operand, i = true, i+1
		case c == '}' || c == ';':
			operand, i = false, i+1
		case c == '\\':
			if i+1 < len(s) && s[i+1] == 'u' {
				return true // an escape in a name
			}
			i++ // a namespace
		case c == '/' && !operand: // a pattern
			n := strings.IndexAny(s[i+1:], "/\n")
			if n < 0 || s[i+1+n] == '\n' {
				return false
			}
			operand, i = true, i+n+2
		default:
			did = did || c == '='
			if (c == ',' || c == '?' || c == ':' || c == '*' || c == '%' || c == '|') && !operand && c != ':' && (i == 0 || s[i-1] != c) && quote == 0 {
				return false
			}
			if strings.IndexByte("+-*/%=<>!&|^~?:,.", c) < 0 {
				return false
			}
			operand, i = false, i+1
			if strings.HasPrefix(s[i-1:], "++") || strings.HasPrefix(s[i-1:], "--") {
				i++
			}
		}
	}
	return did
}
