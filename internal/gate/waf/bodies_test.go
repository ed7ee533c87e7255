package waf

import (
	"fmt"
	"strings"
	"testing"

	"stormdoor/flow"
)

// part is a part of a form whose boundary is x.
func part(disposition, content string) string {
	return "--x\r\nContent-Disposition: form-data; " + disposition + "\r\n\r\n" + content + "\r\n"
}

// What a program behind the door could read and the rules have not is refused; what ordinary programs send is not.
func TestNoPartOfABodyIsOutOfSight(t *testing.T) {
	const form, multipart = "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"
	const query = "1' UNION SELECT password FROM users--"
	var pairs, points strings.Builder
	for i := range 6800 {
		fmt.Fprintf(&pairs, "a%d=1&", i)
		fmt.Fprintf(&points, "[12.%05d,45.%05d],", i, i)
	}
	many := pairs.String()
	file := part(`name="f"; filename="a.png"`, "\x89PNG\r\n\x1a\n")
	for _, c := range []struct {
		name, mediaType, body string
		refused               bool
	}{
		{"behind a thousand fields", form, many + injection, true},
		{"behind more fields than are read", form, strings.Repeat("a&", mostFields) + injection, true},
		{"many points of a map", "application/json", `{"coordinates":[` + points.String() + `[1,2]]}`, false},
		{"many fields", form, many, false},
		{"a form", multipart, file + part(`name="id"`, "7") + "--x--\r\n", false},
		{"behind the end of a form", multipart, file + "--x--\r\n" + part(`name="id"`, query) + "--x--\r\n", true},
		{"before a form, in lines of another kind", multipart, "--x\rContent-Disposition: form-data; name=id\r\r" + query + "\r\n--x--\r\n", true},
		{"within a file, behind a line feed", multipart, part(`name="f"; filename="a"`, "\n"+strings.ReplaceAll(part(`name="id"`, query), "\r\n", "\n")) + "--x--\r\n", true},
		{"within a file, behind a carriage return", multipart, part(`name="f"; filename="a"`, "\r"+strings.ReplaceAll(part(`name="id"`, query), "\r\n", "\r")) + "--x--\r\n", true},
		{"a picture in XML", "image/svg+xml", `<?xml version="1.0" encoding="UTF-8"?><svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><style>.a{fill:#fff}</style><path class="a" d="M12 2L2 7l10 5 10-5-10-5z" style="stroke:#000;stroke-width:2"/><text x="1" y="2">Open the door</text></svg>`, false},
		{"a picture in XML that holds one", "image/svg+xml", `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"><path style="fill:url(#g1);stroke:#000;font-family:'Open Sans', sans-serif" d="M 10,20 Z"/><image xlink:href="data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="/></svg>`, false},
		{"a picture in JSON, as an address", "application/json", `{"avatar":"data:image/jpeg;base64,/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAgGBgcGBQgHBwcJCQgKDBQNDAsLDBkSEw8U"}`, false},
		{"a form whose boundary is said twice", `multipart/form-data; type="boundary=evil"; boundary=x`, part(`name="f"; filename="a"`, "text") + "--x--\r\n", true},
		{"a form whose boundary ends in a blank for PHP", "multipart/form-data; boundary=x ; charset=utf-8", part(`name="f"; filename="a"`, "text") + "--x--\r\n", true},
		{"a form whose boundary is quoted", `multipart/form-data; charset=utf-8; boundary="x"`, part(`name="f"; filename="a"`, "text") + "--x--\r\n", false},
		{"in a field that begins with a boundary", multipart, "--x\r\nContent-Disposition: form-data; name=\"id\"\r\n\r\n" + part(`name="f"; filename="f.txt"`, query) + "--x--\r\n", true},
		{"in what is a field for PHP, without a plain name", multipart, part(`name="id"; filename*=UTF-8''x.txt`, query) + "--x--\r\n", true},
		{"a file without a plain name", multipart, part(`name="f"; filename*=UTF-8''x.txt`, "text") + "--x--\r\n", false},
		{"in what is a field for PHP, for apostrophes in names", multipart, part(`a'="x"; filename="x"; b'="y"; name="id"`, query) + "--x--\r\n", true},
		{"a document in UTF-7", "text/xml", `<?xml version="1.0" encoding = "UTF-7"?><a>1+ACc- UNI+AE8-N SE+AEw-ECT</a>`, true},
		{"a document that says its encoding", "text/xml", "<?xml version='1.0' encoding = 'UTF-8' standalone='yes'?><a>x</a>", false},
		{"a document in Latin-1", "text/xml; charset=ISO-8859-1", "<?xml version='1.0' encoding='ISO-8859-1'?><a>K\xf6ln</a>", false},
		{"a document in Latin-1 by its type", "text/xml; charset=ISO-8859-1", "<?xml version='1.0'?><a>K\xf6ln</a>", false},
		{"in a document in Latin-1", "text/xml", "<?xml version='1.0' encoding='ISO-8859-1'?><a>K\xf6ln</a><b>" + query + "</b>", true},
		{"a call of XML-RPC", "text/xml", `<?xml version="1.0"?><methodCall><methodName>open</methodName><params><param><value><int>1</int></value></param></params></methodCall>`, false},
		{"news", "application/rss+xml", `<rss version="2.0"><channel><title>Doors</title><link>https://shop.example/</link><item><link>https://shop.example/1</link></item></channel></rss>`, false},
		{"a document in JSON, as an address", "application/json", `{"file":"data:application/pdf;base64,JVBERi0xLjQKhq0F3Jh/gGIwoTygd5bado9kB0jRo/aqukAES5h1"}`, false},
		{"a table in JSON, as an address with a name", "application/json", `{"file":"data:application/vnd.openxmlformats-officedocument.spreadsheetml.sheet;name=doors.xlsx;base64,UEsDBBQAAAAIhq0F3Jh/gGIwoTygd5bado9kB0jRo/aqukAES5h1"}`, false},
		{"a sound in JSON, as an address", "application/json", `{"file":"data:audio/webm;codecs=opus;base64,GkXfo59ChoEBQveBAULygQRC84EIQoKEd2VibUKHgQRChYECGFOAZwH/////////FUmpZpkq17GDD0JATYCGQ2hyb21l"}`, false},
		{"a script that begins as a picture does", "application/json", `{"src":"data:application/x-javascript;base64,R0lGODlhPTE7YWxlcnQoZG9jdW1lbnQuY29va2llKTs="}`, true},
		{"one of a type that says nothing", "application/json", `{"src":"data:application/octet-stream;base64,R0lGODlhPTE7YWxlcnQoZG9jdW1lbnQuY29va2llKTs="}`, true},
		{"one that begins as a sound does", "application/json", `{"src":"data:application/zip;base64,SUQzPTE7YWxlcnQoZG9jdW1lbnQuY29va2llKTs="}`, true},
		{"a program for browsers that begins as an archive does", "application/json", `{"src":"data:application/vnd.mozilla.xul+xml;base64,UEsDBBQAAAAIhq0F3Jh/gGIwoTygd5bado9kB0jRo/aqukAES5h1"}`, true},
		{"a page of XHTML that begins on two lines", "application/xhtml+xml", "<!DOCTYPE\nhtml PUBLIC \"-//W3C//DTD XHTML 1.0 Strict//EN\" \"http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd\"><html><body><p>A door</p></body></html>", false},
		{"a page said to be a document", "application/json", `{"file":"data:application/pdf;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg=="}`, true},
		{"a picture with a page in it", "image/svg+xml", `<svg><a href="data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==">x</a></svg>`, true},
		{"a picture with a script in it", "image/svg+xml", `<svg><a href="javascript:alert(1)">x</a></svg>`, true},
		{"a page said to be a picture", "image/svg+xml", `<svg><a href="data:image/png;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==">x</a></svg>`, true},
		{"a command behind a picture", "application/json", `{"avatar":"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAf\nwhoami"}`, true},
		{"in XML, behind comments", "text/xml", "<a>1' UNI<!-- -->ON SEL<!-- -->ECT password FR<?x?>OM users--</a>", true},
		{"a text of XML with comments", "text/xml", "<a>Open<!-- please --> the door, and <![CDATA[close it]]> again</a>", false},
		{"in what is a field for PHP, for a blank", multipart, part(`name="id"; filename ="x"`, query) + "--x--\r\n", true},
		{"in what is a field for PHP, for apostrophes", multipart, part(`name="id"; a='; filename="x"; b='`, query) + "--x--\r\n", true},
		{"in what is a field for PHP, for a backslash", multipart, part(`name="id\\"; filename="x"`, query) + "--x--\r\n", true},
		{"a file with an odd name", multipart, part(`name="f"; filename="my notes (1).txt"`, "text") + "--x--\r\n", false},
		{"a file with apostrophes in its name", multipart, part(`name="f"; filename="Bob's l'été.png"`, "text") + "--x--\r\n", false},
		{"SQL in the name of a file", multipart, part(`name="f"; filename="x' or 'a' like 'a.png"`, "text") + "--x--\r\n", true},
		{"a file with an extended name", multipart, part(`name="f"; filename="a.txt"; filename*=UTF-8''%c3%a4.txt`, "text") + "--x--\r\n", false},
		{"a declaration behind a bracket in quotes", "application/xml", `<!DOCTYPE a PUBLIC "-//x" "a>" [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>`, true},
		{"a declaration behind one in a comment", "application/xml", `<!-- <!DOCTYPE a PUBLIC "-//x"> --><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>`, true},
		{"a declaration behind an apostrophe", "application/xml", `<!DOCTYPE a [<?x '?><!ENTITY e SYSTEM "file:///etc/passwd">]><a>&e;</a>`, true},
		{"a declaration between apostrophes", "application/xml", `<!DOCTYPE a PUBLIC "-//x" "x" [<?x '?>]><!ENTITY e SYSTEM "file:///etc/passwd"><?y '?>]><a>&e;</a>`, true},
		{"in XML, behind declarations", "text/xml", "<a>1' UNI<!x>ON SEL<!y>ECT password FR<!z>OM users--</a>", true},
		{"a document that is cut off", "application/xml", `<a><b>x</b><c d="e`, true},
		{"in a file, behind a boundary within a line", multipart, part(`name="f"; filename="a"`, "x"+part(`name="id"`, query)) + "--x--\r\n", true},
		{"a file with hyphens in it", multipart, part(`name="f"; filename="a"`, "\r\n--\r\n---\r\n -- x") + "--x--\r\n", false},
		{"a page of XHTML", "application/xhtml+xml", `<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd"><html><body><p>A door</p></body></html>`, false},
		{"a picture that reads a file", "image/svg+xml", `<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg>&x;</svg>`, true},
		{"a document of GraphQL", "application/graphql", `query Q($a: Int = 3) { user(id: "a & b = c; d") { name } } # of a user`, false},
		{"a document of GraphQL with SQL in it", "application/graphql", `{ user(id: "1\u0027 UNION SELECT password FROM users--") { name } }`, true},
		{"a document of GraphQL with a comment", "application/graphql", "{ user { name } } # ${jndi:ldap://x/y}", true},
		{"what is said to be GraphQL", "application/graphql", "{ user(id: 1' UNION SELECT password FROM users--", true},
		{"JSON of a type that is streamed", "application/vnd.docker.x+json", `{"id":"` + query + `"}`, true},
		{"a picture in JSON", "image/x+json", `{"id":"` + query + `"}`, true},
	} {
		f := facts("POST", "/", "", "Content-Type", c.mediaType)
		f.Length = int64(len(c.body))
		if !one().WantsBody(f) {
			t.Errorf("%s: not looked at", c.name)
			continue
		}
		v, held := one().Inspect(f, strings.NewReader(c.body))
		held.Release()
		if (v.Action == flow.Refuse) != c.refused {
			t.Errorf("%s: %+v, %+v", c.name, v, v.Found)
		}
	}
	if v := decide(t, one(), facts("GET", "/", strings.Repeat("a&", 2000)+injection)); v.Action != flow.Refuse {
		t.Errorf("a query of many fields: %+v", v)
	}
}

// A WebSocket over HTTP/2 is asked for by CONNECT, which nobody else may send.
func TestAWebSocketOverHTTP2IsNoForbiddenMethod(t *testing.T) {
	f := facts("CONNECT", "/chat", "", "Sec-WebSocket-Version", "13")
	f.Proto, f.Length = flow.HTTP2, -1
	if v := decide(t, one(), f); v.Action != 0 || v.Found != nil {
		t.Errorf("over HTTP/2: %+v, %+v", v, v.Found)
	}
	f.Proto = flow.HTTP11
	if v := decide(t, one(), f); v.Action != flow.Refuse {
		t.Errorf("over HTTP/1.1: %+v, %+v", v, v.Found)
	}
}
