package openapi

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// head is what each document begins with.
const head = "openapi: 3.1.0\ninfo: {title: T, version: '1'}\n"

// oneParameter is a document with one parameter, whose schema is given.
func oneParameter(schema string) string {
	return head + "paths: {/a: {get: {operationId: a, parameters: [{name: x, in: query, schema: " + schema + "}]}}}\n"
}

const parameterAt = ":3: #/paths/~1a/get/parameters/0"

// Each mistake is told with file, line and place, and what to do.
func TestMistakesInDocuments(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", ": the file is empty; it should hold an OpenAPI document"},
		{"- a\n", ":1: #: an OpenAPI document is a mapping, this is a list"},
		{"swagger: '2.0'\n", ":1: #: this is a document of Swagger 2; convert it to OpenAPI 3"},
		{"info: {}\n", `:1: #: the document does not say which version of OpenAPI it is; write openapi: "3.1.0"`},
		{"openapi: 4.0.0\n", `:1: #/openapi: version "4.0.0" of OpenAPI is not known here; 3.0 and 3.1 are`},
		{head, ":1: #: the document describes no path; without paths there is nothing to check"},
		{head + "paths: {a: {}}\n", `:3: #/paths/a: the path "a" does not begin with a slash`},
		{head + "paths: {/a/{x: {}}\n", `:3: this is neither YAML nor JSON: could not find flow map content`},
		{head + "paths: {'/{a}{b}': {}}\n", `:3: #/paths/~1{a}{b}: the segment "{a}{b}" of the path "/{a}{b}" is not understood; one parameter in brackets, with text before or behind it, is`},
		{head + "paths: {'/{a}': {}, '/{b}': {}}\n", `:3: #/paths/~1{b}: another path of the document is the same as "/{b}" but for the names of parameters`},
		{head + "paths: {/a: {fetch: {}}}\n", `:3: #/paths/~1a/fetch: "fetch" is no method and no field of a path; correct the name`},
		{head + "paths: {/a: {get: {parameters: [{in: query}]}}}\n", parameterAt + ": a parameter without a name"},
		{head + "paths: {/a: {get: {parameters: [{name: x, in: body}]}}}\n", parameterAt + `: the parameter "x" is in "body"; query, path, header and cookie are known`},
		{head + "paths: {/a: {get: {operationId: a, parameters: [{name: x, in: path, required: true}]}}}\n", `:3: #/paths/~1a: a describes a parameter "x" in the path, and the path has none`},
		{oneParameter("{type: text}"), parameterAt + `/schema/type: "text" is no type; string, integer, number, boolean, array and object are`},
		{oneParameter("{minLength: -1}"), parameterAt + "/schema/minLength: minLength is a whole number from 0 on"},
		{oneParameter("{enum: []}"), parameterAt + "/schema/enum: enum is a list of at least one value"},
		{oneParameter("{$ref: 'https://a.example/s.yaml'}"), parameterAt + `/schema/$ref: $ref "https://a.example/s.yaml": nothing is fetched; put a copy into the folder of the document`},
		{oneParameter("{$ref: '../s.yaml'}"), parameterAt + `/schema/$ref: $ref "../s.yaml": it leads out of the folder of the document; put the file there`},
		{oneParameter("{$ref: '#/components/schemas/S'}"), parameterAt + `/schema/$ref: $ref "#/components/schemas/S": there is nothing at that place`},
		{oneParameter("{$ref: '#/paths/~1a/get/parameters/0/schema'}"), parameterAt + "/schema: the schema refers to itself with no property or item in between; give it one"},
		{head + "paths: {/a: {post: {operationId: a, requestBody: {}}}}\n", `:3: #/paths/~1a/post/requestBody: the body of a has no content; name its media types`},
		{head + "servers: [{url: 'https://{host}/a'}]\npaths: {/a: {}}\n", `:3: #/servers/0: the server "https://{host}/a" is no URL; give each variable a default`},
		{"a: &a [1]\nb: {<<: *a}\n", `:2: "<<" (merge) is not understood here; write the fields out, or use $ref`},
		{head + "paths: " + strings.Repeat("[", maxDepth+1), ":3: more than 200 levels inside each other"},
	} {
		file := filepath.Join(t.TempDir(), "api.yaml")
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(file); err == nil || strings.ReplaceAll(err.Error(), file, "") != c.want {
			t.Errorf("%s\n got %v\nwant %s", c.text, err, c.want)
		}
	}
}

