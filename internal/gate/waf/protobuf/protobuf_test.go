package protobuf

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// declared are the types of the tests, as protoc would write them for:
//
//	message Order {
//	  string note = 1;  int64 id = 2;  bytes blob = 3;  repeated string tags = 4;  Order part = 5;  map<string, string> labels = 6;
//	  repeated int32 numbers = 7;  Price price = 8;  google.protobuf.Any any = 9;  fixed64 at = 10;  float share = 11;
//	}
//	message Price { int64 cents = 1; }
//	service Shop { rpc Buy(Order) returns (Price); }
const declared = `
file {
  name: "google/protobuf/any.proto" package: "google.protobuf" syntax: "proto3"
  message_type { name: "Any"
    field { name: "type_url" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
    field { name: "value" number: 2 type: TYPE_BYTES label: LABEL_OPTIONAL } }
}
file {
  name: "shop.proto" package: "shop" syntax: "proto3" dependency: "google/protobuf/any.proto"
  message_type { name: "Order"
    field { name: "note" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
    field { name: "id" number: 2 type: TYPE_INT64 label: LABEL_OPTIONAL }
    field { name: "blob" number: 3 type: TYPE_BYTES label: LABEL_OPTIONAL }
    field { name: "tags" number: 4 type: TYPE_STRING label: LABEL_REPEATED }
    field { name: "part" number: 5 type: TYPE_MESSAGE type_name: ".shop.Order" label: LABEL_OPTIONAL }
    field { name: "labels" number: 6 type: TYPE_MESSAGE type_name: ".shop.Order.LabelsEntry" label: LABEL_REPEATED }
    field { name: "numbers" number: 7 type: TYPE_INT32 label: LABEL_REPEATED }
    field { name: "price" number: 8 type: TYPE_MESSAGE type_name: ".shop.Price" label: LABEL_OPTIONAL }
    field { name: "any" number: 9 type: TYPE_MESSAGE type_name: ".google.protobuf.Any" label: LABEL_OPTIONAL }
    field { name: "at" number: 10 type: TYPE_FIXED64 label: LABEL_OPTIONAL }
    field { name: "share" number: 11 type: TYPE_FLOAT label: LABEL_OPTIONAL }
    nested_type { name: "LabelsEntry" options { map_entry: true }
      field { name: "key" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
      field { name: "value" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL } } }
  message_type { name: "Price" field { name: "cents" number: 1 type: TYPE_INT64 label: LABEL_OPTIONAL } }
  service { name: "Shop" method { name: "Buy" input_type: ".shop.Order" output_type: ".shop.Price" } }
}
file {
  name: "old.proto" package: "old" syntax: "proto2"
  message_type { name: "Old" extension_range { start: 100 end: 200 }
    field { name: "item" number: 1 type: TYPE_GROUP type_name: ".old.Old.Item" label: LABEL_REPEATED }
    nested_type { name: "Item" field { name: "name" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL } } }
  extension { name: "more" number: 100 type: TYPE_STRING label: LABEL_OPTIONAL extendee: ".old.Old" }
  service { name: "Shelf" method { name: "Put" input_type: ".old.Old" output_type: ".old.Old" } }
}`

func descriptors(t testing.TB) *descriptorpb.FileDescriptorSet {
	var set descriptorpb.FileDescriptorSet
	if err := prototext.Unmarshal([]byte(declared), &set); err != nil {
		t.Fatal(err)
	}
	return &set
}

func schema(t testing.TB) *Schema {
	text, err := proto.Marshal(descriptors(t))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "api.binpb")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// decode takes a message apart that comes in pieces of a size.
func decode(d *Decoder, of *Message, message []byte, size int) ([]Text, error) {
	d.Begin(of, int64(len(message)))
	d.Texts = nil
	for chunk := range slices.Chunk(message, size) {
		if err := d.Write(chunk); err != nil {
			return d.Texts, err
		}
	}
	return d.Texts, d.End()
}

// texts are those that the reflection of the protobuf library finds in a message.
func texts(m protoreflect.Message, under string) (out []Text) {
	if under == "" {
		under = prefix + "."
	}
	add := func(name string, f protoreflect.FieldDescriptor, v protoreflect.Value) {
		switch f.Kind() {
		case protoreflect.StringKind:
			if v.String() != "" {
				out = append(out, Text{name, v.String()})
			}
		case protoreflect.MessageKind, protoreflect.GroupKind:
			out = append(out, texts(v.Message(), name+".")...)
		}
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		name := under + string(f.Name())
		switch {
		case f.IsMap():
			v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
				add(name+".key", f.MapKey(), k.Value())
				add(name+".value", f.MapValue(), v)
				return true
			})
		case f.IsList():
			for i := range v.List().Len() {
				add(name, f, v.List().Get(i))
			}
		default:
			add(name, f, v)
		}
		return true
	})
	return out
}

