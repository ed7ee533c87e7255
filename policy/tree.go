package policy

import (
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// kind is what a node of the file is.
type kind uint8

const (
	kindNull kind = iota
	kindText
	kindNumber
	kindBool
	kindList
	kindMapping
)

// node is one value of a policy file: YAML without its library.
type node struct {
	kind   kind
	at     pos
	text   string  // a scalar as it was written, without quotes
	items  []*node // of a list
	fields []field // of a mapping, in the order of the file, repeated ones too
}

type field struct {
	key   string
	at    pos
	value *node
}

// readTree reads the text as one YAML document. It returns nil when it has reported why that cannot be.
func readTree(src *source, r *report) *node {
	var tokens token.Tokens
	var file *ast.File
	if err := guarded(func() error { tokens = joinColons(lexer.Tokenize(src.text)); return nil }); err != nil {
		reportSyntax(err, nil, r)
		return nil
	}
	if !checkTokens(tokens, r) {
		return nil
	}
	err := guarded(func() (err error) {
		file, err = parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
		return err
	})
	if err != nil {
		reportSyntax(err, tokens, r)
		return nil
	}
	var body ast.Node
	for _, d := range file.Docs {
		if d != nil && d.Body != nil {
			body = d.Body
		}
	}
	if body == nil {
		r.add(pos{}, "", "the policy is empty", emptyHint)
		return nil
	}
	if n, ok := body.(*ast.NullNode); ok {
		r.add(place(n.GetToken()), "", "the policy is empty", emptyHint)
		return nil
	}
	t := &treeReader{report: r, anchors: map[string]ast.Node{}, open: map[string]bool{}}
	root := t.node(body, 0)
	if t.failed {
		return nil
	}
	return root
}

const emptyHint = "the least that a policy needs is sites: [{hosts: [shop.example], origins: ['http://127.0.0.1:3000']}]"

// guarded turns a panic of the library into an error like any other.
func guarded(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the YAML parser gave up: %v", p)
		}
	}()
	return f()
}

// syntaxError is what the library's errors have in common.
type syntaxError interface {
	GetMessage() string
	GetToken() *token.Token
}

func reportSyntax(err error, tokens token.Tokens, r *report) {
	said, ok := err.(syntaxError)
	if !ok {
		r.add(pos{}, "", "this is not YAML: "+err.Error(), "")
		return
	}
	tk := said.GetToken()
	if tk == nil && len(tokens) > 0 {
		tk = tokens[len(tokens)-1]
	}
	text := said.GetMessage()
	r.add(place(tk), "", "this is not YAML: "+text, syntaxHint(text, tk))
}

// syntaxHint says what people mostly meant who wrote what the library complains about.
func syntaxHint(msg string, tk *token.Token) string {
	switch {
	case tk != nil && strings.HasPrefix(tk.Value, "*"):
		return starHint
	case strings.Contains(msg, "mapping value is not allowed"):
		return `text that holds ": " goes in quotes`
	case strings.Contains(msg, "alias"):
		return starHint
	case strings.Contains(msg, "find end character"), strings.Contains(msg, "not found"), strings.Contains(msg, "must be specified"), strings.Contains(msg, "could not find"):
		return "look for a quote or a bracket that is not closed, here or in the lines before"
	case strings.Contains(msg, "non-map value"), strings.Contains(msg, "unexpected key name"), strings.Contains(msg, "value is not allowed in this context"):
		return "look at the indentation, and for a missing colon or quote in the lines before"
	case tk != nil && (strings.HasPrefix(tk.Value, "@") || strings.HasPrefix(tk.Value, "`")):
		return "text that begins so goes in quotes"
	}
	return ""
}

const starHint = `a name that begins with "*" goes in quotes, such as "*.shop.example"`

func place(tk *token.Token) pos {
	if tk == nil || tk.Position == nil {
		return pos{}
	}
	return pos{tk.Position.Line, tk.Position.Column}
}

