package main

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"unicode"

	"stormdoor/policy"
)

// policyOrDefault loads a policy, or makes the default one in front of origin when file is "".
func policyOrDefault(file, origin string) (*policy.Policy, error) {
	if file == "" {
		return policy.Default(origin)
	}
	return loadPolicy(file)
}

// loadPolicy is policy.Load, in the words of the commands where the file cannot be read.
func loadPolicy(file string) (*policy.Policy, error) {
	p, err := policy.Load(file)
	return p, unreadable("policy", file, err)
}

// unreadable says of a file that the system does not let be read which one it is, why, and what to do. what is what the file
// would hold. Any other error, and nil, stays as it is.
func unreadable(what, file string, err error) error {
	var at *fs.PathError
	if !errors.As(err, &at) {
		return err
	}
	switch {
	case errors.Is(at.Err, fs.ErrNotExist):
		return fmt.Errorf("%s %s: there is no such file; check its path", what, file)
	case errors.Is(at.Err, syscall.EISDIR):
		return fmt.Errorf("%s %s: it is a folder; name a file", what, file)
	case errors.Is(at.Err, fs.ErrPermission):
		return fmt.Errorf("%s %s: this user may not read it; change its owner or mode", what, file)
	}
	return fmt.Errorf("%s %s: %w", what, file, at.Err)
}

// printable is for strings.Map: what a terminal would not show but obey becomes a point.
func printable(r rune) rune {
	if unicode.IsPrint(r) || r == '\n' {
		return r
	}
	return '.'
}
