package seclang

import (
	"strings"
	"testing"
)

// TestFilesBegin looks at what files begin with, and at no more of them.
func TestFilesBegin(t *testing.T) {
	r, err := Compile(nil, Options{Directives: `SecRuleEngine On
SecRequestBodyAccess On
SecRule FILES_BEGIN "@contains needle" "id:1,phase:2,log,pass,t:none"
SecRule FILES_BEGIN:second "@contains needle" "id:2,phase:2,log,pass,t:none"
SecRule ARGS "@contains needle" "id:3,phase:2,log,pass,t:none"
`})
	if err != nil {
		t.Fatal(err)
	}
	far := strings.Repeat("hay ", 200)
	for _, c := range []struct {
		first, second string
		want          []int
	}{
		{"a needle", "hay", []int{1}},
		{"\x89PNG needle", "needle", []int{1, 2}},
		{far + "needle", "", nil},
	} {
		part := func(name, content string) string {
			return "--b\r\nContent-Disposition: form-data; name=\"" + name + "\"; filename=\"x\"\r\n\r\n" + content + "\r\n"
		}
		tx := r.New(Start{})
		tx.RequestLine("POST", "/", "HTTP/1.1")
		tx.RequestHeader("Content-Type", "multipart/form-data; boundary=b")
		tx.RequestHeadersEnd()
		tx.RequestBody([]byte(part("first", c.first) + part("second", c.second) + "--b--\r\n"))
		tx.RequestEnd()
		var found []int
		for _, m := range tx.Matches() {
			found = append(found, m.Rule.ID)
		}
		if len(found) != len(c.want) || len(found) > 0 && found[len(found)-1] != c.want[len(c.want)-1] {
			t.Errorf("%.10q, %.10q: rules %v, want %v", c.first, c.second, found, c.want)
		}
		tx.Close()
	}
}
