package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// startOrigin serves a kilobyte to everybody, from this process, whose time nobody counts.
func startOrigin() (address string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	page := []byte(strings.Repeat("0123456789abcde\n", 64))
	go func() {
		_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { // until this process ends
			w.Header().Set("X-Origin", "1")
			w.Header().Set("Cache-Control", "no-store")
			_, _ = w.Write(page)
		}))
	}()
	return l.Addr().String(), nil
}

// peer is a running program in front of the origin, and the leader of its process group.
type peer struct {
	name, address, said string
	cmd                 *exec.Cmd
}

func (p *peer) stop() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGTERM)
	time.AfterFunc(2*time.Second, func() { _ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) })
	_ = p.cmd.Wait()
}

// words is the end of what the program has said.
func (p *peer) words() error {
	text, err := os.ReadFile(p.said)
	if err != nil || len(text) == 0 {
		return err
	}
	return errors.New(string(text[max(0, len(text)-1500):]))
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// start starts a program by its name.
func (b *bench) start(name string) (*peer, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	p := &peer{name: name, address: address, said: filepath.Join(b.dir, strings.Map(letters, name)+".said")}
	folder := filepath.Join(b.dir, strings.Map(letters, name))
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	conf := filepath.Join(folder, "conf")
	text, command := b.configuration(name, address, folder)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(folder, "modsecurity.conf"), []byte(b.include()), 0o644); err != nil {
		return nil, err
	}
	program := command[0]
	if path, err := exec.LookPath("/usr/sbin/" + program); err == nil {
		program = path
	}
	p.cmd = exec.Command(program, append(command[1:], conf)...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p.cmd.Env = append(os.Environ(), "HOME="+folder, "GOMAXPROCS=1")
	out, err := os.Create(p.said)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p.cmd.Stdout, p.cmd.Stderr = out, out
	return p, p.cmd.Start()
}

func letters(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
		return r
	}
	return -1
}

// configuration is the file of a program and the command that takes it as its last argument.
func (b *bench) configuration(name, address, folder string) (text string, command []string) {
	switch name {
	case doorPlain, doorWAF:
		mode := "off"
		if name == doorWAF {
			mode = "block"
		}
		return fmt.Sprintf("listen: {http: ['%s']}\nsites: [{hosts: ['*'], origins: ['http://%s'], cache: {off: true}}]\nlimits: []\nwaf: {mode: %q}\nlog: {file: '%s/log', max_rate: 1MiB}\nadmin: {listen: 'off'}\ndata: '%s'\n",
			address, b.origin, mode, folder, folder), []string{b.door, "serve", "-c"}
	case nginxPlain, nginxModsec:
		load, on := "", ""
		if name == nginxModsec {
			load = "load_module /usr/lib/nginx/modules/ngx_http_modsecurity_module.so;\n"
			on = fmt.Sprintf("modsecurity on; modsecurity_rules_file %s/modsecurity.conf;", folder)
		}
		return fmt.Sprintf(`%sdaemon off; worker_processes 1; pid %[2]s/pid; error_log stderr crit;
events { worker_connections 512; }
http {
  access_log off; client_body_temp_path %[2]s/body; proxy_temp_path %[2]s/proxy; fastcgi_temp_path %[2]s/f; uwsgi_temp_path %[2]s/u; scgi_temp_path %[2]s/s;
  keepalive_requests 1000000000;
  upstream o { server %[3]s; keepalive 32; keepalive_requests 1000000000; }
  server { listen %[4]s; %[5]s location / { proxy_pass http://o; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host; } }
}
`, load, folder, b.origin, address, on), []string{"nginx", "-e", "stderr", "-p", folder, "-c"}
	}
	return fmt.Sprintf("{\n\tadmin off\n\tauto_https off\n\tpersist_config off\n\torder coraza_waf first\n}\nhttp://%s {\n\tbind 127.0.0.1\n\tcoraza_waf {\n\t\tload_owasp_crs\n\t\tdirectives `\n\t\t\tInclude @coraza.conf-recommended\n\t\t\tSecRuleEngine On\n\t\t\tSecResponseBodyAccess Off\n\t\t\tSecAuditEngine Off\n\t\t\tInclude @crs-setup.conf.example\n\t\t\tInclude @owasp_crs/*.conf\n\t\t`\n\t}\n\treverse_proxy %s\n}\n",
		":"+address[strings.LastIndexByte(address, ':')+1:], b.origin), []string{b.caddy, "run", "--adapter", "caddyfile", "--config"}
}

