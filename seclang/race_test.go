//go:build race

package seclang_test

// sample is of how many requests of the suite one is tried: the race detector is slow.
const sample = 20
