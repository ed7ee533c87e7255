package stormdoor

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A request that comes in one piece with the PROXY header, as proxies send it, is answered at once: the door has read it with
// the header, and no event loop will say that it came.
func TestARequestInOnePieceWithItsPROXYHeader(t *testing.T) {
	origin := upstream(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Header.Get("X-Forwarded-For")) })
	r := start(t, fmt.Sprintf("sites: [{hosts: ['*'], origins: [%q]}]\ntrust: {proxy_protocol: [127.0.0.1]}\n", origin))
	for name, header := range map[string]string{
		"v1": "PROXY TCP4 198.51.100.9 192.0.2.1 4000 80\r\n",
		"v2": "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc6\x33\x64\x09\xc0\x00\x02\x01\x0f\xa0\x00\x50",
	} {
		c, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(30 * time.Second))
		if _, err := io.WriteString(c, header+"GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if body, _ := io.ReadAll(res.Body); string(body) != "198.51.100.9" {
			t.Errorf("%s: %q", name, body)
		}
	}
}
