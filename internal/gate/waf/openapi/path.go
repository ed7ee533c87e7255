package openapi

import (
	"fmt"
	"slices"
	"strings"
)

// maxPlaces bounds the parameters in a path.
const maxPlaces = 16

// step is a segment of the templates that begin alike. The zero step is empty.
type step struct {
	literal map[string]*step
	partial []partial // a parameter with a text before or behind it, as in "{name}.json"
	any     *step     // a parameter alone
	item    *item
}

type partial struct {
	before, behind string
	next           *step
}

// item is a path with its operations by method.
type item struct {
	operations map[string]*Operation
	allowed    []string // sorted, with HEAD and OPTIONS
}

// add puts a template into the tree and returns the names of its parameters in their order.
func (s *step) add(template string, to *item) (names []string, err error) {
	rest, ok := strings.CutPrefix(template, "/")
	if !ok {
		return nil, fmt.Errorf("the path %q does not begin with a slash", template)
	}
	for segment := range strings.SplitSeq(rest, "/") {
		before, name, found := strings.Cut(segment, "{")
		name, behind, closed := strings.Cut(name, "}")
		switch {
		case !found && !strings.Contains(segment, "}"):
			s = s.toLiteral(segment)
			continue
		case !found || !closed || name == "" || strings.ContainsAny(before+behind, "{}"):
			return nil, fmt.Errorf("the segment %q of the path %q is not understood; one parameter in brackets, with text before or behind it, is", segment, template)
		case slices.Contains(names, name):
			return nil, fmt.Errorf("the path %q has the parameter %q twice", template, name)
		}
		if names = append(names, name); len(names) > maxPlaces {
			return nil, fmt.Errorf("the path %q has more than %d parameters", template, maxPlaces)
		}
		s = s.toParameter(before, behind)
	}
	if s.item != nil {
		return nil, fmt.Errorf("another path of the document is the same as %q but for the names of parameters", template)
	}
	s.item = to
	return names, nil
}

func (s *step) toLiteral(segment string) *step {
	next := s.literal[segment]
	if next == nil {
		if s.literal == nil {
			s.literal = map[string]*step{}
		}
		next = new(step)
		s.literal[segment] = next
	}
	return next
}

func (s *step) toParameter(before, behind string) *step {
	if before == "" && behind == "" {
		if s.any == nil {
			s.any = new(step)
		}
		return s.any
	}
	for i := range s.partial {
		if p := &s.partial[i]; p.before == before && p.behind == behind {
			return p.next
		}
	}
	next := new(step)
	s.partial = append(s.partial, partial{before, behind, next})
	slices.SortStableFunc(s.partial, func(a, b partial) int { return len(b.before) + len(b.behind) - len(a.before) - len(a.behind) })
	return next
}

// find finds the item of a path without its first slash, concrete segments before parameters (OpenAPI 3.1, section 4.8.8.2),
// and appends the values of the parameters. It visits each step at most once.
func (s *step) find(rest string, values []string) (*item, []string) {
	segment, more, deeper := strings.Cut(rest, "/")
	if next := s.literal[segment]; next != nil {
		if it, v := next.on(more, deeper, values); it != nil {
			return it, v
		}
	}
	for i := range s.partial {
		p := &s.partial[i]
		if len(segment) <= len(p.before)+len(p.behind) || !strings.HasPrefix(segment, p.before) || !strings.HasSuffix(segment, p.behind) {
			continue
		}
		value := segment[len(p.before) : len(segment)-len(p.behind)]
		if it, v := p.next.on(more, deeper, append(values, value)); it != nil {
			return it, v
		}
	}
	if s.any != nil && segment != "" {
		return s.any.on(more, deeper, append(values, segment))
	}
	return nil, values
}

func (s *step) on(more string, deeper bool, values []string) (*item, []string) {
	if deeper {
		return s.find(more, values)
	}
	return s.item, values
}
