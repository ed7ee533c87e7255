package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// load is what a client saw in one round.
type load struct {
	requests int64 // that were answered
	refused  int64 // of them, with 4xx or 5xx
	broken   int64 // that got no answer
	rate     float64
	p50, p99 time.Duration
}

// wrk asks url on 64 connections for some seconds.
func wrk(url string, seconds float64, args ...string) (load, error) {
	// wrk counts in whole seconds.
	args = append([]string{"-t1", "-c64", "--latency", "--timeout", "5s", "-d", strconv.Itoa(max(1, int(seconds+.5)))}, args...)
	out, err := tool(seconds, "wrk", append(args, url)...)
	if err != nil {
		return load{}, err
	}
	return parseWrk(out)
}

func parseWrk(out string) (l load, err error) {
	if l.requests = figure(out, `(\d+) requests in`); l.requests < 1 {
		return l, fmt.Errorf("wrk got no answer: %s", out)
	}
	l.refused = max(0, figure(out, `Non-2xx or 3xx responses: (\d+)`))
	for _, kind := range []string{"connect", "read", "write", "timeout"} {
		l.broken += max(0, figure(out, `Socket errors:.*`+kind+` (\d+)`))
	}
	if m := regexp.MustCompile(`Requests/sec:\s+([\d.]+)`).FindStringSubmatch(out); m != nil {
		l.rate, _ = strconv.ParseFloat(m[1], 64) // the pattern says that it is a number
	}
	for percent, to := range map[string]*time.Duration{"50": &l.p50, "99": &l.p99} {
		if m := regexp.MustCompile(`\s` + percent + `%\s+([\d.]+[a-z]+)`).FindStringSubmatch(out); m != nil {
			if *to, err = time.ParseDuration(m[1]); err != nil {
				return l, err
			}
		}
	}
	return l, nil
}

// h2load asks url on 16 connections of 8 streams each. Its log gives the percentiles.
func h2load(url string, seconds float64, log string) (load, error) {
	return h2loadWith(url, seconds, log, "-c16", "-m8")
}

// h2loadWith runs h2load with further arguments.
func h2loadWith(url string, seconds float64, log string, args ...string) (load, error) {
	if err := os.Remove(log); err != nil && !errors.Is(err, os.ErrNotExist) {
		return load{}, err
	}
	args = append([]string{"-t1", "-D", strconv.Itoa(max(1, int(seconds+.5))), "--log-file", log}, args...)
	out, err := tool(seconds, "h2load", append(args, url)...)
	if err != nil {
		return load{}, err
	}
	l, err := parseH2load(out)
	if err != nil {
		return l, err
	}
	l.p50, l.p99, err = percentiles(log)
	return l, err
}

func parseH2load(out string) (l load, err error) {
	if l.requests = figure(out, `(\d+) done`); l.requests < 1 {
		return l, fmt.Errorf("h2load got no answer: %s", out)
	}
	l.refused = max(0, figure(out, `(\d+) 4xx`)) + max(0, figure(out, `(\d+) 5xx`))
	l.broken = max(0, figure(out, `(\d+) errored`)) + max(0, figure(out, `(\d+) timeout`))
	if m := regexp.MustCompile(`([\d.]+) req/s`).FindStringSubmatch(out); m != nil {
		l.rate, _ = strconv.ParseFloat(m[1], 64) // the pattern says that it is a number
	}
	return l, nil
}

// percentiles reads the third column of h2load's log, microseconds.
func percentiles(log string) (p50, p99 time.Duration, err error) {
	f, err := os.Open(log)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	var us []int64
	for s := bufio.NewScanner(f); s.Scan(); {
		if column := strings.Split(s.Text(), "\t"); len(column) >= 3 && column[1] != "-1" {
			n, err := strconv.ParseInt(column[2], 10, 64)
			if err != nil {
				return 0, 0, fmt.Errorf("%s: %w", log, err)
			}
			us = append(us, n)
		}
	}
	if len(us) == 0 {
		return 0, 0, fmt.Errorf("%s is empty", log)
	}
	slices.Sort(us)
	return time.Duration(us[len(us)/2]) * time.Microsecond, time.Duration(us[len(us)*99/100]) * time.Microsecond, nil
}

// tool runs a client to its end, which must come soon after the seconds that it was told.
func tool(seconds float64, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration((seconds+20)*float64(time.Second)))
	defer cancel()
	path, err := find(name)
	if err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, path, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return string(out), nil
}

// figure finds a number in a tool's report; -1 stands for none.
func figure(report, pattern string) int64 {
	m := regexp.MustCompile(pattern).FindStringSubmatch(report)
	if m == nil {
		return -1
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil {
		return -1
	}
	return n
}
