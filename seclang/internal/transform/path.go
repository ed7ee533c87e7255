package transform

import "bytes"

// normalisePath cleans a path as path.Clean does and keeps its trailing slash. A path that comes to nothing is empty.
func normalisePath(dst, src []byte) []byte {
	if len(src) == 0 {
		return dst
	}
	dst = appendClean(dst, src)
	if len(dst) > 0 && src[len(src)-1] == '/' {
		dst = append(dst, '/') // "/" becomes "//", as in Coraza
	}
	return dst
}

// appendClean appends the shortest path that means the same as p: no empty and "." names, no name before a "..".
func appendClean(dst, p []byte) []byte {
	rooted := p[0] == '/'
	if rooted {
		dst = append(dst, '/')
	}
	floor := len(dst) // what stands before it is "/" or "../.." and stays
	for len(p) > 0 {
		name := p
		if i := bytes.IndexByte(p, '/'); i >= 0 {
			name, p = p[:i], p[i+1:]
		} else {
			p = nil
		}
		switch {
		case len(name) == 0 || string(name) == ".":
		case string(name) == ".." && len(dst) > floor:
			dst = dst[:floor+max(0, bytes.LastIndexByte(dst[floor:], '/'))]
		case string(name) == ".." && rooted:
		default:
			if len(dst) > 0 && dst[len(dst)-1] != '/' {
				dst = append(dst, '/')
			}
			dst = append(dst, name...)
			if string(name) == ".." {
				floor = len(dst)
			}
		}
	}
	return dst
}

// normalisePathWin reads backslashes as slashes, cleans the path, and drops what Windows ignores: the stream of the last
// name (file.txt::$DATA) and dots and spaces at the end of each name.
func normalisePathWin(dst, src []byte) []byte {
	if len(src) == 0 {
		return dst
	}
	// The cleaned path is never longer than its source but for one slash: clean in place, behind where it is read.
	dst = append(dst, src...)
	for i := range dst {
		if dst[i] == '\\' {
			dst[i] = '/'
		}
	}
	slash := dst[len(dst)-1] == '/'
	out := appendClean(dst[:0], dst)
	if slash && len(out) > 0 {
		out = append(out, '/')
	}
	return trimNames(dropStream(out))
}

// dropStream cuts the last name off at its colon, the drive's colon aside, in place. A trailing slash stays.
func dropStream(p []byte) []byte {
	slash := len(p) > 0 && p[len(p)-1] == '/'
	name := 0 // where the last name begins
	if len(p) >= 2 && p[1] == ':' && 'a' <= p[0]|0x20 && p[0]|0x20 <= 'z' {
		name = 2
	}
	end := len(p)
	if slash && end > name {
		end--
	} else {
		slash = false
	}
	if i := bytes.LastIndexByte(p[name:end], '/'); i >= 0 {
		name += i + 1
	}
	if i := bytes.IndexByte(p[name:end], ':'); i >= 0 {
		p = p[:name+i]
		if slash {
			p = append(p, '/')
		}
	}
	return p
}

// trimNames drops dots and spaces at the end of each name of p, in place, and names that consist of nothing else; "." and
// ".." and longer runs of dots stay.
func trimNames(p []byte) []byte {
	out, wrote := p[:0], false
	for rest, more := p, true; more; {
		name := rest
		if i := bytes.IndexByte(rest, '/'); i >= 0 {
			name, rest = rest[:i], rest[i+1:]
		} else {
			more = false
		}
		if len(bytes.Trim(name, ".")) > 0 {
			if name = bytes.TrimRight(name, ". "); len(name) == 0 {
				continue
			}
		}
		if wrote {
			out = append(out, '/')
		}
		out = append(out, name...)
		wrote = true
	}
	return out
}
