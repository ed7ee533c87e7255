package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// peer is one of those that are compared: a proxy in front of the same origin.
type peer struct {
	name        string
	http, https string // addresses; https is "" where it takes no TLS
	*process
}

// The peers' names, as tables show them. Every ratio is to nginx.
const (
	theDoor    = "stormdoor"
	noLimits   = "stormdoor, limits: []"
	withWAF    = "stormdoor, waf: block"
	nginxName  = "nginx"
	haproxy    = "haproxy"
	caddy      = "caddy"
	originName = "origin"
)

// Ports of the loopback of this run's own network namespace; without one they may be taken, which starting tells.
const (
	originPort = 18080
	firstPort  = 18100
)

// field is the ground that a run plays on.
type field struct {
	dir     string // of the run, removed by whoever made it
	groups  string // the file of process groups
	door    string // the binary
	workers int    // processes or threads of each peer
	port    int    // the next free one

	mu      sync.Mutex // guards running, which an interrupt reads
	running []*process
}

func (f *field) file(name string) string { return filepath.Join(f.dir, name) }

func (f *field) write(name, text string) (string, error) {
	return f.file(name), os.WriteFile(f.file(name), []byte(text), 0o644)
}

// stop ends all that runs.
func (f *field) stop() {
	f.mu.Lock()
	running := f.running
	f.running = nil
	f.mu.Unlock()
	for _, p := range running {
		p.stop()
	}
}

// kill ends all that runs at once, from any goroutine.
func (f *field) kill() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.running {
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	}
}

