// Package body answers: which fields does a body, a query string or a cookie header hold?
//
// Every parser appends to one caller-owned list, Fields, within Limits, and says by a Problem why it stopped early or what is
// wrong: nothing is left out in silence. What a parser finds is a view of what it was given or of memory that the list owns
// and uses again; no temporary files are written. Names and values are those of Coraza 3.8.1, in the order of the body.
package body

import "unsafe"

// Field is a name and a value.
type Field struct {
	Name, Value string
	// Start and End say where the value stands in what was parsed, as it was written there.
	Start, End int
}

// File is an uploaded file, of which only what describes it is kept.
type File struct {
	// Field is the name of the form's field, Name the file's own. OtherName is a second name that another reader of the same
	// part may see, empty if there is none.
	Field, Name, OtherName string
	// Type is what the sender says it is.
	Type string
	Size int
	// Begin is what it begins with, at most BeginSize bytes.
	Begin string
	// Start says where the content begins in what was parsed.
	Start int
}

// BeginSize is how many bytes of a file are kept: enough for what a program of the web begins with, and for the first name in an archive.
const BeginSize = 512

// Kind tells problems apart.
type Kind uint8

// The kinds of problems. None is the zero value.
const (
	None          Kind = iota
	Malformed          // it is not what it says it is; fields up to there are kept
	TooManyFields      // Limits.Fields is reached; the rest is only checked for being well-formed
	TooDeep            // Limits.Depth is exceeded
	TooLarge           // Limits.Bytes is exceeded by names and values, or by what is decompressed
	Truncated          // it ends before it should; what there is was read
)

var kindNames = [...]string{"", "malformed", "too many fields", "nested too deep", "too large", "truncated"}

func (k Kind) String() string { return kindNames[k] }

// Problem says why a body was not read to its end, or what is wrong with it. The zero value is no problem.
type Problem struct {
	Kind Kind
	// At is where, as an offset into what was parsed.
	At int
	// Text says what, in words for a log.
	Text string
}

// Limits bounds what one parser takes. A zero field stands for its default.
type Limits struct {
	// Fields is how many fields, files included. Default 1000.
	Fields int
	// Depth is how many objects, arrays or elements may enclose each other. Default 1024.
	Depth int
	// Bytes is how much memory names and values may take that are no views of the body. Default: 8 times the body, at
	// least 4096.
	Bytes int
	// Partial says that only the front of a body is parsed: that it ends early is then no fault of its sender's.
	Partial bool
	// Tokens says that each token has to end before the body does. A body of XML may otherwise end anywhere, and its last token is
	// then left out.
	Tokens bool
	// Charset is the encoding that the Content-Type of an XML document names, "" for none. Documents that are in UTF-8, and those that
	// declare another encoding, are not read in it.
	Charset string
	// AsCoraza has things read as Coraza does, and not as the programs that get them: elements of XML that HTML knows without an
	// end, such as br, are closed where none follows at once, so that <param><value/></param> and with it XML-RPC cannot be read; another
	// encoding that blanks hide, and an instruction within a declaration, are overlooked; and a part with only an extended file name, which PHP
	// takes for a field, is a file and nothing else.
	AsCoraza bool
	// Variable is what is sent for a variable of a GraphQL document, where that is a number; nil for nothing.
	Variable func(name string) (n int, ok bool)
}

func (l Limits) withDefaults(size int) Limits {
	if l.Fields <= 0 {
		l.Fields = 1000
	}
	if l.Depth <= 0 {
		l.Depth = 1024
	}
	if l.Bytes <= 0 {
		l.Bytes = max(8*size, 4096)
	}
	return l
}

// Fields is what parsers found. The zero value is ready for use. Its strings are valid until Reset, as long as what was parsed
// does not change.
type Fields struct {
	// Args are the fields of a query, a form, a JSON document and so on, or cookies.
	Args []Field
	// Files are the files of a multipart form.
	Files []File
	// FilesSize is the size of all parts of a multipart form together.
	FilesSize int
	// PartHeaders are the header lines of the parts of a multipart form: each Name is the part's, each Value a whole line.
	PartHeaders []Field
	// PartNames and FileNames are the names that parts have and that files have, the part's as Name.
	PartNames, FileNames []Field
	// Charsets and Languages are those of extended file names (RFC 5987).
	Charsets, Languages []Field
	// Multipart says what is irregular about a multipart form.
	Multipart MultipartFlags
	// Texts and Attributes are the character data and attribute values of an XML document.
	Texts, Attributes []Field
	// Declarations are the declarations of an XML document (<!DOCTYPE …), without the bracket that ends them.
	Declarations []Field
	// DuplicateKeys is how many names of a JSON object its sender has given twice.
	DuplicateKeys int
	// Operations are the operations of GraphQL documents.
	Operations []Operation
	// Problem is the first problem that was met.
	Problem Problem

	arena arena
	path  []byte
	names []string
	keys  map[uint64]struct{}
}

// Reset empties the list and keeps its memory for the next use.
func (f *Fields) Reset() {
	f.arena.reset()
	clear(f.keys)
	*f = Fields{
		Args: f.Args[:0], Files: f.Files[:0], PartHeaders: f.PartHeaders[:0], PartNames: f.PartNames[:0], FileNames: f.FileNames[:0],
		Charsets: f.Charsets[:0], Languages: f.Languages[:0], Texts: f.Texts[:0], Attributes: f.Attributes[:0], Declarations: f.Declarations[:0], Operations: f.Operations[:0],
		arena: f.arena, path: f.path[:0], names: f.names[:0], keys: f.keys,
	}
}

// fail keeps the first problem.
func (f *Fields) fail(kind Kind, at int, text string) {
	if f.Problem.Kind == None {
		f.Problem = Problem{kind, at, text}
	}
}

// arena hands out memory that never moves and uses it again after reset.
type arena struct {
	block []byte // the current block; its length is what is in use
	full  int    // bytes in blocks that were left behind
}

const (
	arenaBlock = 4 << 10
	arenaKept  = 64 << 10 // what one use may leave to the next
)

// take returns an empty slice with room for n bytes; keep ends its use.
func (a *arena) take(n int) []byte {
	if cap(a.block)-len(a.block) < n {
		a.full += len(a.block)
		a.block = make([]byte, 0, max(arenaBlock, n, 2*cap(a.block)))
	}
	return a.block[len(a.block):len(a.block)]
}

// keep makes b, which take returned and that has grown within its room, part of the arena.
func (a *arena) keep(b []byte) string {
	a.block = a.block[:len(a.block)+len(b)]
	return view(b)
}

func (a *arena) used() int { return a.full + len(a.block) }

func (a *arena) reset() {
	if a.full = 0; cap(a.block) > arenaKept {
		a.block = nil
	}
	a.block = a.block[:0]
}

// view is b as a string, without a copy: b must not change as long as the string is used.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
