package policy

import (
	"reflect"
	"testing"
)

// TestColonsInBrackets: text without quotes in a list inside of braces means what it means in quotes.
func TestColonsInBrackets(t *testing.T) {
	read := func(text string) *Policy {
		p, err := Parse("stormdoor.yaml", []byte(text))
		if err != nil {
			t.Fatalf("%s\n%v", text, err)
		}
		p.written = nil
		return p
	}
	plain := read(`
listen: {http: [:80, 127.0.0.1:8080], https: []}
trust: {proxies: [2001:db8::/32, ::1, 10.0.0.0/8]}
sites: [
  {hosts: [shop.example], origins: [http://10.0.0.5:8080, https://10.0.0.6:8443,
    unix:/run/app.sock]}, # a comment
  {origins: [{url: http://10.0.0.7:80, weight: 2}], hosts: [blog.example]},
]
`)
	quoted := read(`
listen: {http: [':80', '127.0.0.1:8080'], https: []}
trust: {proxies: ['2001:db8::/32', '::1', '10.0.0.0/8']}
sites:
  - hosts: [shop.example]
    origins: ['http://10.0.0.5:8080', 'https://10.0.0.6:8443', 'unix:/run/app.sock']
  - hosts: [blog.example]
    origins: [{url: 'http://10.0.0.7:80', weight: 2}]
`)
	if !reflect.DeepEqual(plain, quoted) {
		t.Errorf("without quotes:\n%+v\nwith quotes:\n%+v", plain, quoted)
	}
}

// TestFieldsInBrackets: what is a field in a list stays one.
func TestFieldsInBrackets(t *testing.T) {
	p, err := Parse("stormdoor.yaml", []byte("sites: [{hosts: [shop.example], origins: [url: http://10.0.0.7:80]}]"))
	if err != nil {
		t.Fatal(err)
	}
	if o := p.Sites[0].Origins; len(o) != 1 || o[0].URL != "http://10.0.0.7:80" {
		t.Errorf("%+v", o)
	}
}
