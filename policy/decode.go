package policy

import (
	"encoding"
	"iter"
	"math"
	"reflect"
	"strconv"
	"strings"
)

// fieldTag is what the tags of a field say; see the package comment.
type fieldTag struct {
	name, def, min, max, example, empty string
	enum                                []string
	required                            bool
}

func tagOf(f reflect.StructField) fieldTag {
	name, rest, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	t := fieldTag{
		name: name, required: !strings.Contains(rest, "omitempty"), def: f.Tag.Get("default"), min: f.Tag.Get("min"),
		max: f.Tag.Get("max"), example: f.Tag.Get("example"), empty: f.Tag.Get("empty"),
	}
	if e := f.Tag.Get("enum"); e != "" {
		t.enum = strings.Split(e, ",")
	}
	return t
}

// fieldsOf yields the fields of a struct that belong to the language, by their index.
func fieldsOf(t reflect.Type) iter.Seq2[int, fieldTag] {
	return func(yield func(int, fieldTag) bool) {
		for i := range t.NumField() {
			if f := t.Field(i); f.IsExported() && !yield(i, tagOf(f)) {
				return
			}
		}
	}
}

// show returns a value to write into a message: the example, else the default.
func (f fieldTag) show() string {
	switch {
	case f.example != "":
		return f.example
	case f.def != "":
		return f.def
	}
	return ""
}

func (f fieldTag) suchAs() string {
	switch {
	case len(f.enum) > 0:
		return ": " + list(f.enum, "or")
	case f.show() != "":
		return ", such as " + f.show()
	}
	return ""
}

// decoder fills a Policy from a tree and notes where each value stood.
type decoder struct {
	report *report
	marks  map[string]*node
}

// value fills v from n. Where n does not fit, it reports so and leaves v as it is.
func (d *decoder) value(n *node, v reflect.Value, f fieldTag, path string) {
	d.marks[path] = n
	if n.kind == kindNull {
		d.report.add(n.at, path, "is blank", blankHint(v, f))
		return
	}
	if v.Kind() == reflect.Pointer {
		p := reflect.New(v.Type().Elem())
		d.value(n, p.Elem(), f, path)
		v.Set(p)
		return
	}
	if t, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		d.text(n, t, v, f, path)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(n, v, f, path)
	case reflect.Slice:
		d.list(n, v, f, path)
	default:
		d.scalar(n, v, f, path)
	}
}

func blankHint(v reflect.Value, f fieldTag) string {
	do := "remove the line"
	if f.required {
		do = ""
	}
	if v.Kind() == reflect.Pointer && v.Type().Elem().Kind() == reflect.Struct {
		v = reflect.New(v.Type().Elem()).Elem()
	}
	give := "give it a value" + f.suchAs()
	if isMapping(v.Type()) {
		give = "give it fields"
	}
	if do == "" {
		return give
	}
	return give + ", or " + do
}

// isMapping reports whether t is written as a mapping.
func isMapping(t reflect.Type) bool {
	_, text := reflect.New(t).Interface().(encoding.TextUnmarshaler)
	return t.Kind() == reflect.Struct && !text
}

// mistyped reports that n is not what v wants.
func (d *decoder) mistyped(n *node, v reflect.Value, f fieldTag, path, hint string) {
	d.report.add(n.at, path, "wants "+wants(v.Type(), f)+f.suchAs()+", not "+n.describe(), hint)
}

func wants(t reflect.Type, f fieldTag) string {
	if len(f.enum) > 0 {
		return "one of its words"
	}
	switch t {
	case reflect.TypeFor[Duration]():
		return "a length of time"
	case reflect.TypeFor[Bytes]():
		return "a size"
	case reflect.TypeFor[Rate]():
		return "a rate"
	case reflect.TypeFor[Amount]():
		return "an amount"
	case reflect.TypeFor[Prefix]():
		return "an address or a prefix"
	}
	switch t.Kind() {
	case reflect.Struct:
		return "fields (name: value)"
	case reflect.Slice:
		return "a list"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Uint32:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	}
	return "text"
}

// describe says what a node is, in words.
func (n *node) describe() string {
	switch n.kind {
	case kindList:
		return "a list"
	case kindMapping:
		return "fields (name: value)"
	case kindText:
		return "the text " + quote(n.text)
	case kindNumber:
		return "the number " + n.text
	case kindBool:
		return n.text
	}
	return "a blank"
}

func (d *decoder) text(n *node, t encoding.TextUnmarshaler, v reflect.Value, f fieldTag, path string) {
	if n.kind == kindList || n.kind == kindMapping || n.kind == kindBool {
		d.mistyped(n, v, f, path, "")
		return
	}
	if n.text == "" {
		d.report.add(n.at, path, "is empty", blankHint(v, f))
		return
	}
	if err := t.UnmarshalText([]byte(n.text)); err != nil {
		d.report.wrong(n.at, path, err)
	}
}

// wrong reports an error of a value's parser.
func (r *report) wrong(at pos, path string, err error) {
	if e, ok := err.(*valueError); ok {
		r.add(at, path, e.msg, e.hint)
		return
	}
	r.add(at, path, err.Error(), "")
}

