package policy

import (
	"unicode/utf8"

	"github.com/goccy/go-yaml/token"
)

// joinColons puts together what the library takes apart: inside of brackets, ":" ends a field's name only before a space
// or a bracket (YAML 1.2.2, section 7.3.3, plain scalars in flow context), but the library ends one at any ":" of a list
// that stands in a mapping, so that {origins: [http://x:80]} would hold a field "http://x".
func joinColons(tokens token.Tokens) token.Tokens {
	out := make(token.Tokens, 0, len(tokens))
	var lists []bool // for each bracket that is open, whether it is a list's
	for i := 0; i < len(tokens); i++ {
		tk := tokens[i]
		switch tk.Type {
		case token.SequenceStartType, token.MappingStartType:
			lists = append(lists, tk.Type == token.SequenceStartType)
		case token.SequenceEndType, token.MappingEndType:
			lists = lists[:max(len(lists)-1, 0)]
		case token.MappingValueType:
			inList := len(lists) > 0 && lists[len(lists)-1]
			if !inList || i+1 == len(tokens) || !plain(tokens[i+1]) || !touch(tk, tokens[i+1]) {
				break
			}
			i++
			text, at := ":"+tokens[i].Value, tk.Position
			if n := len(out) - 1; plain(out[n]) && touch(out[n], tk) { // a list's "[" is before it at least
				text, at, out = out[n].Value+text, out[n].Position, out[:n]
			}
			tk = token.String(text, text, at)
		}
		out.Add(tk)
	}
	return out
}

// plain reports whether a token is a scalar without quotes.
func plain(tk *token.Token) bool {
	return tk.Indicator == token.NotIndicator && tk.Position != nil
}

// touch reports whether b follows a on its line without a space between them.
func touch(a, b *token.Token) bool {
	return b.Position != nil && a.Position.Line == b.Position.Line && a.Position.Column+utf8.RuneCountInString(a.Value) == b.Position.Column
}
