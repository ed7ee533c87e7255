package drill

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"text/template"
	"time"
)

// peers are the other doors that a drill can compare with, each in the configuration that its manual recommends against
// floods: nginx with limit_req, limit_conn and a cache with a lock, HAProxy with a stick table and a queue.
var peers = map[string]peer{
	"nginx":   {[]string{"nginx", "/usr/sbin/nginx"}, nginxConf, func(conf string) []string { return []string{"-c", conf, "-g", "daemon off;"} }},
	"haproxy": {[]string{"haproxy", "/usr/sbin/haproxy"}, haproxyConf, func(conf string) []string { return []string{"-f", conf, "-db"} }},
}

type peer struct {
	programs []string
	conf     string
	args     func(conf string) []string
}

// PeerNames are the peers that a drill knows.
func PeerNames() []string { return []string{"haproxy", "nginx"} }

// find is where the peer is installed.
func (p peer) find() (string, error) {
	for _, name := range p.programs {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not installed", p.programs[0])
}

// runPeer plays the scene before a peer. Faults of the door itself are left out: they are ours.
func (t *take) runPeer(ctx context.Context, name string) (*record, error) {
	p, ok := peers[name]
	if !ok {
		return nil, fmt.Errorf("a drill compares with %v", PeerNames())
	}
	program, err := p.find()
	if err != nil {
		return nil, err
	}
	return t.stage(ctx, func(ctx context.Context, origin string) (front, error) {
		return startPeer(ctx, p, program, filepath.Join(t.dir, name), origin)
	})
}

// other is a peer as the front of a take.
type other struct {
	cmd *exec.Cmd
	at  DoorAddrs
	end chan struct{}
}

func startPeer(ctx context.Context, p peer, program, dir, origin string) (front, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	at := DoorAddrs{}
	for _, a := range []*string{&at.Clear, &at.Secure} {
		l, err := listenLoopback(ctx)
		if err != nil {
			return nil, err
		}
		*a = l.Addr().String()
		l.Close()
	}
	conf := filepath.Join(dir, "conf")
	f, err := os.Create(conf)
	if err != nil {
		return nil, err
	}
	err = template.Must(template.New("conf").Parse(p.conf)).Execute(f, map[string]any{
		"Dir": dir, "Clear": at.Clear, "Secure": at.Secure, "Origin": origin, "Host": shopHost, "Root": os.Geteuid() == 0,
		"Certificate": filepath.Join(filepath.Dir(dir), certificateFile), "Key": filepath.Join(filepath.Dir(dir), keyFile),
	})
	if err = errors.Join(err, f.Close(), bundle(dir)); err != nil {
		return nil, err
	}
	said := &tail{}
	cmd := exec.CommandContext(ctx, program, p.args(conf)...)
	cmd.Stdout, cmd.Stderr = said, said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	o := &other{cmd, at, make(chan struct{})}
	go func() { _ = cmd.Wait(); close(o.end) }()
	if err := o.ready(ctx); err != nil {
		o.stop()
		return nil, fmt.Errorf("%w: %s", err, said)
	}
	return o, nil
}

// bundle puts certificate and key into one file, as HAProxy wants them.
func bundle(dir string) error {
	var all []byte
	for _, name := range []string{certificateFile, keyFile} {
		b, err := os.ReadFile(filepath.Join(filepath.Dir(dir), name))
		if err != nil {
			return err
		}
		all = append(all, b...)
	}
	return os.WriteFile(filepath.Join(dir, "bundle.pem"), all, 0o600)
}

// ready waits until the peer takes connections.
func (o *other) ready(ctx context.Context) error {
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
		c, err := dialer(visitorAddr(0), time.Second).DialContext(ctx, "tcp4", o.at.Secure)
		if err == nil {
			return c.Close()
		}
		select {
		case <-o.end:
			return errors.New("it ended at once")
		default:
		}
		if !wait(ctx, 20*time.Millisecond) {
			return ctx.Err()
		}
	}
	return errors.New("it does not take connections")
}

func (o *other) addrs() DoorAddrs                             { return o.at }
func (o *other) pid() int                                     { return o.cmd.Process.Pid }
func (o *other) logBytes() int64                              { return 0 }
func (o *other) perform(context.Context, *Scene, Fault) error { return nil }
func (o *other) stop()                                        { _ = syscall.Kill(-o.cmd.Process.Pid, syscall.SIGKILL); <-o.end }

const nginxConf = `{{if .Root}}user root; # or its workers could not read the cache, which is in a folder of root's
{{end}}worker_processes auto;
pid {{.Dir}}/pid;
error_log /dev/null;
events { worker_connections 8192; }
http {
  access_log off;
  client_body_temp_path {{.Dir}}/body; proxy_temp_path {{.Dir}}/proxy; fastcgi_temp_path {{.Dir}}/f; uwsgi_temp_path {{.Dir}}/u; scgi_temp_path {{.Dir}}/s;
  limit_req_zone $binary_remote_addr zone=client:16m rate=50r/s;
  limit_conn_zone $binary_remote_addr zone=connections:16m;
  proxy_cache_path {{.Dir}}/cache keys_zone=pages:16m max_size=256m;
  client_header_timeout 10s; client_body_timeout 10s; send_timeout 10s; reset_timedout_connection on;
  upstream shop { server {{.Origin}} max_conns=64; keepalive 64; }
  map $http_upgrade $upgrade { default upgrade; "" ""; }
  server {
    listen {{.Clear}} backlog=4096;
    listen {{.Secure}} ssl http2 backlog=4096;
    server_name {{.Host}};
    ssl_certificate {{.Certificate}};
    ssl_certificate_key {{.Key}};
    limit_req zone=client burst=200 nodelay;
    limit_conn connections 100;
    limit_req_status 429; limit_conn_status 429;
    location / {
      proxy_pass http://shop;
      proxy_http_version 1.1;
      proxy_set_header Connection $upgrade;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_cache pages; proxy_cache_lock on; proxy_cache_use_stale updating error timeout http_502 http_503 http_504;
    }
    location /events { proxy_pass http://shop; proxy_buffering off; proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr; }
  }
}
`

const haproxyConf = `global
  maxconn 8000
defaults
  mode http
  timeout connect 3s
  timeout client 30s
  timeout server 30s
  timeout http-request 10s
  timeout queue 5s
  timeout tunnel 1h
frontend door
  bind {{.Clear}} backlog 4096
  bind {{.Secure}} ssl crt {{.Dir}}/bundle.pem alpn h2,http/1.1 backlog 4096
  stick-table type ip size 100k expire 60s store http_req_rate(10s),conn_cur
  http-request track-sc0 src
  http-request deny deny_status 429 if { sc_http_req_rate(0) gt 500 }
  http-request set-header X-Forwarded-For %[src]
  default_backend shop
backend shop
  http-reuse always
  server one {{.Origin}} maxconn 64
`