// check waits until the program serves, and makes sure that it lets a browser through, and refuses an exploit if it should.
func (p *peer) check() error {
	var c net.Conn
	var err error
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if c, err = net.Dial("tcp", p.address); err == nil {
			break
		}
	}
	if err != nil {
		return err
	}
	defer c.Close()
	r := bufio.NewReader(c)
	if status, err := ask(c, r, browserGET(0)); err != nil || status != 200 {
		return fmt.Errorf("a browser gets %d, %v", status, err)
	}
	for n := range exploits {
		status, err := ask(c, r, exploitGET(n))
		if guarded := p.name != doorPlain && p.name != nginxPlain; err == nil && guarded && status != 403 {
			return fmt.Errorf("%s gets %d", exploits[n], status)
		}
		if err != nil { // the connection was closed behind the refusal
			if c, err = net.Dial("tcp", p.address); err != nil {
				return err
			}
			r = bufio.NewReader(c)
		}
	}
	return nil
}

// ask sends a request and reads the answer.
func ask(c net.Conn, r *bufio.Reader, request string) (status int, err error) {
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(c, request); err != nil {
		return 0, err
	}
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, res.Body)
	if res.Close {
		return res.StatusCode, errors.Join(err, io.EOF)
	}
	return res.StatusCode, err
}

// visitors is how many connections ask at once.
const visitors = 8

// drive sends n requests over some connections and returns the processor time of the program for each, in microseconds. The
// numbers of the requests are never used twice.
func (p *peer) drive(n int, request func(int) string) (us float64, err error) {
	before, err := p.spent()
	if err != nil {
		return 0, err
	}
	n = max(1, n/visitors)
	failed := make(chan error)
	for range visitors {
		go func() { failed <- p.visit(n, request) }()
	}
	for range visitors {
		err = errors.Join(err, <-failed)
	}
	if err != nil {
		return 0, err
	}
	after, err := p.spent()
	return float64(after-before) / 1000 / float64(n*visitors), err
}

// visit sends n requests, one after the other. Some programs close the connection behind a refusal.
func (p *peer) visit(n int, request func(int) string) error {
	c, err := net.Dial("tcp", p.address)
	if err != nil {
		return err
	}
	defer func() { c.Close() }()
	r := bufio.NewReader(c)
	for range n {
		if _, err = ask(c, r, request(int(turn.Add(1)))); errors.Is(err, io.EOF) {
			c.Close()
			if c, err = net.Dial("tcp", p.address); err == nil {
				r.Reset(c)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// turn numbers requests.
var turn atomic.Int64

// spent is the processor time of the process group so far, from the scheduler, whose figures are finer than the clock's ticks.
func (p *peer) spent() (ns int64, err error) {
	stats, err := filepath.Glob("/proc/[0-9]*/task/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	group := strconv.Itoa(p.cmd.Process.Pid)
	for _, stat := range stats {
		text, err := os.ReadFile(stat)
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		if f := strings.Fields(rest); len(f) < 3 || f[2] != group {
			continue
		}
		text, err = os.ReadFile(filepath.Join(filepath.Dir(stat), "schedstat"))
		if err != nil {
			return 0, err
		}
		run, err := strconv.ParseInt(strings.Fields(string(text))[0], 10, 64)
		if err != nil {
			return 0, err
		}
		ns += run
	}
	return ns, nil
}