// random fills a message.
func random(r *rand.Rand, m protoreflect.Message, depth int) {
	value := func() protoreflect.Value {
		return protoreflect.ValueOfString(strings.Repeat("tür ' ", r.IntN(40)) + fmt.Sprint(r.IntN(1000)))
	}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if r.IntN(3) == 0 {
			continue
		}
		switch {
		case f.IsMap():
			for range r.IntN(4) {
				m.Mutable(f).Map().Set(value().MapKey(), value())
			}
		case f.Kind() == protoreflect.StringKind && f.IsList():
			for range r.IntN(4) {
				m.Mutable(f).List().Append(value())
			}
		case f.IsList():
			for range r.IntN(4) {
				m.Mutable(f).List().Append(protoreflect.ValueOfInt32(int32(r.Int64())))
			}
		case f.Kind() == protoreflect.StringKind && m.Descriptor().Name() != "Any":
			m.Set(f, value())
		case f.Kind() == protoreflect.MessageKind && depth < 6:
			random(r, m.Mutable(f).Message(), depth+1)
		case f.Kind() == protoreflect.BytesKind && m.Descriptor().Name() != "Any":
			m.Set(f, protoreflect.ValueOfBytes([]byte("' UNION SELECT")[:r.IntN(14)]))
		case f.Kind() == protoreflect.Int64Kind:
			m.Set(f, protoreflect.ValueOfInt64(r.Int64()))
		}
	}
}

func sorted(list []Text) []string {
	out := make([]string, len(list))
	for i, t := range list {
		out[i] = t.Name + "=" + t.Value
	}
	slices.Sort(out)
	return out
}

// Whatever a message holds and however it comes, the texts are those that the protobuf library finds.
func TestTheTextsAreThoseOfTheLibrary(t *testing.T) {
	s := schema(t)
	files, err := protodesc.NewFiles(descriptors(t))
	if err != nil {
		t.Fatal(err)
	}
	d, _ := files.FindDescriptorByName("shop.Order")
	r := rand.New(rand.NewPCG(1, 2))
	dec := NewDecoder(s, 64<<10)
	found := 0
	for range 400 {
		m := dynamicpb.NewMessage(d.(protoreflect.MessageDescriptor))
		random(r, m, 0)
		wire, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		want := sorted(texts(m, ""))
		for _, size := range []int{1, 7, len(wire) + 1} {
			got, err := decode(dec, s.Takes("/shop.Shop/Buy"), wire, size)
			if err != nil || !slices.Equal(sorted(got), want) {
				t.Fatalf("in pieces of %d: %v\n%q\nwant\n%q", size, err, sorted(got), want)
			}
		}
		found += len(want)
	}
	if found < 1000 {
		t.Fatalf("the messages had %d texts", found)
	}
}

func text(n protowire.Number, value string) string {
	return string(protowire.AppendString(protowire.AppendTag(nil, n, protowire.BytesType), value))
}

func number(n protowire.Number, v uint64) string {
	return string(protowire.AppendVarint(protowire.AppendTag(nil, n, protowire.VarintType), v))
}

func group(n protowire.Number, inside string) string {
	return string(protowire.AppendTag(nil, n, protowire.StartGroupType)) + inside + string(protowire.AppendTag(nil, n, protowire.EndGroupType))
}

