package main

import (
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// workers is how many requests the origin works on at once. The others wait in it, as long as it takes.
const workers = 8

// origin is a web service of fixed capacity: /search takes ten times as long as a page.
type origin struct {
	address string
	server  http.Server
	slots   chan struct{}
	service time.Duration

	flying, most, done atomic.Int64
	busy               atomic.Int64 // nanoseconds that workers have worked
}

func startOrigin(service time.Duration) (*origin, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	o := &origin{address: l.Addr().String(), slots: make(chan struct{}, workers), service: service}
	o.server.Handler = o
	go func() { _ = o.server.Serve(l) }()
	return o, nil
}

func (o *origin) stop() { _ = o.server.Close() }

// work is what an origin has done since it was asked last.
type work struct {
	Address string
	// Done is how many answers there were, Most how many requests were in flight at most.
	Done, Most int64
	// Busy is the time of all workers together: one that is awoken late has worked for longer, so that what is left is what the door
	// did not use.
	Busy time.Duration
}

func (o *origin) report() work {
	return work{o.address, o.done.Swap(0), o.most.Swap(0), time.Duration(o.busy.Swap(0))}
}

var body = []byte(strings.Repeat("0123456789abcde\n", 64))

func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := o.flying.Add(1)
	defer o.flying.Add(-1)
	for most := o.most.Load(); n > most && !o.most.CompareAndSwap(most, n); most = o.most.Load() {
	}
	o.slots <- struct{}{}
	service := o.service
	if strings.HasPrefix(r.URL.Path, "/search") {
		service *= 10
	}
	began := time.Now()
	time.Sleep(service)
	o.busy.Add(int64(time.Since(began)))
	<-o.slots
	o.done.Add(1)
	w.Header().Set("Content-Type", "text/html")
	w.Header().Set("Cache-Control", "no-store")
	if strings.HasPrefix(r.URL.Path, "/cached/") { // a list of pages
		w.Header().Set("Cache-Control", "public, max-age=30")
		_, _ = io.WriteString(w, "page "+r.URL.Query().Get("page")+"\n")
	}
	_, _ = w.Write(body)
}