// find looks for an installed program, in sbin as well, which is not in every user's PATH.
func find(name string) (string, error) {
	for _, s := range []string{name, "/usr/sbin/" + name, "/usr/local/sbin/" + name} {
		if path, err := exec.LookPath(s); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not installed (make tools installs it)", name)
}

// prepare writes bodies and the certificate, and starts the origin.
func (f *field) prepare() error {
	if err := os.MkdirAll(f.file("www"), 0o755); err != nil {
		return err
	}
	for name, size := range map[string]int{"www/1k": 1 << 10, "www/10k": 10 << 10, "www/4m": 4 << 20} {
		if _, err := f.write(name, strings.Repeat("0123456789abcde\n", size/16)); err != nil {
			return err
		}
	}
	if err := f.certificate(); err != nil {
		return err
	}
	program, err := find("nginx")
	if err != nil {
		return fmt.Errorf("the origin: %w", err)
	}
	conf := f.nginxConf(1, fmt.Sprintf(`
  sendfile on; open_file_cache max=16; default_type text/plain; keepalive_requests 1000000000; keepalive_timeout 1h;
  server { listen 127.0.0.1:%[1]d backlog=4096 sndbuf=256k; root %[2]s;
    location /cached/ { alias %[2]s/; add_header Cache-Control "public, max-age=3600"; } }`, originPort, f.file("www")))
	_, err = f.launch(originName, fmt.Sprintf("http://127.0.0.1:%d/1k", originPort), conf, nil, program, "-e", "stderr", "-p", f.dir, "-c")
	return err
}

// launch writes conf to a file, whose path it adds to args, starts the program and waits until it serves.
func (f *field) launch(name, url, conf string, env []string, program string, args ...string) (*process, error) {
	path, err := f.write(strings.Map(letters, name)+".conf", conf)
	if err != nil {
		return nil, err
	}
	p, err := start(f.dir, strings.Map(letters, name), f.groups, env, program, append(args, path)...)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	f.running = append(f.running, p)
	f.mu.Unlock()
	if err := p.await(url); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return p, nil
}

func letters(r rune) rune {
	if r >= 'a' && r <= 'z' {
		return r
	}
	return -1
}

// refusing makes a peer refuse all but a request now and then, with 429.
type refusing bool

// peer starts one peer.
func (f *field) peer(name string, refuse refusing) (*peer, error) {
	p := &peer{name: name, http: fmt.Sprintf("127.0.0.1:%d", f.port), https: fmt.Sprintf("127.0.0.1:%d", f.port+1)}
	f.port += 2
	var err error
	switch name {
	case theDoor, noLimits, withWAF:
		p.process, err = f.startDoor(p, refuse)
	case nginxName:
		p.process, err = f.startNginx(p, refuse)
	case haproxy:
		p.process, err = f.startHAProxy(p, refuse)
	case caddy:
		p.process, err = f.startCaddy(p)
	default:
		err = errors.New("no such peer: " + name)
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

func (f *field) startDoor(p *peer, refuse refusing) (*process, error) {
	limits, waf := "", "off" // the default limit
	switch {
	case bool(refuse):
		limits = "limits: [{name: bench, rate: 1/s, burst: 1}]"
	case p.name == noLimits:
		limits = "limits: []"
	case p.name == withWAF:
		waf = "block"
	}
	data, err := os.MkdirTemp(f.dir, "data")
	if err != nil {
		return nil, err
	}
	conf := fmt.Sprintf(`
listen: {http: ['%s'], https: ['%s']}
sites: [{hosts: ['*'], origins: ['http://127.0.0.1:%d'], tls: {certificate: '%s', key: '%s', redirect: false}}]
admin: {listen: 'off'}
data: '%s'
waf: {mode: %s}
%s
`, p.http, p.https, originPort, f.file("cert.pem"), f.file("key.pem"), data, waf, limits)
	env := []string{fmt.Sprintf("GOMAXPROCS=%d", f.workers)}
	return f.launch(p.name, "http://"+p.http+"/1k", conf, env, f.door, "serve", "-c")
}

func (f *field) nginxConf(workers int, http string) string {
	return fmt.Sprintf(`
daemon off; worker_processes %d; worker_rlimit_nofile %d; pid %s; error_log /dev/null crit;
events { worker_connections 16000; }
http {
  access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
%s
}
`, workers, openFiles(), f.file(fmt.Sprintf("nginx%d.pid", f.port)), http)
}

func (f *field) startNginx(p *peer, refuse refusing) (*process, error) {
	program, err := find("nginx")
	if err != nil {
		return nil, err
	}
	zone, limit := "", ""
	if refuse {
		zone, limit = "limit_req_zone $binary_remote_addr zone=clients:10m rate=1r/s; limit_req_status 429;", "limit_req zone=clients;"
	}
	conf := f.nginxConf(f.workers, fmt.Sprintf(`
  keepalive_requests 1000000000; keepalive_timeout 75s; ssl_session_cache shared:s:10m; %s
  proxy_cache_path %s levels=1:2 keys_zone=bench:10m max_size=64m inactive=1h use_temp_path=off;
  upstream origin { server 127.0.0.1:%d; keepalive 128; keepalive_requests 1000000000; keepalive_timeout 1h; }
  server {
    listen %s backlog=4096; listen %s ssl http2 backlog=4096;
    ssl_certificate %s; ssl_certificate_key %s;
    proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
    proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme;
    location / { %s proxy_pass http://origin; }
    location /cached/ { proxy_pass http://origin; proxy_cache bench; proxy_cache_lock on; }
  }`, zone, f.file(fmt.Sprintf("cache%d", f.port)), originPort, p.http, p.https, f.file("cert.pem"), f.file("key.pem"), limit))
	return f.launch(p.name, "http://"+p.http+"/1k", conf, nil, program, "-e", "stderr", "-p", f.dir, "-c")
}

func (f *field) startHAProxy(p *peer, refuse refusing) (*process, error) {
	program, err := find("haproxy")
	if err != nil {
		return nil, err
	}
	limit := ""
	if refuse {
		limit = `
  stick-table type ip size 100k expire 10m store http_req_rate(1s)
  http-request track-sc0 src
  http-request deny deny_status 429 if { sc_http_req_rate(0) gt 1 }`
	}
	conf := fmt.Sprintf(`
global
  nbthread %d
  maxconn 16000
  no strict-limits
defaults
  mode http
  timeout client 75s
  timeout server 60s
  timeout connect 3s
  timeout http-keep-alive 75s
  option forwardfor
  http-reuse always
cache bench
  total-max-size 64
  max-object-size 100000
  max-age 600
frontend in
  bind %s backlog 4096
  bind %s ssl crt %s alpn h2,http/1.1 backlog 4096%s
  default_backend origin
backend origin
  http-request cache-use bench if { path_beg /cached/ }
  http-response cache-store bench
  server origin 127.0.0.1:%d
`, f.workers, p.http, p.https, f.file("both.pem"), limit, originPort)
	return f.launch(p.name, "http://"+p.http+"/1k", conf, nil, program, "-db", "-f")
}

// startCaddy starts Caddy, which has no limit of requests of its own.
func (f *field) startCaddy(p *peer) (*process, error) {
	program, err := find("caddy")
	if err != nil {
		return nil, err
	}
	conf := fmt.Sprintf(`
{
  admin off
  auto_https off
  default_sni localhost
  storage file_system %s
}
(origin) {
  reverse_proxy 127.0.0.1:%d {
    transport http {
      keepalive_idle_conns_per_host 128
    }
  }
}
http://%s {
  import origin
}
https://%s {
  tls %s %s
  import origin
}
`, f.file("caddy"), originPort, p.http, p.https, f.file("cert.pem"), f.file("key.pem"))
	env := []string{fmt.Sprintf("GOMAXPROCS=%d", f.workers), "HOME=" + f.dir}
	return f.launch(p.name, "http://"+p.http+"/1k", conf, env, program, "run", "--adapter", "caddyfile", "--config")
}

// certificate makes one ECDSA P-256 certificate for all.
func (f *field) certificate() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	cert := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	secret := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	for name, text := range map[string]string{"cert.pem": cert, "key.pem": secret, "both.pem": cert + secret} {
		if _, err := f.write(name, text); err != nil {
			return err
		}
	}
	return nil
}
