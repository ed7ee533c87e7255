//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// site is the policy of one site for every host in front of the origins.
func site(origins ...string) string {
	return "sites:\n  - hosts: ['*']\n    origins: ['" + strings.Join(origins, "', '") + "']\n"
}

// goOrigin serves a handler until the test ends.
func goOrigin(t testing.TB, h http.HandlerFunc) (url string) {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// hello is an origin for tests that need any.
func hello(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello from the origin\n") }

// rawOrigin hands each connection with its number, from 1, to talk and closes it afterwards.
func rawOrigin(t testing.TB, talk func(n int, c net.Conn)) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := 1; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				defer context.AfterFunc(ctx, func() { c.Close() })()
				talk(n, c)
			}()
		}
	}()
	t.Cleanup(func() { cancel(); l.Close(); <-done })
	return "http://" + l.Addr().String()
}

// nginx serves index.html and ten.bin (10 MB), on TCP and on a unix socket.
func nginx(t testing.TB) (url, socket string) {
	t.Helper()
	dir, addr := t.TempDir(), freeAddr(t)
	user := ""
	if os.Getuid() == 0 {
		user = "user root;"
	}
	put(t, dir, "www/index.html", "hello from nginx\n")
	put(t, dir, "www/ten.bin", strings.Repeat("0123456789", 1e6))
	put(t, dir, "nginx.conf", fmt.Sprintf(`%s
daemon off; pid %[2]s/pid; error_log stderr; worker_processes 1;
events { worker_connections 4096; }
http {
  access_log off; keepalive_requests 1000000; if_modified_since before;
  client_body_temp_path %[2]s/body; proxy_temp_path %[2]s/proxy; fastcgi_temp_path %[2]s/fcgi;
  uwsgi_temp_path %[2]s/uwsgi; scgi_temp_path %[2]s/scgi;
  server {
    listen %[3]s backlog=4096;
    listen unix:%[2]s/nginx.sock;
    root %[2]s/www;
  }
}
`, user, dir, addr))
	spawn(t, exec.Command(program(t, "nginx"), "-p", dir, "-e", "stderr", "-c", filepath.Join(dir, "nginx.conf")))
	awaitOrigin(t, addr)
	return "http://" + addr, "unix:" + dir + "/nginx.sock"
}

// haproxy serves one small page from memory.
func haproxy(t testing.TB) (url string) {
	t.Helper()
	addr := freeAddr(t)
	conf := write(t, "haproxy.cfg", fmt.Sprintf(`
global
  maxconn 4000
defaults
  mode http
  timeout client 30s
  timeout server 30s
  timeout connect 5s
frontend f
  bind %s
  http-request return status 200 content-type text/plain string "hello from haproxy" hdr X-Seen "%%[req.hdr(x-forwarded-for)]"
`, addr))
	spawn(t, exec.Command(program(t, "haproxy"), "-db", "-f", conf))
	awaitOrigin(t, addr)
	return "http://" + addr
}

func put(t testing.TB, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func awaitOrigin(t testing.TB, addr string) {
	t.Helper()
	await(t, "the origin at "+addr, func() bool {
		status, _, _ := fetch("http://" + addr + "/")
		return status != 0
	})
}

// grpcOrigin is grpc-go with its health service, whose state the test sets.
func grpcOrigin(t testing.TB) (addr string, state *health.Server) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, state := grpc.NewServer(), health.NewServer()
	grpc_health_v1.RegisterHealthServer(s, state)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String(), state
}
