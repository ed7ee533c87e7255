package main

import (
	"embed"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"time"
)

//go:embed sample
var sampleFiles embed.FS

// sampleSite serves the embedded sample site on a free loopback port, for a door that has nothing else to protect. The
// caller closes the server.
func sampleSite() (*http.Server, string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", fmt.Errorf("the sample site finds no free loopback port: %w", err)
	}
	root, err := fs.Sub(sampleFiles, "sample")
	if err != nil {
		return nil, "", err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /", http.FileServerFS(root))
	mux.HandleFunc("GET /api/time", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, "{\"time\":%q}\n", time.Now().UTC().Format(time.RFC3339))
	})
	mux.HandleFunc("GET /events", sampleEvents)
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go s.Serve(l)
	return s, "http://" + l.Addr().String(), nil
}

// sampleEvents is a stream of server-sent events, one a second, to see that streams pass.
func sampleEvents(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	rc := http.NewResponseController(w)
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		fmt.Fprintf(w, "data: %s\n\n", time.Now().UTC().Format(time.RFC3339))
		if rc.Flush() != nil {
			return
		}
		select {
		case <-t.C:
		case <-r.Context().Done():
			return
		}
	}
}
