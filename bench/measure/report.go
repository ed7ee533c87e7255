package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
)

// measured is one round of one peer. cpu is the microseconds of user and system time a request.
type measured struct {
	load
	cpu float64
}

// row is all rounds of one peer.
type row struct {
	name   string
	rounds []measured
}

func (r row) all(of func(measured) float64) (out []float64) {
	for _, m := range r.rounds {
		out = append(out, of(m))
	}
	slices.Sort(out)
	return out
}

// median is the middle of sorted numbers; the lower one of two.
func median(sorted []float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[(len(sorted)-1)/2]
}

// report writes Markdown to standard output and JSON to a file.
type report struct {
	file    *os.File // nil: nowhere
	json    *json.Encoder
	started time.Time
}

func newReport(results string) (*report, error) {
	r := &report{started: time.Now().UTC()}
	if results == "" {
		return r, nil
	}
	var err error
	if r.file, err = os.OpenFile(results, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644); err != nil {
		return nil, err
	}
	r.json = json.NewEncoder(r.file)
	return r, nil
}

func (r *report) close() {
	if r.file != nil {
		r.file.Close()
	}
}

// record appends one JSON object.
func (r *report) record(name, who string, what map[string]any) {
	if r.json == nil {
		return
	}
	what["run"], what["case"], what["who"] = r.started.Format(time.RFC3339), name, who
	if err := r.json.Encode(what); err != nil {
		r.note("The results are not complete: " + err.Error())
		r.json = nil
	}
}

func (r *report) title(c oneCase) { fmt.Printf("\n## %s (`%s`)\n", c.title, c.name) }
func (r *report) note(text string) {
	fmt.Printf("\n> %s\n", strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n> "))
}

// machine says where and how the run was made.
func (r *report) machine(o options) {
	what := map[string]any{
		"kernel": kernel(), "cpu": cpuModel(), "processors": runtime.NumCPU(), "workers": o.workers, "go": runtime.Version(),
		"nginx": version("nginx", "-v"), "haproxy": version("haproxy", "-v"), "caddy": version("caddy", "version"), "wrk": version("wrk", "-v"), "h2load": version("h2load", "--version"),
		"rounds": o.rounds, "seconds": o.seconds, "load_average": loadAverage(),
	}
	fmt.Printf("Run of %s: Linux %s, %d x %s, load average before %s; each peer on %d processors, %d rounds of %g s.\n\n",
		r.started.Format("2006-01-02 15:04 UTC"), what["kernel"], what["processors"], what["cpu"], what["load_average"], o.workers, o.rounds, o.seconds)
	for _, name := range []string{"go", "nginx", "haproxy", "caddy", "wrk", "h2load"} {
		fmt.Printf("- %s: %s\n", name, what[name])
	}
	r.record("machine", "", what)
}

func version(program string, flag string) string {
	path, err := find(program)
	if err != nil {
		return "missing"
	}
	out, _ := exec.Command(path, flag).CombinedOutput() // wrk ends with 1 after its version
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(line)
}

func kernel() string {
	b, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(b))
}

func cpuModel() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if name, value, ok := strings.Cut(s.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func loadAverage() string {
	b, err := os.ReadFile("/proc/loadavg")
	one, _, _ := strings.Cut(string(b), " ")
	if err != nil {
		return "unknown"
	}
	return one
}

// comparison prints a table of medians. The ratio is the median of the rounds' ratios, each to nginx in the same round.
func (r *report) comparison(rows []row) {
	fmt.Println("\n| | CPU a request, us (least-most) | to nginx | requests/s | p50, ms | p99, ms |")
	fmt.Println("|---|---|---|---|---|---|")
	for _, w := range rows {
		cpu := w.all(func(m measured) float64 { return m.cpu })
		toNginx := "-"
		if v := ratio(rows, w.name, nginxName); v > 0 {
			toNginx = fmt.Sprintf("%.2f", v)
		}
		ms := func(of func(measured) time.Duration) float64 {
			return median(w.all(func(m measured) float64 { return float64(of(m).Microseconds()) / 1e3 }))
		}
		fmt.Printf("| %s | %.1f (%.1f-%.1f) | %s | %.0f | %.2f | %.2f |\n", w.name, median(cpu), cpu[0], cpu[len(cpu)-1], toNginx,
			median(w.all(func(m measured) float64 { return m.rate })), ms(func(m measured) time.Duration { return m.p50 }), ms(func(m measured) time.Duration { return m.p99 }))
	}
}

// doubt says where a peer did not do what the case is about, so that its row means little; nil for nowhere.
func (w row) doubt(refuse bool) error {
	var requests, refused, broken int64
	for _, m := range w.rounds {
		requests, refused, broken = requests+m.requests, refused+m.refused, broken+m.broken
	}
	var what error
	if broken > 0 {
		what = fmt.Errorf("%d of %d requests got no answer", broken, requests)
	}
	if !refuse && refused > 0 {
		what = errors.Join(what, fmt.Errorf("%d of %d requests failed", refused, requests))
	}
	if refuse && refused*100 < requests*99 {
		what = errors.Join(what, fmt.Errorf("only %d of %d requests were refused", refused, requests))
	}
	return what
}

// doubts tells what there is to doubt in a row.
func (r *report) doubts(w row, refuse bool) {
	if what := w.doubt(refuse); what != nil {
		r.note(w.name + ": " + what.Error())
	}
}

// check is one figure beside the bound that the project has set itself.
type check struct {
	what, unit string
	value      float64
	bound      float64 // 0: none, unless zero is set
	zero       bool    // the bound is 0
	least      bool    // the bound is the least that is wanted, not the most
}

func (c check) bounded() bool { return c.bound != 0 || c.zero }

func (c check) holds() bool {
	if c.least {
		return c.value >= c.bound
	}
	return c.value <= c.bound
}

// checks prints figures beside their bounds.
func (r *report) checks(list []check) {
	fmt.Println("\n| | figure | bound | |")
	fmt.Println("|---|---|---|---|")
	for _, c := range list {
		bound, holds := "", ""
		if c.bounded() {
			sign := "≤"
			if c.least {
				sign = "≥"
			}
			bound, holds = fmt.Sprintf("%s %s %s", sign, number(c.bound), c.unit), "held"
			if !c.holds() {
				holds = "**missed**"
			}
		}
		fmt.Printf("| %s | %s %s | %s | %s |\n", c.what, number(c.value), c.unit, bound, holds)
	}
}

func number(v float64) string {
	if v == float64(int64(v)) || v >= 1000 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.1f", v)
}