func TestMessagesOfAllKinds(t *testing.T) {
	s := schema(t)
	order := "type.googleapis.com/shop.Order"
	deep := ""
	for range maxDepth - 1 {
		deep = text(5, deep)
	}
	for _, c := range []struct {
		name, method, message string
		want                  []string
		err                   error
	}{
		{"nothing", "/shop.Shop/Buy", "", nil, nil},
		{"a text in a message", "/shop.Shop/Buy", text(5, text(1, "a")), []string{"part.note=a"}, nil},
		{"an empty text and an empty message", "/shop.Shop/Buy", text(1, "") + text(5, "") + text(1, "b"), []string{"note=b"}, nil},
		{"twice, for the last counts", "/shop.Shop/Buy", text(1, "a") + text(1, "b"), []string{"note=a", "note=b"}, nil},
		{"a field that is not declared", "/shop.Shop/Buy", text(500, "a") + group(501, number(1, 2)+group(2, text(3, "x"))) + text(1, "b"), []string{"note=b"}, nil},
		{"a text that is written as a number", "/shop.Shop/Buy", number(1, 1<<63) + text(1, "b"), nil, ErrWire},
		{"a number that is written as a text", "/shop.Shop/Buy", text(2, "\x0a\x01a"), nil, ErrWire},
		{"bytes that are written as a number", "/shop.Shop/Buy", number(3, 1) + text(1, "b"), nil, ErrWire},
		{"numbers in one and alone", "/shop.Shop/Buy", text(7, "\x01\x80\x01") + number(7, 5) + text(1, "b"), []string{"note=b"}, nil},
		{"numbers of which the last does not end", "/shop.Shop/Buy", text(7, "\x01\x80") + "\x01" + text(1, "b"), nil, ErrCut},
		{"in a message without texts a number goes beyond it", "/shop.Shop/Buy", text(8, "\x08\x80") + "\x01" + text(1, "b"), nil, ErrCut},
		{"a message that is written as a group", "/shop.Shop/Buy", group(5, text(1, "a")) + text(1, "b"), []string{"note=b", "part.note=a"}, nil},
		{"any message, in two parts", "/shop.Shop/Buy", text(9, text(1, order)) + text(9, text(2, text(1, "a"))), []string{"any.type_url=" + order}, ErrAny},
		{"any message, in two parts of what holds it", "/shop.Shop/Buy", text(5, text(9, text(1, order))) + text(5, text(9, text(2, text(1, "a")))), []string{"part.any.type_url=" + order}, ErrAny},
		{"a length of more than 31 bits", "/shop.Shop/Buy", "\x1a\x85\x80\x80\x80\x10abcde", nil, ErrLength},
		{"on a path with another beginning, in another case", "/api/shop.shop/BUY/", text(1, "a"), []string{"note=a"}, nil},
		{"groups and extensions", "/old.Shelf/Put", group(1, text(2, "a")) + text(100, "b") + group(1, ""), []string{"item.name=a", "more=b"}, nil},
		{"a message of another type", "/shop.Shop/Buy", text(9, text(1, order)+text(2, text(1, "a"))), []string{"any.type_url=" + order, "any.value.note=a"}, nil},
		{"one that is not declared", "/shop.Shop/Buy", text(9, text(1, "t/shop.None")+text(2, text(1, "a"))), []string{"any.type_url=t/shop.None"}, nil},
		{"one whose type is told behind it", "/shop.Shop/Buy", text(9, text(2, text(1, "a"))+text(1, order)), nil, ErrAny},
		{"one that is told again as nothing", "/shop.Shop/Buy", text(9, text(1, order)+text(2, "")+text(1, "")), []string{"any.type_url=" + order}, ErrAny},
		{"as deep as may be", "/shop.Shop/Buy", deep, nil, nil},
		{"deeper", "/shop.Shop/Buy", text(5, deep), nil, ErrDepth},
		{"groups that deep", "/shop.Shop/Buy", strings.Repeat(string(protowire.AppendTag(nil, 90, protowire.StartGroupType)), maxDepth), nil, ErrDepth},
		{"cut in a text", "/shop.Shop/Buy", text(1, "abc")[:4], nil, ErrLength},
		{"cut in a number", "/shop.Shop/Buy", number(2, 1<<40)[:3], nil, ErrCut},
		{"cut in a group", "/shop.Shop/Buy", group(90, "")[:2], nil, ErrCut},
		{"a text beyond its message", "/shop.Shop/Buy", text(5, text(1, "abc")[:4]) + "x", nil, ErrLength},
		{"a number beyond its message", "/shop.Shop/Buy", text(5, number(2, 1<<40)[:4]) + number(2, 1), nil, ErrCut},
		{"a fixed number beyond it", "/shop.Shop/Buy", text(5, "\x51abc") + "defgh", nil, ErrLength},
		{"a number without end", "/shop.Shop/Buy", "\x10" + strings.Repeat("\xff", 11), nil, ErrNumber},
		{"field 0", "/shop.Shop/Buy", "\x00\x01", nil, ErrField},
		{"type 6", "/shop.Shop/Buy", "\xd6\x05\x01", nil, ErrField},
		{"a group that has not begun", "/shop.Shop/Buy", "\x0c", nil, ErrGroup},
		{"another group's end", "/shop.Shop/Buy", "\xd3\x05\xdc\x05", nil, ErrGroup},
		{"a group beyond its message", "/shop.Shop/Buy", text(5, "\xd3\x05") + "\xd4\x05", nil, ErrCut},
		{"of a length that is none", "/shop.Shop/Buy", "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", nil, ErrLength},
	} {
		for i := range c.want {
			c.want[i] = prefix + "." + c.want[i]
		}
		for _, size := range []int{1, 1 << 20} {
			got, err := decode(NewDecoder(s, 64<<10), s.Takes(c.method), []byte(c.message), size)
			if !errors.Is(err, c.err) || c.err == nil && err != nil || !slices.Equal(sorted(got), c.want) {
				t.Errorf("%s, in pieces of %d: %q, %v; want %q, %v", c.name, size, sorted(got), err, c.want, c.err)
			}
		}
	}
}

