// Package protobuf answers "which texts does a message of Protocol Buffers hold?", by the types that a set of descriptors declares.
//
// The encoding does not say what is a text: a field that holds one, one that holds bytes and one that holds another message are written alike. So
// only what is declared as a text is one, and everything else is checked for being well-formed and stepped over.
package protobuf

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
)

// maxFile is the largest set of descriptors that is read, in bytes.
const maxFile = 32 << 20

// Schema is a set of types and of methods. It is immutable and safe for concurrent use.
type Schema struct {
	file     string
	messages map[string]*Message // by full name
	methods  map[string]*Message // what they take, by "package.service/method" in lower case
}

// Message is a type of messages.
type Message struct {
	name   string
	fields map[protowire.Number]*field
	any    bool // it is google.protobuf.Any, which holds a message of a type that it names
	anys   bool // it, or a message in it, is one
}

// field is a field of a message.
type field struct {
	name    string
	text    bool
	message *Message // nil for none
	once    bool     // it may hold an Any, and servers merge what comes twice
	wire    protowire.Type
	packs   bool // it is a list of numbers, which may be written in one
}

// The fields of google.protobuf.Any.
const (
	anyName  = "google.protobuf.Any"
	anyType  = protowire.Number(1)
	anyValue = protowire.Number(2)
)

// Load reads a set of descriptors (google.protobuf.FileDescriptorSet), as protoc and buf write it. The error names the file and joins what
// is wrong with it.
func Load(file string) (*Schema, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read: %w", file, errors.Unwrap(err))
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s cannot be read: %w", file, err)
	case len(text) > maxFile:
		return nil, fmt.Errorf("%s has more than %d MiB; a set of descriptors of one site's interface is smaller", file, maxFile>>20)
	}
	return parse(file, text)
}

const howToMake = "make one with: protoc --include_imports --descriptor_set_out=api.binpb api.proto"

func parse(file string, text []byte) (*Schema, error) {
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(text, &set); err != nil || len(set.File) == 0 {
		return nil, fmt.Errorf("%s holds no set of descriptors; %s", file, howToMake)
	}
	s := &Schema{file: file, messages: map[string]*Message{}, methods: map[string]*Message{}}
	declared := map[string]*descriptorpb.DescriptorProto{}
	var extensions []*descriptorpb.FieldDescriptorProto
	var errs []error
	for _, f := range set.File {
		scope := ""
		if f.GetPackage() != "" {
			scope = f.GetPackage() + "."
		}
		extensions = append(extensions, f.Extension...)
		for _, m := range f.MessageType {
			extensions = append(extensions, s.declare(declared, scope, m, &errs)...)
		}
	}
	for name, d := range declared {
		for _, f := range d.Field {
			errs = append(errs, s.add(s.messages[name], f))
		}
	}
	for _, x := range extensions {
		if of := s.messages[strings.TrimPrefix(x.GetExtendee(), ".")]; of != nil {
			errs = append(errs, s.add(of, x))
		}
	}
	for _, f := range set.File {
		for _, service := range f.Service {
			for _, m := range service.Method {
				in, err := s.message(m.GetInputType(), service.GetName()+"."+m.GetName())
				errs = append(errs, err)
				name := service.GetName()
				if f.GetPackage() != "" {
					name = f.GetPackage() + "." + name
				}
				s.methods[strings.ToLower(name+"/"+m.GetName())] = in
			}
		}
	}
	if err := joined(errs); err != nil {
		return nil, err
	}
	if len(s.methods) == 0 {
		return nil, fmt.Errorf("%s declares no service, so there is no method whose messages it could tell", file)
	}
	s.findAnys()
	return s, nil
}

// mostMistakes bounds how many mistakes of a file are told.
const mostMistakes = 10

func joined(errs []error) error {
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs[:min(len(errs), mostMistakes)]...)
}

// declare notes a type and those within it, and what is wrong with them. It returns the extensions that are declared there.
func (s *Schema) declare(declared map[string]*descriptorpb.DescriptorProto, scope string, d *descriptorpb.DescriptorProto, wrong *[]error) []*descriptorpb.FieldDescriptorProto {
	name := scope + d.GetName()
	if d.GetOptions().GetMessageSetWireFormat() {
		*wrong = append(*wrong, fmt.Errorf("%s: %s is a message set, which is not understood here", s.file, name))
	}
	s.messages[name] = &Message{name: name, fields: map[protowire.Number]*field{}, any: name == anyName}
	declared[name] = d
	out := d.Extension
	for _, m := range d.NestedType {
		out = append(out, s.declare(declared, name+".", m, wrong)...)
	}
	return out
}

// add gives a type a field.
func (s *Schema) add(to *Message, f *descriptorpb.FieldDescriptorProto) error {
	repeated := f.GetLabel() == descriptorpb.FieldDescriptorProto_LABEL_REPEATED
	out := &field{name: f.GetName(), wire: protowire.VarintType, packs: repeated}
	switch f.GetType() {
	case descriptorpb.FieldDescriptorProto_TYPE_STRING:
		out.text, out.wire, out.packs = true, protowire.BytesType, false
	case descriptorpb.FieldDescriptorProto_TYPE_BYTES:
		out.wire, out.packs = protowire.BytesType, false
	case descriptorpb.FieldDescriptorProto_TYPE_FIXED32, descriptorpb.FieldDescriptorProto_TYPE_SFIXED32, descriptorpb.FieldDescriptorProto_TYPE_FLOAT:
		out.wire = protowire.Fixed32Type
	case descriptorpb.FieldDescriptorProto_TYPE_FIXED64, descriptorpb.FieldDescriptorProto_TYPE_SFIXED64, descriptorpb.FieldDescriptorProto_TYPE_DOUBLE:
		out.wire = protowire.Fixed64Type
	case descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, descriptorpb.FieldDescriptorProto_TYPE_GROUP:
		m, err := s.message(f.GetTypeName(), to.name+"."+f.GetName())
		if err != nil {
			return err
		}
		out.message, out.once, out.packs = m, !repeated, false
	}
	to.fields[protowire.Number(f.GetNumber())] = out
	return nil
}

// message finds a type; by says who names it.
func (s *Schema) message(name, by string) (*Message, error) {
	if m := s.messages[strings.TrimPrefix(name, ".")]; m != nil {
		return m, nil
	}
	return nil, fmt.Errorf("%s: %s is of the type %s, which is not in the file; %s", s.file, by, strings.TrimPrefix(name, "."), howToMake)
}

// findAnys finds the types that may hold an Any at any depth.
func (s *Schema) findAnys() {
	for again := true; again; {
		again = false
		for _, m := range s.messages {
			for _, f := range m.fields {
				if !m.anys && (m.any || f.message != nil && f.message.anys) {
					m.anys, again = true, true
				}
			}
		}
	}
	for _, m := range s.messages {
		for _, f := range m.fields {
			f.once = f.once && f.message.anys
		}
	}
}

// File is the file that was read.
func (s *Schema) File() string { return s.file }

// Takes is the type of the messages that the method of a path takes; nil for one that is not declared. Some servers compare paths without case, and
// some are told of methods below a path of their own, so the last two segments of a clean path count.
func (s *Schema) Takes(path string) *Message {
	path = strings.ToLower(strings.Trim(path, "/"))
	if i := strings.LastIndexByte(path, '/'); i > 0 {
		path = path[strings.LastIndexByte(path[:i], '/')+1:]
	}
	return s.methods[path]
}

// named is the type that the type_url of an Any names, nil for one that is not declared.
func (s *Schema) named(url string) *Message {
	return s.messages[url[strings.LastIndexByte(url, '/')+1:]]
}
