package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// peer is a running program in front of the origin.
type peer struct {
	address string
	cmd     *exec.Cmd
}

func (p *peer) stop() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	_ = p.cmd.Wait()
}

// start starts a peer by its name, in front of the origin at the address.
func (g ground) start(name, origin string) (*peer, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	var conf string
	var command []string
	switch name {
	case "stormdoor": // nothing but an origin: what a newcomer to the door would write
		conf = fmt.Sprintf("listen: {http: ['%s']}\nsites: [{hosts: ['*'], origins: ['http://%s']}]\nadmin: {listen: '127.0.0.1:21129'}\ndata: '%s'\n", address, origin, g.dir)
		command = []string{g.door, "serve", "-c"}
	case "nginx":
		conf = fmt.Sprintf(nginxConf, g.dir, address, origin)
		command = []string{"nginx", "-e", "stderr", "-p", g.dir, "-c"}
	case "haproxy":
		conf = fmt.Sprintf(haproxyConf, address, origin)
		command = []string{"haproxy", "-db", "-f"}
	default:
		return nil, fmt.Errorf("there is no peer %q", name)
	}
	file := filepath.Join(g.dir, name+".conf")
	if err := os.WriteFile(file, []byte(conf), 0o644); err != nil {
		return nil, err
	}
	program := command[0]
	for _, dir := range []string{"", "/usr/sbin/", "/usr/local/sbin/"} {
		if path, err := exec.LookPath(dir + program); err == nil {
			program = path
			break
		}
	}
	p := &peer{address: address, cmd: exec.Command(program, append(command[1:], file)...)}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	if err := p.await(); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

// await waits until the peer serves.
func (p *peer) await() (err error) {
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		var resp *http.Response
		if resp, err = http.Get("http://" + p.address + "/"); err == nil {
			return resp.Body.Close()
		}
	}
	return fmt.Errorf("it does not serve: %w", err)
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// nginxConf is nginx as its manual would have it against a flood: a rate for each address, a bound on connections of
// each, and a bound on what is in flight to the origin, beyond which it sheds.
const nginxConf = `
daemon off; worker_processes auto; worker_rlimit_nofile 20000; pid %[1]s/nginx.pid; error_log /dev/null crit;
events { worker_connections 8000; }
http {
  access_log off; client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/fastcgi; uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
  keepalive_requests 1000000;
  limit_req_zone $binary_remote_addr zone=rate:10m rate=10r/s; limit_conn_zone $binary_remote_addr zone=each:10m; limit_conn_zone $server_name zone=all:1m;
  proxy_cache_path %[1]s/cache levels=1:2 keys_zone=pages:10m max_size=128m use_temp_path=off;
  upstream origin { server %[3]s; keepalive 64; }
  server {
    listen %[2]s backlog=4096; server_name storm.example; # limit_conn does not count an empty name
    location /cached/ {
      limit_req zone=rate burst=20 nodelay; limit_conn each 10; limit_conn all 32;
      proxy_cache pages; proxy_cache_lock on; proxy_cache_use_stale updating error timeout http_503; proxy_cache_background_update on;
      proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection "";
    }
    location / {
      limit_req zone=rate burst=20 nodelay; limit_conn each 10; limit_conn all 32;
      proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection "";
    }
  }
}
`

// haproxyConf is HAProxy the same way, with its queue in front of the origin.
const haproxyConf = `
global
  maxconn 8000
  no strict-limits
defaults
  mode http
  timeout client 30s
  timeout server 30s
  timeout connect 3s
  timeout queue 1s
  http-reuse always
cache pages
  total-max-size 128
  max-age 60
  process-vary on
frontend in
  bind %s backlog 4096
  stick-table type ip size 100k expire 1m store http_req_rate(10s)
  http-request track-sc0 src
  http-request deny deny_status 429 if { sc_http_req_rate(0) gt 100 }
  default_backend origin
backend origin
  http-request cache-use pages if { path_beg /cached/ }
  http-response cache-store pages
  server origin %s maxconn 32
`
