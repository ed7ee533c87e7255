// Package e2e answers "does the built binary hold between real clients and real origins?". Its tests run with the build
// tag e2e and need nginx, haproxy, curl, h2load and wrk, which "make e2e" installs; everything stays on loopback.
package e2e
