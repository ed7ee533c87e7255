package openapi

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// The bounds of a document and of the files that it refers to.
const (
	maxFile    = 8 << 20 // bytes
	maxFiles   = 200
	maxDepth   = 200       // mappings and lists inside each other
	maxNodes   = 1_000_000 // values in all files
	maxProblem = 20        // mistakes that are told
)

// kind is what a value of a document is.
type kind uint8

const (
	isNull kind = iota
	isBool
	isNumber
	isText
	isList
	isObject
)

// String names the kind as messages do.
func (k kind) String() string {
	return [...]string{"nothing", "true or false", "a number", "a text", "a list", "a mapping"}[k]
}

// node is a value of a document: YAML or JSON without its library.
type node struct {
	kind   kind
	file   *source
	line   int
	at     string  // its JSON pointer (RFC 6901)
	text   string  // of a scalar, without quotes
	items  []*node // of a list
	fields []entry // of a mapping, in their order
}

type entry struct {
	key   string
	value *node
}

// source is a file.
type source struct {
	name string // as messages have it
	path string // inside the folder of the document
	root *node
}

// get is a field of a mapping, nil for none.
func (n *node) get(key string) *node {
	if n == nil {
		return nil
	}
	for i := range n.fields {
		if n.fields[i].key == key {
			return n.fields[i].value
		}
	}
	return nil
}

// str is the text of a field, "" for none.
func (n *node) str(key string) string {
	if v := n.get(key); v != nil && v.kind == isText {
		return v.text
	}
	return ""
}

// is reports whether a field is true.
func (n *node) is(key string) bool {
	v := n.get(key)
	return v != nil && v.kind == isBool && v.text == "true"
}

// mistake is something wrong at a node, and what to do.
func (n *node) mistake(format string, a ...any) error {
	return fmt.Errorf("%s:%d: #%s: %s", n.file.name, n.line, n.at, fmt.Sprintf(format, a...))
}

// reader turns the text of a file into nodes.
type reader struct {
	file    *source
	nodes   *int
	anchors map[string]*node
}

// read reads the text of a file, YAML or JSON; nodes counts the values of all files.
func read(file *source, text []byte, nodes *int) (root *node, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s: the YAML parser gave up: %v", file.name, p)
		}
	}()
	tokens := lexer.Tokenize(string(text))
	depth := 0
	for _, tk := range tokens {
		switch tk.Type {
		case token.SequenceStartType, token.MappingStartType:
			depth++
		case token.SequenceEndType, token.MappingEndType:
			depth--
		case token.MergeKeyType:
			return nil, fmt.Errorf(`%s:%d: "<<" (merge) is not understood here; write the fields out, or use $ref`, file.name, lineOf(tk))
		}
		if depth > maxDepth {
			return nil, fmt.Errorf("%s:%d: more than %d levels inside each other", file.name, lineOf(tk), maxDepth)
		}
	}
	parsed, err := parser.Parse(tokens, 0)
	if err != nil {
		return nil, syntaxMistake(file, err)
	}
	var body ast.Node
	for _, d := range parsed.Docs {
		if d != nil && d.Body != nil {
			if body != nil {
				return nil, fmt.Errorf("%s:%d: a second document begins here; leave one in the file", file.name, lineOf(d.Body.GetToken()))
			}
			body = d.Body
		}
	}
	if body == nil {
		return nil, fmt.Errorf("%s: the file is empty; it should hold an OpenAPI document", file.name)
	}
	r := &reader{file: file, nodes: nodes, anchors: map[string]*node{}}
	return r.node(body, "", 0)
}

// syntaxMistake is an error of the parser with its line.
func syntaxMistake(file *source, err error) error {
	said, ok := err.(interface {
		GetMessage() string
		GetToken() *token.Token
	})
	if !ok {
		return fmt.Errorf("%s: this is neither YAML nor JSON: %w", file.name, err)
	}
	return fmt.Errorf("%s:%d: this is neither YAML nor JSON: %s", file.name, lineOf(said.GetToken()), said.GetMessage())
}

