package drill

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"html"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// What a page of the shop costs its origin, in ordinary pages.
const (
	costAsset  = 0.25
	costPage   = 1
	costLogin  = 2
	costSearch = 10
)

// password opens every account of the shop. Bots do not know it.
const password = "correct horse battery staple"

// shop is a small web shop: pages that may be cached and pages that may not, a search that is expensive, accounts, an
// API, and what else keeps a connection busy.
func (o *Origin) shop() http.Handler {
	mux := http.NewServeMux()
	page := func(pattern string, cost float64, cache string, body func(*http.Request) string) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if !o.work(r, cost) {
				return
			}
			h := w.Header()
			h.Set("Cache-Control", cache)
			h.Set("Content-Type", contentType(r.URL.Path))
			_, _ = w.Write([]byte(body(r)))
		})
	}
	const uncached, cached = "no-store", "public, max-age=30"
	page("GET /{$}", costPage, uncached, func(*http.Request) string { return document("The shop", frontPage) })
	page("GET /category/{n}", costPage, cached, func(r *http.Request) string {
		return document("Category "+r.PathValue("n")+" page "+r.FormValue("page"), filler)
	})
	page("GET /product/{n}", costPage, cached, func(r *http.Request) string { return document("Product "+r.PathValue("n"), filler) })
	page("GET /search", costSearch, uncached, func(r *http.Request) string { return document("Results for "+r.FormValue("q"), filler) })
	page("GET /assets/{name}", costAsset, "public, max-age=3600", func(r *http.Request) string { return strings.Repeat(r.PathValue("name")+"\n", 200) })
	page("GET /api/stock/{n}", costPage, uncached, func(r *http.Request) string { return `{"product":` + strconv.Quote(r.PathValue("n")) + `,"stock":7}` })
	page("GET /feed.xml", costPage, cached, func(*http.Request) string {
		return `<?xml version="1.0"?><rss version="2.0"><channel><title>The shop</title></channel></rss>`
	})
	page("GET /healthz", 0, uncached, func(*http.Request) string { return "ok\n" })
	page("GET /packages/{name}", costPage, uncached, func(*http.Request) string { return strings.Repeat("package bytes ", 4<<10) })
	mux.HandleFunc("POST /login", o.login)
	mux.HandleFunc("GET /account", o.account)
	mux.HandleFunc("GET /ws", o.chat)
	mux.HandleFunc("GET /events", o.events)
	return mux
}

func contentType(path string) string {
	switch {
	case strings.HasSuffix(path, ".css"):
		return "text/css"
	case strings.HasSuffix(path, ".js"):
		return "text/javascript"
	case strings.HasPrefix(path, "/api/"):
		return "application/json"
	case strings.HasSuffix(path, ".xml"):
		return "application/rss+xml"
	case strings.HasPrefix(path, "/packages/"):
		return "application/octet-stream"
	}
	return "text/html; charset=utf-8"
}

// frontPage is what the front page asks a browser to load beside it.
const frontPage = `<link rel="stylesheet" href="/assets/shop.css"><script src="/assets/shop.js" defer></script><img src="/assets/hero.png" alt="">`

var filler = strings.Repeat("<p>Sturdy doors for every weather, made to order and delivered to your house.</p>\n", 24)

func document(title, body string) string {
	t := html.EscapeString(title)
	return "<!doctype html><html lang=en><title>" + t + "</title><h1>" + t + "</h1>" + body + "</html>"
}

// session is the cookie of a signed-in user. It is no secret worth keeping: the shop is a stage set.
func session(user string) string {
	sum := sha256.Sum256([]byte(password + "\x00" + user))
	return user + "-" + hex.EncodeToString(sum[:8])
}

// user is whose session a cookie claims to be.
func user(cookie string) string { return cookie[:max(0, strings.LastIndexByte(cookie, '-'))] }

func (o *Origin) login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
	if !o.work(r, costLogin) {
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	name := r.FormValue("user")
	if r.FormValue("password") != password || name == "" {
		http.Error(w, "wrong user or password", http.StatusUnauthorized)
		return
	}
	http.SetCookie(w, &http.Cookie{Name: "session", Value: session(name), Path: "/", HttpOnly: true})
	http.Redirect(w, r, "/account", http.StatusSeeOther)
}

func (o *Origin) account(w http.ResponseWriter, r *http.Request) {
	if !o.work(r, costPage) {
		return
	}
	w.Header().Set("Cache-Control", "private, no-store")
	c, err := r.Cookie("session")
	if err != nil || c.Value != session(user(c.Value)) {
		http.Error(w, "sign in first", http.StatusUnauthorized)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprint(w, document("Your account", filler))
}

// chat echoes messages over a WebSocket.
func (o *Origin) chat(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer c.CloseNow()
	for {
		kind, msg, err := c.Read(o.ctx)
		if err != nil || c.Write(o.ctx, kind, msg) != nil {
			return
		}
	}
}

// events sends a server-sent event four times a second.
func (o *Origin) events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	rc := http.NewResponseController(w)
	t := time.NewTicker(250 * time.Millisecond)
	defer t.Stop()
	for {
		if _, err := fmt.Fprint(w, "data: tick\n\n"); err != nil || rc.Flush() != nil {
			return
		}
		select {
		case <-t.C:
		case <-r.Context().Done():
			return
		case <-o.ctx.Done():
			return
		}
	}
}
