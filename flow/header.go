package flow

import "iter"

// Field is one header or trailer field. Name keeps the spelling that came over the wire.
type Field struct {
	Name, Value string
}

// Header is an ordered list of fields. Names keep their original spelling, look-up ignores ASCII case, repeated
// fields stay apart and in order. The zero value is empty and ready to use.
//
// A Header is a small value that shares its fields when it is copied: copies are for reading. Whoever wants to
// change one makes a Clone first. Nothing on the path writes to the Header inside Facts.
type Header struct {
	fields []Field
}

// NewHeader returns a header with room for n fields.
func NewHeader(n int) Header { return Header{fields: make([]Field, 0, n)} }

// Len is the number of fields.
func (h Header) Len() int { return len(h.fields) }

// At returns the i-th field, 0 <= i < Len.
func (h Header) At(i int) Field { return h.fields[i] }

// All yields the fields in the order in which they came.
func (h Header) All() iter.Seq[Field] {
	return func(yield func(Field) bool) {
		for _, f := range h.fields {
			if !yield(f) {
				return
			}
		}
	}
}

// Get returns the value of the first field called name, or "" when there is none.
func (h Header) Get(name string) string {
	for i := range h.fields {
		if EqualFold(h.fields[i].Name, name) {
			return h.fields[i].Value
		}
	}
	return ""
}

// Has reports whether there is a field called name.
func (h Header) Has(name string) bool {
	for i := range h.fields {
		if EqualFold(h.fields[i].Name, name) {
			return true
		}
	}
	return false
}

// Values yields the values of every field called name, in order.
func (h Header) Values(name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range h.fields {
			if EqualFold(h.fields[i].Name, name) && !yield(h.fields[i].Value) {
				return
			}
		}
	}
}

// Add appends a field.
func (h *Header) Add(name, value string) {
	h.fields = append(h.fields, Field{name, value})
}

// Set replaces the first field called name, removes the others, and appends the field when there was none.
func (h *Header) Set(name, value string) {
	out, done := h.fields[:0], false
	for _, f := range h.fields {
		if EqualFold(f.Name, name) {
			if done {
				continue
			}
			f.Value, done = value, true
		}
		out = append(out, f)
	}
	if !done {
		out = append(out, Field{name, value})
	}
	h.fields = out
}

// Del removes every field called name.
func (h *Header) Del(name string) {
	h.DelFunc(func(f Field) bool { return EqualFold(f.Name, name) })
}

// DelFunc removes every field for which drop returns true.
func (h *Header) DelFunc(drop func(Field) bool) {
	out := h.fields[:0]
	for _, f := range h.fields {
		if !drop(f) {
			out = append(out, f)
		}
	}
	clear(h.fields[len(out):])
	h.fields = out
}

// Reset empties the header and keeps its memory.
func (h *Header) Reset() {
	clear(h.fields)
	h.fields = h.fields[:0]
}

// Clone returns a header that shares no list with h. The strings are still shared: see Facts on how long they live.
func (h Header) Clone() Header {
	return Header{fields: append([]Field(nil), h.fields...)}
}

// EqualFold reports whether a and b are equal under ASCII case folding, the only folding that HTTP knows
// (RFC 9110, section 5.1).
func EqualFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := 0; i < len(a); i++ {
		if x, y := a[i], b[i]; x != y && lower(x) != lower(y) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
