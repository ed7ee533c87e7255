package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of one client.
const (
	soon     = time.Second     // an answer that comes later is no answer to a person
	patience = 3 * time.Second // then a client gives up and closes its connection
)

// tally is what became of the requests of one kind of client.
type tally struct {
	asked, served, late, unanswered, banned, refused atomic.Int64

	mu   sync.Mutex
	took []time.Duration // of answers with 200
}

// counts are what a tally has come to.
type counts struct {
	Asked, Served, Late, Unanswered, Banned, Refused int64
	P50, P99                                         time.Duration
}

// report tells what was counted since the last call.
func (t *tally) report() counts {
	t.mu.Lock()
	took := t.took
	t.took = nil
	t.mu.Unlock()
	slices.Sort(took)
	c := counts{t.asked.Swap(0), t.served.Swap(0), t.late.Swap(0), t.unanswered.Swap(0), t.banned.Swap(0), t.refused.Swap(0), 0, 0}
	if n := len(took); n > 0 {
		c.P50, c.P99 = took[n/2], took[n*99/100]
	}
	return c
}

func (t *tally) note(status int, took time.Duration) {
	t.asked.Add(1)
	switch {
	case status == 0:
		t.unanswered.Add(1)
	case status == 403 || status == 429:
		t.banned.Add(1)
	case status != 200:
		t.refused.Add(1)
	default:
		t.mu.Lock()
		t.took = append(t.took, took)
		t.mu.Unlock()
		if took > soon {
			t.late.Add(1)
		} else {
			t.served.Add(1)
		}
	}
}

// crowd is all who ask one peer, on loopback.
type crowd struct {
	ctx     context.Context
	cancel  context.CancelFunc
	address string
	all     sync.WaitGroup
}

func newCrowd(ctx context.Context, address string) *crowd {
	c := &crowd{address: address}
	c.ctx, c.cancel = context.WithCancel(ctx)
	return c
}

func (c *crowd) wait(d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-c.ctx.Done():
		return c.ctx.Err()
	}
}

func (c *crowd) end() {
	c.cancel()
	c.all.Wait()
}

// client is one address that asks at a rate, over one connection that is kept.
type client struct {
	source net.IP
	every  time.Duration
	// request is written for each request; only a number in its path changes.
	path, fields string
	query        func() string // instead of a number; nil for that
	once         int           // it comes for so many requests, and then leaves; 0: stays
	tally        *tally
}

// join lets a client ask until the crowd ends.
func (c *crowd) join(cl client) {
	c.all.Go(func() {
		k := connection{client: cl, crowd: c}
		defer k.close()
		t := time.NewTimer(time.Duration(rand.Float64() * float64(cl.every)))
		defer t.Stop()
		for n := 0; cl.once == 0 || n < cl.once; n++ {
			select {
			case <-t.C:
			case <-c.ctx.Done():
				return
			}
			next := time.Now().Add(time.Duration((0.5 + rand.Float64()) * float64(cl.every)))
			status, took := k.ask()
			if c.ctx.Err() != nil {
				return
			}
			cl.tally.note(status, took)
			t.Reset(time.Until(next))
		}
	})
}

// connection is a client's connection to the peer.
type connection struct {
	client
	crowd *crowd
	conn  net.Conn
	read  *bufio.Reader
}

func (k *connection) close() {
	if k.conn != nil {
		_ = k.conn.Close()
		k.conn = nil
	}
}

// ask sends one request and reads its answer; status 0 stands for none.
func (k *connection) ask() (status int, took time.Duration) {
	began := time.Now()
	ctx, cancel := context.WithDeadline(k.crowd.ctx, began.Add(patience))
	defer cancel()
	if k.conn == nil {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: k.source}}
		conn, err := d.DialContext(ctx, "tcp", k.crowd.address)
		if err != nil {
			return 0, 0
		}
		k.conn, k.read = conn, bufio.NewReaderSize(conn, 1<<10)
	}
	conn := k.conn
	_ = conn.SetDeadline(began.Add(patience))
	stop := context.AfterFunc(k.crowd.ctx, func() { _ = conn.SetDeadline(began) })
	defer stop()
	query := "?n=" + strconv.FormatUint(rand.Uint64(), 16)
	if k.query != nil {
		query = k.query()
	}
	if _, err := fmt.Fprintf(k.conn, "GET %s%s HTTP/1.1\r\nHost: storm.example\r\n%s\r\n", k.path, query, k.fields); err != nil {
		k.close()
		return 0, 0
	}
	resp, err := http.ReadResponse(k.read, nil)
	if err == nil {
		_, err = io.Copy(io.Discard, resp.Body)
	}
	if err != nil {
		k.close()
		return 0, 0
	}
	if resp.Close {
		k.close()
	}
	return resp.StatusCode, time.Since(began)
}

// address is the nth address of 127.net.0.0/16 that is not the last or first of a /24.
func address(network byte, n int) net.IP { return net.IPv4(127, network, byte(n/250), byte(1+n%250)) }