func (d *decoder) structure(n *node, v reflect.Value, f fieldTag, path string) {
	if o, ok := v.Addr().Interface().(*Origin); ok && n.kind == kindText {
		o.URL = n.text
		return
	}
	if o, ok := v.Addr().Interface().(*OpenAPI); ok && n.kind == kindText {
		o.File = n.text
		return
	}
	if n.kind != kindMapping {
		d.mistyped(n, v, fieldTag{}, path, "")
		return
	}
	byName, names := map[string]int{}, []string(nil)
	for i, tag := range fieldsOf(v.Type()) {
		byName[tag.name], names = i, append(names, tag.name)
	}
	seen := map[string]pos{}
	for _, field := range n.fields {
		i, ok := byName[field.key]
		if !ok {
			d.unknown(field, names, v.Type(), f, path)
			continue
		}
		at := joinPath(path, field.key)
		if first, twice := seen[field.key]; twice {
			d.report.add(field.at, at, "is there twice", "it was given in line "+strconv.Itoa(first.line)+" already: keep one")
			continue
		}
		seen[field.key] = field.at
		value := *field.value
		if value.kind == kindNull || value.at == (pos{}) {
			value.at = field.at
		}
		d.value(&value, v.Field(i), tagOf(v.Type().Field(i)), at)
	}
}

// unknown reports a field that is none. The field that was meant counts as broken, so that nobody reports it as missing.
func (d *decoder) unknown(f field, names []string, t reflect.Type, tag fieldTag, path string) {
	at := joinPath(path, pathName(f.key))
	d.report.add(f.at, at, "there is no field "+quote(f.key)+" in "+noun(t, tag), didYouMean(f.key, names, "there are"))
	if n := nearest(f.key, names); n != "" {
		d.report.broken[joinPath(path, n)] = true
	}
}

// noun names a mapping in a message: "a site", `"log"`.
func noun(t reflect.Type, f fieldTag) string {
	switch t {
	case reflect.TypeFor[Policy]():
		return "a policy"
	case reflect.TypeFor[Origin](), reflect.TypeFor[Site](), reflect.TypeFor[Route](), reflect.TypeFor[List](), reflect.TypeFor[Limit](), reflect.TypeFor[Rule]():
		name := strings.ToLower(t.Name())
		if name[0] == 'o' {
			return "an " + name
		}
		return "a " + name
	}
	return quote(f.name)
}

// pathName returns a field's name for a path, in quotes where it could be misread.
func pathName(key string) string {
	for i := range len(key) {
		if c := key[i]; c != '_' && c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return quote(key)
		}
	}
	if key == "" || len(key) > 60 {
		return quote(key)
	}
	return key
}

func joinPath(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func itemPath(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

func (d *decoder) list(n *node, v reflect.Value, f fieldTag, path string) {
	if n.kind != kindList {
		hint := ""
		switch {
		case n.kind == kindMapping:
			hint = `begin each entry with "- "`
		case n.text != "" && v.Type().Elem().Kind() == reflect.String:
			hint = "write [" + quote(n.text) + "]"
		}
		d.mistyped(n, v, f, path, hint)
		return
	}
	out := reflect.MakeSlice(v.Type(), len(n.items), len(n.items)) // not nil, also when it is empty
	item := f
	item.example, item.def, item.empty, item.required = "", "", "", false
	for i, it := range n.items {
		if it.at == (pos{}) {
			it.at = n.at
		}
		d.value(it, out.Index(i), item, itemPath(path, i))
	}
	v.Set(out)
}

func (d *decoder) scalar(n *node, v reflect.Value, f fieldTag, path string) {
	switch v.Kind() {
	case reflect.String:
		switch {
		case n.kind == kindText:
			v.SetString(n.text)
		case n.kind == kindNumber || n.kind == kindBool:
			d.mistyped(n, v, f, path, "put it in quotes: "+quote(n.text))
		default:
			d.mistyped(n, v, f, path, "")
		}
	case reflect.Bool:
		if n.kind != kindBool {
			d.mistyped(n, v, fieldTag{}, path, "")
			return
		}
		v.SetBool(n.text == "true" || n.text == "True" || n.text == "TRUE")
	case reflect.Float64:
		x, err := strconv.ParseFloat(n.text, 64)
		if n.kind != kindNumber || err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
			d.mistyped(n, v, f, path, "")
			return
		}
		v.SetFloat(x)
	default:
		d.whole(n, v, f, path)
	}
}

// whole fills v from a decimal number. Other bases are refused: "0600" is a trap that YAML versions read differently.
func (d *decoder) whole(n *node, v reflect.Value, f fieldTag, path string) {
	digits := strings.TrimPrefix(n.text, "-")
	if n.kind != kindNumber || !isDigits(digits) || digits[0] == '0' && len(digits) > 1 {
		hint := ""
		if as, ok := strings.CutPrefix(strings.ToUpper(n.text), "AS"); ok && isDigits(as) {
			hint = "write " + as
		}
		d.mistyped(n, v, f, path, hint)
		return
	}
	x, err := strconv.ParseInt(n.text, 10, 64)
	switch {
	case err != nil, v.Kind() == reflect.Uint32 && (x < 0 || x > math.MaxUint32), v.Kind() == reflect.Int && v.OverflowInt(x):
		d.report.add(n.at, path, n.text+" is out of range", outOfRangeHint(f))
	case v.Kind() == reflect.Uint32:
		v.SetUint(uint64(x))
	default:
		v.SetInt(x)
	}
}

func outOfRangeHint(f fieldTag) string {
	switch {
	case f.min != "" && f.max != "":
		return "it goes from " + f.min + " to " + f.max
	case f.min != "":
		return "the least is " + f.min
	case f.max != "":
		return "the most is " + f.max
	}
	return ""
}