func lineOf(tk *token.Token) int {
	if tk == nil || tk.Position == nil {
		return 0
	}
	return tk.Position.Line
}

func (r *reader) node(n ast.Node, at string, depth int) (*node, error) {
	if n == nil {
		return &node{file: r.file, at: at}, nil
	}
	out := &node{file: r.file, at: at, line: lineOf(n.GetToken())}
	*r.nodes++
	switch {
	case depth > maxDepth:
		return nil, out.mistake("more than %d levels inside each other", maxDepth)
	case *r.nodes > maxNodes:
		return nil, out.mistake("the document has more than %d values", maxNodes)
	}
	switch n := n.(type) {
	case *ast.NullNode:
	case *ast.StringNode:
		out.kind, out.text = isText, n.Value
	case *ast.LiteralNode:
		out.kind, out.text = isText, n.Value.Value
	case *ast.IntegerNode, *ast.FloatNode:
		out.kind, out.text = isNumber, n.GetToken().Value
	case *ast.BoolNode:
		out.kind, out.text = isBool, strconv.FormatBool(n.Value)
	case *ast.SequenceNode:
		out.kind = isList
		for i, v := range n.Values {
			item, err := r.node(v, at+"/"+strconv.Itoa(i), depth+1)
			if err != nil {
				return nil, err
			}
			out.items = append(out.items, item)
		}
	case *ast.MappingNode:
		return out, r.fields(out, n.Values, depth)
	case *ast.MappingValueNode:
		return out, r.fields(out, []*ast.MappingValueNode{n}, depth)
	case *ast.AnchorNode:
		v, err := r.node(n.Value, at, depth+1)
		if err == nil && n.Name != nil {
			r.anchors[n.Name.GetToken().Value] = v
		}
		return v, err
	case *ast.AliasNode:
		if v := r.anchors[n.Value.GetToken().Value]; v != nil {
			return v, nil
		}
		return nil, out.mistake("there is no anchor before this alias")
	default:
		return nil, out.mistake("this part of YAML is not understood here; write it in a simpler way")
	}
	return out, nil
}

func (r *reader) fields(out *node, values []*ast.MappingValueNode, depth int) error {
	out.kind = isObject
	for i, v := range values {
		tk := v.Key.GetToken()
		if tk == nil {
			return out.mistake("a field without a name")
		}
		key := tk.Value
		if i == 0 {
			out.line = lineOf(tk)
		}
		value, err := r.node(v.Value, out.at+"/"+pointerEscape.Replace(key), depth+1)
		if err != nil {
			return err
		}
		if value.kind <= isText || value.line == 0 {
			value.line = lineOf(tk)
		}
		out.fields = append(out.fields, entry{key, value})
	}
	return nil
}

var (
	pointerEscape   = strings.NewReplacer("~", "~0", "/", "~1")
	pointerUnescape = strings.NewReplacer("~1", "/", "~0", "~")
)

var errNoSuch = errors.New("there is nothing at that place")

// find follows a JSON pointer.
func (n *node) find(pointer string) (*node, error) {
	for pointer != "" {
		var token string
		rest, ok := strings.CutPrefix(pointer, "/")
		if !ok {
			return nil, errNoSuch
		}
		token, pointer, _ = strings.Cut(rest, "/")
		if pointer != "" || strings.HasSuffix(rest, "/") {
			pointer = "/" + pointer
		}
		token = pointerUnescape.Replace(token)
		var next *node
		if i, err := strconv.Atoi(token); n.kind == isList && err == nil && i >= 0 && i < len(n.items) {
			next = n.items[i]
		} else {
			next = n.get(token)
		}
		if next == nil {
			return nil, errNoSuch
		}
		n = next
	}
	return n, nil
}
