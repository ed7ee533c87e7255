//go:build !unix

package disk

// noFollow has no counterpart here.
const noFollow = 0

// own does nothing: who may write is not said by a mode here.
func own(string) error { return nil }

// syncDir does nothing: a folder cannot be brought to the disk by itself here.
func syncDir(string) error { return nil }