// What is not checked is told, and the rest is.
func TestWhatIsNotCheckedIsTold(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{oneParameter("{type: string, pattern: '^(?=a)'}"), parameterAt + `/schema/pattern: the pattern "^(?=a)" is not checked: RE2, which takes time in proportion to the text, does not know it; write it without lookaround, back references and \u`},
		{oneParameter("{type: array, contains: {type: string}}"), parameterAt + "/schema/contains: the keyword contains is not checked"},
		{head + "paths: {/a: {get: {operationId: a, parameters: [{name: x, in: query, content: {text/csv: {}}}]}}}\n", parameterAt + `/content: the parameter "x" is not checked: of parameters with a media type, JSON is`},
		{head + "paths: {'/{x}': {get: {operationId: a, parameters: [{name: x, in: path, required: true, style: matrix, schema: {type: string}}]}}}\n", `:3: #/paths/~1{x}/get/parameters/0: the parameter "x" is not checked: it is written as matrix, which is not read`},
		{head + "paths: {'/{x}': {get: {operationId: a}}}\n", `:3: #/paths/~1{x}: the parameter {x} of a is not described; any text passes`},
		{head + "paths: {/a: {post: {operationId: a, requestBody: {content: {text/xml: {schema: {type: string}}}}}}}\n", `:3: #/paths/~1a/post/requestBody/content/text~1xml: bodies of the type text/xml are not looked into: JSON and forms are`},
	} {
		file := filepath.Join(t.TempDir(), "api.yaml")
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		d, err := Load(file)
		if err != nil {
			t.Errorf("%s\n%v", c.text, err)
			continue
		}
		if got := strings.ReplaceAll(strings.Join(d.Notes(), "\n"), file, ""); got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.text, got, c.want)
		}
	}
}

// A document may lie in several files of one folder, as JSON too, and a link that leads out of the folder is not followed.
func TestFilesOfADocument(t *testing.T) {
	dir := t.TempDir()
	outside := filepath.Join(t.TempDir(), "secret.yaml")
	for file, text := range map[string]string{
		filepath.Join(dir, "api.json"): `{"openapi": "3.0.3", "info": {"title": "T", "version": "1"}, "paths": {"/a": {"$ref": "parts/a.yaml#/item"}}}`,
		filepath.Join(dir, "parts.md"): "", outside: "type: integer\n",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "parts"), 0o700); err != nil {
		t.Fatal(err)
	}
	part := "item:\n  get:\n    operationId: a\n    parameters:\n      - {name: n, in: query, schema: {$ref: 'number.yaml'}}\n"
	if err := os.WriteFile(filepath.Join(dir, "parts", "a.yaml"), []byte(part), 0o600); err != nil {
		t.Fatal(err)
	}
	number := filepath.Join(dir, "parts", "number.yaml")
	if err := os.WriteFile(number, []byte("type: integer\nminimum: 0\nexclusiveMinimum: true\nnullable: true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := Load(filepath.Join(dir, "api.json"))
	if err != nil || len(d.Files()) != 3 {
		t.Fatalf("%v, %v", d, err)
	}
	f, body := ask("GET /a?n=0")
	if got := say(d.Judge(f, body, Options{})); got != "a parameter query.n: an integer or null, above 0 <0>" {
		t.Error(got)
	}
	if err := os.Remove(number); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, number); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(filepath.Join(dir, "api.json")); err == nil || !strings.Contains(err.Error(), "number.yaml cannot be read") {
		t.Errorf("a link out of the folder was followed: %v", err)
	}
}