// checkTokens refuses what the library would need too much time, memory or stack for, and what the policy language leaves
// out of YAML: further documents.
func checkTokens(tokens token.Tokens, r *report) bool {
	c := tokenCheck{report: r, keys: map[int]int{}}
	for _, tk := range tokens {
		if tk.Position == nil {
			continue
		}
		if msg, hint := c.next(tk); msg != "" {
			r.add(place(tk), "", msg, hint)
			return false
		}
	}
	return true
}

type tokenCheck struct {
	report  *report
	started bool        // the first document has begun
	depth   int         // of flow lists and mappings
	line    int         // the line of the token before
	openers int         // on this line
	entries int         // of lists, on this line
	fields  int         // of all mappings
	blanks  int         // entries of lists without a value
	keys    map[int]int // of the block mappings that are open, by column
}

func (c *tokenCheck) next(tk *token.Token) (msg, hint string) {
	if tk.Position.Line != c.line {
		c.line, c.openers, c.entries = tk.Position.Line, 0, 0
	}
	switch tk.Type {
	case token.DocumentHeaderType:
		if c.started {
			return "a second document begins here", "a policy is one document: remove the --- or put the rest into a file of its own"
		}
		c.started = true
	case token.CommentType, token.DocumentEndType:
	case token.DirectiveType:
		return "a YAML directive has no place in a policy", "remove the line"
	case token.MergeKeyType:
		return `"<<" (merge) is not understood here`, "write the fields out, or use an alias for a whole value"
	case token.SequenceStartType, token.MappingStartType:
		c.started = true
		if c.depth++; c.depth > maxDepth {
			return "too many brackets inside each other", fmt.Sprintf("a policy is at most %d levels deep", maxDepth)
		}
	case token.SequenceEndType, token.MappingEndType:
		c.depth--
	case token.MappingKeyType:
		return `"?" (a complex key) is not understood here`, "write name: value"
	case token.AnchorType, token.TagType, token.SequenceEntryType:
		c.started = true
		return c.opener(tk)
	case token.MappingValueType:
		return c.key(tk)
	default:
		c.started = true
	}
	return "", ""
}

// opener counts what opens something on one line: a list's entry, an anchor, a tag.
func (c *tokenCheck) opener(tk *token.Token) (msg, hint string) {
	if c.depth > 0 {
		return "", ""
	}
	if tk.Type == token.SequenceEntryType {
		if c.entries++; c.entries > 1 {
			return "a list directly inside of a list has no place in a policy", `write one "- " for each entry`
		}
		c.closeDeeper(tk.Position.Column)
		next := tk.Next
		blank := next == nil || next.Type == token.SequenceEntryType && next.Position.Column <= tk.Position.Column
		if blank {
			c.blanks++
		}
		if c.blanks > maxBlanks {
			return fmt.Sprintf("there are more than %d blank entries in lists", maxBlanks), "give them values, or remove them"
		}
	}
	if c.openers++; c.openers > maxOpeners {
		return "too many anchors or tags on one line", "write the values out"
	}
	if tk.Position.Column > maxColumn {
		return "the indentation is too deep", fmt.Sprintf("a policy is at most %d levels deep", maxDepth)
	}
	return "", ""
}

// key counts the fields of each mapping.
func (c *tokenCheck) key(colon *token.Token) (msg, hint string) {
	if c.fields++; c.fields > maxFields {
		return fmt.Sprintf("the policy has more than %d fields", maxFields), "no policy has so many"
	}
	if c.depth > 0 || colon.Prev == nil || colon.Prev.Position == nil {
		return "", ""
	}
	column := colon.Prev.Position.Column
	c.closeDeeper(column)
	if c.keys[column]++; c.keys[column] > maxKeys {
		return fmt.Sprintf("a mapping with more than %d fields", maxKeys), "no part of a policy has so many"
	}
	if len(c.keys) > maxDepth || column > maxColumn {
		return "too many mappings inside each other", fmt.Sprintf("a policy is at most %d levels deep", maxDepth)
	}
	return "", ""
}

