package operator

import "slices"

// phrases is an Aho-Corasick automaton over lower-case phrases (Aho and Corasick, CACM 18(6), 1975). Searching takes time
// linear in the value's length.
type phrases struct {
	root  [256]int32 // from the root, by byte; 0 stays there
	nodes []phraseNode
	// labels and targets hold the edges of all other nodes, those of a node together and in order of their labels.
	labels  []byte
	targets []int32
}

type phraseNode struct {
	fail       int32 // the node of the longest proper suffix that is a node
	edge       int32 // where the node's edges begin
	edges      int32 // how many there are
	depth      int32
	longestEnd int32 // the length of the longest phrase that ends here, 0 for none
}

// trieNode is a node while the tree grows.
type trieNode struct {
	next map[byte]int32
	end  bool
}

// buildPhrases builds the automaton; no phrase may be empty.
func buildPhrases(list []string) *phrases {
	trie := []trieNode{{next: map[byte]int32{}}}
	for _, phrase := range list {
		at := int32(0)
		for i := 0; i < len(phrase); i++ {
			to, ok := trie[at].next[phrase[i]]
			if !ok {
				to = int32(len(trie))
				trie = append(trie, trieNode{next: map[byte]int32{}})
				trie[at].next[phrase[i]] = to
			}
			at = to
		}
		trie[at].end = true
	}
	p := &phrases{nodes: make([]phraseNode, len(trie))}
	for n := range trie {
		labels := make([]byte, 0, len(trie[n].next))
		for c := range trie[n].next {
			labels = append(labels, c)
		}
		slices.Sort(labels)
		p.nodes[n].edge, p.nodes[n].edges = int32(len(p.labels)), int32(len(labels))
		for _, c := range labels {
			p.labels = append(p.labels, c)
			p.targets = append(p.targets, trie[n].next[c])
		}
	}
	for c, to := range trie[0].next {
		p.root[c] = to
	}
	p.link(trie)
	return p
}

// link fills in depths, failure links and ends, nearest to the root first.
func (p *phrases) link(trie []trieNode) {
	queue := []int32{0}
	for len(queue) > 0 {
		n := queue[0]
		queue = queue[1:]
		at := p.nodes[n]
		for e := at.edge; e < at.edge+at.edges; e++ {
			child := &p.nodes[p.targets[e]]
			child.depth = at.depth + 1
			if n != 0 {
				child.fail = p.step(at.fail, p.labels[e])
			}
			if trie[p.targets[e]].end {
				child.longestEnd = child.depth
			} else {
				child.longestEnd = p.nodes[child.fail].longestEnd
			}
			queue = append(queue, p.targets[e])
		}
	}
}

// step returns the node after n and a byte.
func (p *phrases) step(n int32, c byte) int32 {
	for n != 0 {
		at := &p.nodes[n]
		labels := p.labels[at.edge : at.edge+at.edges]
		for i, label := range labels {
			if label == c {
				return p.targets[at.edge+int32(i)]
			}
		}
		n = at.fail
	}
	return p.root[c]
}

// next finds a phrase in value from a position on: the first that ends, or with leftmost the longest of those that begin first.
// It returns where that is, or -1.
func (p *phrases) next(value string, from int, leftmost bool) (start, end int) {
	start = -1
	n := int32(0)
	for i := from; i < len(value); i++ {
		c := value[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		n = p.step(n, c)
		at := &p.nodes[n]
		if start >= 0 && i+1-int(at.depth) > start {
			break // nothing that is still under way began as early
		}
		if at.longestEnd == 0 {
			continue
		}
		if begin := i + 1 - int(at.longestEnd); start < 0 || begin <= start {
			start, end = begin, i+1
		}
		if !leftmost {
			break
		}
	}
	return start, end
}
