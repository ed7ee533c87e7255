package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// part is one Go benchmark of the tree and the bounds of its figures, by their units.
type part struct {
	test, name, what string // the test binary that bench/run has built, the benchmark, and what it is
	bounds           map[string]float64
	times            int // it is run; the best counts, which a busy neighbour spoils last
}

func parts() []part {
	limit := map[string]float64{"ns/op": mostLimit, "allocs/op": none}
	return []part{
		{"root", "Judgement", "a whole judgement: facts, site, lists, limits, three rules", map[string]float64{"ns/op": mostJudgement, "allocs/op": 1}, 3},
		{"root", "JudgementOfNewClients", "the same of a client not seen for a million others", map[string]float64{"ns/op": mostJudgement, "allocs/op": 1}, 3},
		{"limit", "KnownKey", "a limit's decision, known client", limit, 3},
		{"limit", "NewKey", "a limit's decision, client not seen for a million others, expected", limit, 3},
		{"limit", "TenMillionSources", "ten million sources", map[string]float64{"MiB": mostSources, "ns/source": none}, 1},
		{"state", "KnownKey", "the table alone, known key", limit, 3},
		{"state", "NewKey", "the table alone, new key", limit, 3},
		{"tape", "Combined", "reading a combined log", map[string]float64{"lines/s": leastReplay}, 3},
	}
}

// none is the bound of what must be 0.
const none = -1

// micro runs the benchmarks that the tree has beside its code.
func (r *run) micro(c oneCase) error {
	var list []check
	var missing error
	outputs := map[string]string{}
	for _, p := range parts() {
		key := fmt.Sprint(p.test, p.times)
		out, done := outputs[key]
		if !done {
			var err error
			if out, err = r.benchmarks(p.test, p.times); err != nil {
				missing = errors.Join(missing, err)
			}
			outputs[key] = out
		}
		figures := parseBenchmark(out, p.name)
		if len(figures) == 0 {
			continue
		}
		what := map[string]any{}
		for unit, value := range figures {
			what[unit] = value
		}
		r.out.record(c.name, p.test+".Benchmark"+p.name, what)
		list = append(list, p.checks(figures)...)
	}
	r.out.checks(list)
	return missing
}

// checks are the figures that have a bound, in a fixed order.
func (p part) checks(figures map[string]float64) (list []check) {
	for _, unit := range []string{"ns/op", "allocs/op", "MiB", "ns/source", "lines/s"} {
		bound, asked := p.bounds[unit]
		value, measured := figures[unit]
		if !asked || !measured {
			continue
		}
		c := check{what: p.what, unit: unit, value: value, bound: bound, least: unit == "lines/s"}
		if bound == none {
			c.bound, c.zero = 0, unit == "allocs/op"
		}
		list = append(list, c)
	}
	return list
}

// benchmarks runs those of one test binary that parts wants so many times. "" and an error stand for a binary that is not
// there.
func (r *run) benchmarks(test string, times int) (string, error) {
	var names []string
	for _, p := range parts() {
		if p.test == test && p.times == times {
			names = append(names, p.name)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, r.field.file(test+".test"), "-test.run", "^$", "-test.benchtime", "300ms", "-test.count", strconv.Itoa(times), "-test.bench", "^Benchmark("+strings.Join(names, "|")+")$")
	cmd.Dir = r.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("the benchmarks of %s: %w: %.400s", test, err, out)
	}
	return string(out), nil
}

var benchmarkLine = regexp.MustCompile(`(?m)^Benchmark(\w+?)(?:-\d+)?\s+\d+\s+(.*)$`)

// parseBenchmark finds the figures of one benchmark by their units: the best of each time, the worst of each amount.
func parseBenchmark(out, name string) map[string]float64 {
	var figures map[string]float64
	for _, m := range benchmarkLine.FindAllStringSubmatch(out, -1) {
		if m[1] != name {
			continue
		}
		if figures == nil {
			figures = map[string]float64{}
		}
		for f := strings.Fields(m[2]); len(f) >= 2; f = f[2:] {
			v, err := strconv.ParseFloat(f[0], 64)
			if err != nil {
				continue
			}
			if old, again := figures[f[1]]; again && strings.HasPrefix(f[1], "ns/") {
				v = min(v, old)
			} else if again {
				v = max(v, old)
			}
			figures[f[1]] = v
		}
	}
	return figures
}