func (c *tokenCheck) closeDeeper(column int) {
	for k := range c.keys {
		if k > column {
			delete(c.keys, k)
		}
	}
}

// treeReader turns the library's tree into ours.
type treeReader struct {
	report  *report
	anchors map[string]ast.Node
	open    map[string]bool // the anchors whose value is being read
	aliased int             // the values read through aliases
	inAlias int
	failed  bool
}

func (t *treeReader) fail(at pos, msg, hint string) *node {
	t.failed = true
	t.report.add(at, "", msg, hint)
	return &node{at: at}
}

func (t *treeReader) node(n ast.Node, depth int) *node {
	if n == nil {
		return &node{}
	}
	at := place(n.GetToken())
	if depth > maxDepth {
		return t.fail(at, "too many levels inside each other", fmt.Sprintf("a policy is at most %d levels deep", maxDepth))
	}
	if t.inAlias > 0 {
		if t.aliased++; t.aliased > maxAliased {
			if t.failed {
				return &node{at: at}
			}
			return t.fail(at, fmt.Sprintf("aliases repeat more than %d values", maxAliased), "write them into a file of their own, or once")
		}
	}
	switch n := n.(type) {
	case *ast.NullNode:
		return &node{kind: kindNull, at: at}
	case *ast.StringNode:
		return &node{kind: kindText, at: at, text: n.Value}
	case *ast.LiteralNode:
		return &node{kind: kindText, at: at, text: n.Value.Value}
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return &node{kind: kindNumber, at: at, text: n.GetToken().Value}
	case *ast.BoolNode:
		return &node{kind: kindBool, at: at, text: n.Token.Value}
	case *ast.SequenceNode:
		out := &node{kind: kindList, at: at}
		for _, v := range n.Values {
			out.items = append(out.items, t.node(v, depth+1))
		}
		return out
	case *ast.MappingNode:
		return t.mapping(at, n.Values, depth)
	case *ast.MappingValueNode:
		return t.mapping(at, []*ast.MappingValueNode{n}, depth)
	case *ast.AnchorNode:
		return t.anchor(n, depth)
	case *ast.AliasNode:
		return t.alias(n, depth)
	case *ast.TagNode:
		return t.fail(at, "the tag "+quote(n.Start.Value)+" is not understood here", "leave it out, and put text into quotes")
	}
	return t.fail(at, "this part of YAML is not understood here", "write it in a simpler way")
}

func (t *treeReader) mapping(at pos, values []*ast.MappingValueNode, depth int) *node {
	out := &node{kind: kindMapping, at: at}
	for i, v := range values {
		key, ok := v.Key.(ast.Node)
		if !ok || key == nil || key.GetToken() == nil {
			return t.fail(at, "a field without a name", "write name: value")
		}
		k := t.node(key, depth+1)
		if k.kind == kindList || k.kind == kindMapping {
			return t.fail(place(key.GetToken()), "a field's name must be text", "write name: value")
		}
		if i == 0 {
			out.at = k.at
		}
		out.fields = append(out.fields, field{key: k.text, at: k.at, value: t.node(v.Value, depth+1)})
	}
	return out
}

func (t *treeReader) anchor(n *ast.AnchorNode, depth int) *node {
	name := ""
	if n.Name != nil {
		name = n.Name.GetToken().Value
	}
	t.anchors[name] = n.Value
	t.open[name] = true
	defer delete(t.open, name)
	return t.node(n.Value, depth)
}

func (t *treeReader) alias(n *ast.AliasNode, depth int) *node {
	at, name := place(n.GetToken()), ""
	if n.Value != nil {
		name = n.Value.GetToken().Value
	}
	value, ok := t.anchors[name]
	switch {
	case !ok:
		return t.fail(at, "there is no anchor "+quote("&"+name)+" before this alias", starHint)
	case t.open[name]:
		return t.fail(at, "the alias "+quote("*"+name)+" stands inside of what it repeats", "write the value out")
	}
	t.inAlias++
	out := t.node(value, depth)
	t.inAlias--
	return out
}