// A long text is given in parts of which each begins with the end of the one before.
func TestALongTextIsGivenInParts(t *testing.T) {
	s := schema(t)
	var long strings.Builder
	for long.Len() < 200<<10 {
		fmt.Fprintf(&long, "%d,", long.Len())
	}
	d := NewDecoder(s, 64<<10)
	d.Begin(s.Takes("/shop.Shop/Buy"), -1)
	waits := 0
	for chunk := range slices.Chunk([]byte(text(1, long.String())), 1000) {
		if err := d.Write(chunk); err != nil {
			t.Fatal(err)
		}
		if d.Pending() {
			waits++
		}
	}
	whole := d.Texts[0].Value
	for _, part := range d.Texts[1:] {
		if part.Value[:overlap] != whole[len(whole)-overlap:] {
			t.Fatal("a part does not overlap the one before")
		}
		whole += part.Value[overlap:]
	}
	if whole != long.String() || len(d.Texts) != 4 || waits == 0 || d.End() != nil {
		t.Errorf("%d of %d bytes in %d parts, %d times one waited", len(whole), long.Len(), len(d.Texts), waits)
	}
}

func TestFilesThatAreNoDescriptors(t *testing.T) {
	dir := t.TempDir()
	set := descriptors(t)
	alone, _ := proto.Marshal(&descriptorpb.FileDescriptorSet{File: set.File[1:2]})
	types, _ := proto.Marshal(&descriptorpb.FileDescriptorSet{File: set.File[:1]})
	for name, c := range map[string]struct{ text, want string }{
		"proto":   {"syntax = \"proto3\";", "no set of descriptors; make one with: protoc"},
		"empty":   {"", "no set of descriptors"},
		"alone":   {string(alone), "shop.Order.any is of the type google.protobuf.Any, which is not in the file"},
		"methods": {string(types), "declares no service"},
	} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(file); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Load(filepath.Join(dir, "none")); err == nil || !strings.Contains(err.Error(), "none cannot be read: no such file") {
		t.Error(err)
	}
}

// unmarshals reports whether the library reads a message. Of a dynamic type, it fails over the key of a map that is written as another kind (1.36.12); that
// is not reading it.
func unmarshals(wire []byte, m proto.Message) (ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	return proto.Unmarshal(wire, m) == nil
}

// FuzzDecoder holds the decoder to the library: what that reads, we read too, and its texts are ours; and the size of the pieces does not matter.
func FuzzDecoder(f *testing.F) {
	s := schema(f)
	files, _ := protodesc.NewFiles(descriptors(f))
	order, _ := files.FindDescriptorByName("shop.Order")
	f.Add([]byte(text(1, "a")+text(5, text(6, text(1, "k")+text(2, "v")))), 3)
	f.Add([]byte(text(6, text(1, "00")+number(1, 0x30))), 2)
	f.Add([]byte(group(90, number(1, 2))+text(9, text(1, "x/shop.Order")+text(2, text(1, "a")))), 1)
	f.Fuzz(func(t *testing.T, wire []byte, size int) {
		size = max(1, size&63)
		got, err := decode(NewDecoder(s, 64<<10), s.Takes("/shop.Shop/Buy"), wire, size)
		again, errAgain := decode(NewDecoder(s, 64<<10), s.Takes("/shop.Shop/Buy"), wire, len(wire)+1)
		if (err == nil) != (errAgain == nil) || err == nil && !slices.Equal(got, again) {
			t.Fatalf("in pieces of %d: %q, %v; whole: %q, %v", size, got, err, again, errAgain)
		}
		m := dynamicpb.NewMessage(order.(protoreflect.MessageDescriptor))
		if !unmarshals(wire, m) {
			return
		}
		if err != nil {
			if errors.Is(err, ErrDepth) || errors.Is(err, ErrAny) || errors.Is(err, ErrWire) || errors.Is(err, ErrLength) || strings.Contains(string(wire), "/shop.Order") {
				return // stricter than Go, as C++ and Java are; no order that an encoder writes; and what the library does not look into
			}
			t.Fatalf("the library reads it, and we do not: %v", err)
		}
		have := sorted(got)
		for _, want := range sorted(texts(m, "")) {
			if !slices.Contains(have, want) {
				t.Fatalf("the library finds %q, we found %q", want, have)
			}
		}
	})
}
