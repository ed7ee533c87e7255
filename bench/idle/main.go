// Command idle holds connections open: how much memory does a kept connection cost a server that has nothing to do for
// it? It opens them from several loopback addresses, makes one request on each, says so and holds them until its
// standard input ends.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// patience bounds each dial and each request.
const patience = 10 * time.Second

func main() {
	addr := flag.String("addr", "", "the server, host:port")
	n := flag.Int("n", 10_000, "how many connections")
	sources := flag.Int("sources", 16, "from how many addresses of 127.0.1.0/24, at most 254")
	flag.Parse()
	if err := run(*addr, *n, *sources); err != nil {
		fmt.Fprintln(os.Stderr, "idle:", err)
		os.Exit(1)
	}
}

func run(addr string, n, sources int) error {
	if addr == "" || n < 1 || sources < 1 || sources > 254 {
		return errors.New("needs -addr, -n of at least 1 and -sources of 1 to 254")
	}
	held := make([]net.Conn, n)
	defer func() {
		for _, c := range held {
			if c != nil {
				c.Close()
			}
		}
	}()
	if err := open(addr, held, sources); err != nil {
		return err
	}
	fmt.Println("open", n)
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// open fills held with connections that have had one answer each, a few at a time.
func open(addr string, held []net.Conn, sources int) error {
	const workers = 16
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < len(held) && ctx.Err() == nil; i += workers {
				c, err := visit(ctx, addr, byte(1+i%sources))
				if err != nil {
					cancel(fmt.Errorf("connection %d: %w", i, err))
					return
				}
				held[i] = c
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// visit opens a connection from 127.0.1.source and makes one request on it. The caller closes it.
func visit(ctx context.Context, addr string, source byte) (net.Conn, error) {
	d := net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, source)}}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if err := ask(c, addr); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// ask makes one request, reads the whole answer, and requires that the connection may be kept.
func ask(c net.Conn, addr string) error {
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(c, "GET /1k HTTP/1.1\r\nHost: %s\r\n\r\n", addr); err != nil {
		return err
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK || res.Close {
		return fmt.Errorf("answered %s, kept: %v", res.Status, !res.Close)
	}
	return c.SetDeadline(time.Time{})
}
