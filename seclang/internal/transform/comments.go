package transform

import "bytes"

// removeComments takes out /* … */ and <!-- … --> and cuts the value off at -- or #. The byte that follows a comment is
// taken as it is, whatever it is, and a comment that never ends leaves a space.
func removeComments(dst, src []byte) []byte {
	for i := 0; i < len(src); {
		rest := src[i:]
		switch {
		case bytes.HasPrefix(rest, []byte("/*")):
			i += 2
		case bytes.HasPrefix(rest, []byte("<!--")):
			i += 4
		case rest[0] == '#', bytes.HasPrefix(rest, []byte("--")):
			return dst
		default:
			dst = append(dst, rest[0])
			i++
			continue
		}
		end := commentEnd(src[i:])
		if end < 0 {
			return append(dst, ' ')
		}
		if i += end; i == len(src) {
			return append(dst, 0) // as Coraza, which reads one byte beyond the value
		}
		dst = append(dst, src[i])
		i++
	}
	return dst
}

// commentEnd returns the length of a comment's rest with its end mark, either kind; negative if it does not end.
func commentEnd(s []byte) int {
	for i := range s {
		switch {
		case s[i] == '*' && i+1 < len(s) && s[i+1] == '/':
			return i + 2
		case s[i] == '-' && i+2 < len(s) && s[i+1] == '-' && s[i+2] == '>':
			return i + 3
		}
	}
	return -1
}

// removeCommentsChar takes out the marks of comments and leaves what they enclose.
func removeCommentsChar(dst, src []byte) []byte {
	for i := 0; i < len(src); {
		rest := src[i:]
		switch {
		case bytes.HasPrefix(rest, []byte("<!--")):
			i += 4
		case bytes.HasPrefix(rest, []byte("-->")):
			i += 3
		case bytes.HasPrefix(rest, []byte("/*")), bytes.HasPrefix(rest, []byte("*/")), bytes.HasPrefix(rest, []byte("--")):
			i += 2
		case rest[0] == '#':
			i++
		default:
			dst = append(dst, rest[0])
			i++
		}
	}
	return dst
}

// replaceComments puts a space in the place of each /* … */, also of one that never ends.
func replaceComments(dst, src []byte) []byte {
	for {
		start := bytes.Index(src, []byte("/*"))
		if start < 0 {
			return append(dst, src...)
		}
		dst = append(append(dst, src[:start]...), ' ')
		src = src[start+2:]
		end := bytes.Index(src, []byte("*/"))
		if end < 0 {
			return dst
		}
		src = src[end+2:]
	}
}
