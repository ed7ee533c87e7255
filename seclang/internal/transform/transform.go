// Package transform answers: how does a value read after a SecLang transformation (t:urlDecodeUni, t:cmdLine …)?
//
// The transformations behave as Coraza 3.8.1's, byte for byte: rule sets are written and tested against those. Each one
// is a pure function over a byte slice that allocates nothing once its buffer has grown. For each one it is known which
// bytes a value must contain before anything can change (Identity), so that most values are never copied at all.
package transform

import (
	"bytes"
	"strings"
)

// T is one transformation. The zero value is "none", which changes nothing.
type T uint8

// step writes the transformed src behind dst, which is empty and does not overlap src, and returns the extended slice.
type step func(dst, src []byte) []byte

type entry struct {
	name  string
	apply step
	// triggers hold what a value must contain to be changed; see trigger. None at all: every value but the empty may change.
	triggers []trigger
	// always says that even an empty value is changed.
	always bool
	// counts says whether a change of the value counts as one under multiMatch; nil: always.
	counts func(src []byte) bool
}

// table lists every transformation, "none" first. Its order is T's, so it may differ between builds.
var table = [...]entry{
	{name: "none", triggers: never},
	{name: "base64Decode", apply: base64Decode},
	{name: "base64DecodeExt", apply: base64DecodeExt},
	{name: "base64Encode", apply: base64Encode},
	{name: "cmdLine", apply: cmdLine, triggers: any1(cmdLineBytes)},
	{name: "compressWhitespace", apply: compressWhitespace, triggers: any1(latinSpaceBytes)},
	{name: "cssDecode", apply: cssDecode, triggers: any1(`\`)},
	{name: "escapeSeqDecode", apply: escapeSeqDecode, triggers: any1(`\`)},
	{name: "hexDecode", apply: hexDecode, triggers: any1(hexDigits)},
	{name: "hexEncode", apply: hexEncode},
	{name: "htmlEntityDecode", apply: htmlEntityDecode, triggers: both("&", "#"+alphanumeric)},
	{name: "jsDecode", apply: jsDecode, triggers: any1(`\`)},
	{name: "length", apply: length, always: true},
	{name: "lowercase", apply: lowercase, triggers: any1(upper + highBytes)},
	{name: "md5", apply: md5Sum, always: true},
	{name: "normalisePath", apply: normalisePath, triggers: any1("/.")},
	{name: "normalisePathWin", apply: normalisePathWin, triggers: any1(`/\.: `)},
	{name: "removeComments", apply: removeComments, triggers: commentTriggers},
	{name: "removeCommentsChar", apply: removeCommentsChar, triggers: commentTriggers},
	{name: "removeNulls", apply: removeNulls, triggers: any1("\x00")},
	{name: "removeWhitespace", apply: removeWhitespace, triggers: any1(asciiSpace + highBytes), counts: hasSpace},
	{name: "replaceComments", apply: replaceComments, triggers: both("/", "*")},
	{name: "replaceNulls", apply: replaceNulls, triggers: any1("\x00")},
	{name: "sha1", apply: sha1Sum, always: true},
	{name: "trim", apply: trim, triggers: any1(asciiSpace)},
	{name: "trimLeft", apply: trimLeft, triggers: any1(asciiSpace)},
	{name: "trimRight", apply: trimRight, triggers: any1(asciiSpace)},
	{name: "uppercase", apply: uppercase, triggers: any1(lower + highBytes)},
	{name: "urlDecode", apply: urlDecode, triggers: urlTriggers},
	{name: "urlDecodeUni", apply: urlDecodeUni, triggers: urlTriggers},
	{name: "urlEncode", apply: urlEncode, triggers: allBut("*" + alphanumeric)},
	{name: "utf8toUnicode", apply: utf8ToUnicode, triggers: any1(highBytes)},
}

// aliases are the second spellings that rule sets use.
var aliases = map[string]string{
	"normalizepath":    "normalisepath",
	"normalizepathwin": "normalisepathwin",
}

var byName = func() map[string]T {
	m := make(map[string]T, len(table)+len(aliases))
	for i := range table {
		m[strings.ToLower(table[i].name)] = T(i)
	}
	for alias, name := range aliases {
		m[alias] = m[name]
	}
	return m
}()

// Lookup finds a transformation by its SecLang name, in any case. False: there is none of that name.
func Lookup(name string) (T, bool) {
	t, ok := byName[strings.ToLower(name)]
	return t, ok
}

// Names lists the transformations by their first spelling.
func Names() []string {
	names := make([]string, len(table))
	for i := range table {
		names[i] = table[i].name
	}
	return names
}

// String returns the SecLang name.
func (t T) String() string { return table[t].name }

// Counts reports whether the form that the transformation makes of src, which differs from it, is one more form to a rule with
// multiMatch. It is not where nothing but bytes that are no UTF-8 were replaced.
func (t T) Counts(src []byte) bool { return table[t].counts == nil || table[t].counts(src) }

// Apply returns the transformed src.
//
// dst is scratch: its content is overwritten and it must not overlap src. What is returned is src itself when the
// transformation leaves the value as it is, otherwise a slice that begins where dst begins (or a fresh one if dst's
// capacity did not suffice: keep it as the next scratch). A value that cannot be decoded, such as an odd number of hex
// digits for hexDecode, counts as left as it is.
func (t T) Apply(dst, src []byte) []byte {
	if t == 0 {
		return src
	}
	out := table[t].apply(dst[:0], src)
	if bytes.Equal(out, src) {
		return src
	}
	return out
}
