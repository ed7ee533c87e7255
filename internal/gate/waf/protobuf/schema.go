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
	methods  map[string]*Message // what they take, by "/package.Service/Method"
}

// Message is a type of messages.
type Message struct {
	name   string
	fields map[protowire.Number]*field
	texts  bool // it, or a message in it, may hold a text
	any    bool // it is google.protobuf.Any, which holds a message of a type that it names
}

// field is a field that holds a text or a message.
type field struct {
	name    string
	message *Message // nil for a text
	group   bool
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
	for _, f := range set.File {
		scope := ""
		if f.GetPackage() != "" {
			scope = f.GetPackage() + "."
		}
		extensions = append(extensions, f.Extension...)
		for _, m := range f.MessageType {
			extensions = append(extensions, s.declare(declared, scope, m)...)
		}
	}
	var errs []error
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
				s.methods["/"+name+"/"+m.GetName()] = in
			}
		}
	}
	if err := joined(errs); err != nil {
		return nil, err
	}
	if len(s.methods) == 0 {
		return nil, fmt.Errorf("%s declares no service, so there is no method whose messages it could tell", file)
	}
	s.findTexts()
	return s, nil
}

// mostMistakes bounds how many mistakes of a file are told.
const mostMistakes = 10

func joined(errs []error) error {
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs[:min(len(errs), mostMistakes)]...)
}

// declare notes a type and those within it. It returns the extensions that are declared there.
func (s *Schema) declare(declared map[string]*descriptorpb.DescriptorProto, scope string, d *descriptorpb.DescriptorProto) []*descriptorpb.FieldDescriptorProto {
	name := scope + d.GetName()
	s.messages[name] = &Message{name: name, fields: map[protowire.Number]*field{}, any: name == anyName}
	declared[name] = d
	out := d.Extension
	for _, m := range d.NestedType {
		out = append(out, s.declare(declared, name+".", m)...)
	}
	return out
}

// add gives a type a field, if it holds a text or a message.
func (s *Schema) add(to *Message, f *descriptorpb.FieldDescriptorProto) error {
	number := protowire.Number(f.GetNumber())
	switch f.GetType() {
	case descriptorpb.FieldDescriptorProto_TYPE_STRING:
		to.fields[number] = &field{name: f.GetName()}
	case descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, descriptorpb.FieldDescriptorProto_TYPE_GROUP:
		m, err := s.message(f.GetTypeName(), to.name+"."+f.GetName())
		if err != nil {
			return err
		}
		to.fields[number] = &field{name: f.GetName(), message: m, group: f.GetType() == descriptorpb.FieldDescriptorProto_TYPE_GROUP}
	}
	return nil
}

// message finds a type; by says who names it.
func (s *Schema) message(name, by string) (*Message, error) {
	if m := s.messages[strings.TrimPrefix(name, ".")]; m != nil {
		return m, nil
	}
	return nil, fmt.Errorf("%s: %s is of the type %s, which is not in the file; %s", s.file, by, strings.TrimPrefix(name, "."), howToMake)
}

// findTexts finds the types that may hold a text at any depth.
func (s *Schema) findTexts() {
	for again := true; again; {
		again = false
		for _, m := range s.messages {
			if m.texts {
				continue
			}
			for _, f := range m.fields {
				if f.message == nil || f.message.texts {
					m.texts, again = true, true
					break
				}
			}
		}
	}
}

// File is the file that was read.
func (s *Schema) File() string { return s.file }

// Methods is how many methods are declared.
func (s *Schema) Methods() int { return len(s.methods) }

// Takes is the type of the messages that the method of a path takes; nil for one that is not declared.
func (s *Schema) Takes(path string) *Message { return s.methods[path] }

// named is the type that the type_url of an Any names, nil for one that is not declared.
func (s *Schema) named(url string) *Message {
	return s.messages[url[strings.LastIndexByte(url, '/')+1:]]
}
