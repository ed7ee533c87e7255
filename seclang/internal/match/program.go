package match

import (
	"fmt"
	"regexp/syntax"
	"slices"
	"sync"
	"unicode"
	"unicode/utf8"
)

// opcode says what an instruction does.
type opcode uint8

const (
	opFail  opcode = iota // nothing goes on from here
	opNop                 // goes on at out
	opAlt                 // goes on at out and at arg
	opRune                // takes a rune of set arg, goes on at out
	opEmpty               // goes on at out where the assertions arg (a syntax.EmptyOp) hold
	opStick               // goes on at out, in a sticky part of the pattern
	opMatch               // the pattern matches
)

// inst is one instruction of a program: opcode, pattern, out and arg, from the lowest bit on. Its address is its index.
type inst uint64

const (
	opBits      = 3
	patternBits = 16
	addressBits = 22 // of out, and of arg

	maxPatterns = 1 << patternBits // that a program can hold
	maxInsts    = 1 << addressBits
)

func newInst(op opcode, pattern int, out, arg uint32) inst {
	return inst(op) | inst(pattern)<<opBits | inst(out)<<(opBits+patternBits) | inst(arg)<<(opBits+patternBits+addressBits)
}

func (in inst) op() opcode   { return opcode(in & (1<<opBits - 1)) }
func (in inst) pattern() int { return int(in >> opBits & (maxPatterns - 1)) }
func (in inst) out() uint32  { return uint32(in >> (opBits + patternBits) & (maxInsts - 1)) }
func (in inst) arg() uint32  { return uint32(in >> (opBits + patternBits + addressBits)) }

// A program holds the instructions of all patterns, over one alphabet. It is immutable.
type program struct {
	insts    []inst
	top      rune     // the largest rune of the alphabet
	patterns []extent // by pattern
	alphabet *alphabet
	members  []Bits // classes in each set of runes
	word     Bits   // classes of word characters, as \b means them
	newline  uint16 // the class of '\n', which it has for itself
	sticky   Bits   // the patterns that have an opStick
	// What is passed from the patterns' starts on without taking a rune: in all, and up to the sticky parts.
	starts, fronts [kinds]Bits
	alone          []lone // by pattern
	pool           *sync.Pool
}

// extent is where a pattern's instructions are: first to end-1, begun at start. It is empty for a pattern that the program
// leaves out.
type extent struct{ first, end, start uint32 }

// compiler gathers patterns into a program.
type compiler struct {
	program
	sets    runeSets
	singles map[singleRune]uint32 // sets of one ASCII rune, folded or not
	stuck   []int                 // patterns that have an opStick
}

// singleRune names the set of a rune, folded or not, cut off at top.
type singleRune struct {
	r    rune
	fold bool
	top  rune
}

func newCompiler(top rune) *compiler {
	return &compiler{program: program{top: top}, singles: map[singleRune]uint32{}}
}

// skip numbers the next pattern and leaves it out.
func (c *compiler) skip() { c.patterns = append(c.patterns, extent{}) }

// add numbers the next pattern and appends its instructions. No instruction takes a rune above top.
func (c *compiler) add(re *syntax.Regexp, top rune) error {
	e := extent{first: uint32(len(c.insts))}
	branches := []*syntax.Regexp{re}
	if re.Op == syntax.OpAlternate { // one by one: package syntax moves a long program again and again while it grows
		branches = re.Sub
	}
	for i, branch := range branches {
		start, err := c.branch(branch, top)
		if err != nil {
			return err
		}
		if i > 0 {
			c.insts = append(c.insts, newInst(opAlt, len(c.patterns), start, e.start))
			start = uint32(len(c.insts) - 1)
		}
		e.start = start
	}
	e.end = uint32(len(c.insts))
	if e.end >= maxInsts {
		return fmt.Errorf("the patterns have more than %d instructions", maxInsts)
	}
	c.patterns = append(c.patterns, e)
	return nil
}

// branch appends the instructions of a pattern, or of one branch of it, and returns where they start.
func (c *compiler) branch(re *syntax.Regexp, top rune) (start uint32, err error) {
	prog, err := syntax.Compile(re)
	if err != nil {
		return 0, err
	}
	base, pattern := uint32(len(c.insts)), len(c.patterns)
	for i := range prog.Inst {
		in := &prog.Inst[i]
		op, arg := opFail, uint32(0)
		switch in.Op {
		case syntax.InstFail:
		case syntax.InstNop:
			op = opNop
		case syntax.InstCapture: // the mark of stick, which takes all others away
			op = opStick
			c.stuck = append(c.stuck, pattern)
		case syntax.InstAlt, syntax.InstAltMatch:
			op, arg = opAlt, base+in.Arg
		case syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
			op, arg = opRune, c.set(in, top)
		case syntax.InstEmptyWidth:
			op, arg = opEmpty, in.Arg
		case syntax.InstMatch:
			op = opMatch
		default:
			return 0, fmt.Errorf("instruction %v is not known", in.Op)
		}
		c.insts = append(c.insts, newInst(op, pattern, base+in.Out, arg))
	}
	return base + uint32(prog.Start), nil
}

// set returns the number of the set of runes that in takes. Most instructions take one ASCII letter.
func (c *compiler) set(in *syntax.Inst, top rune) uint32 {
	single := in.Op == syntax.InstRune1 || in.Op == syntax.InstRune && len(in.Rune) == 1
	if !single || in.Rune[0] >= utf8.RuneSelf {
		return c.sets.add(accepted(in), top)
	}
	key := singleRune{in.Rune[0], syntax.Flags(in.Arg)&syntax.FoldCase != 0, top}
	id, ok := c.singles[key]
	if !ok {
		id = c.sets.add(accepted(in), top)
		c.singles[key] = id
	}
	return id
}

// accepted returns the ranges of runes that in takes, folded where it folds case.
func accepted(in *syntax.Inst) []rune {
	switch in.Op {
	case syntax.InstRuneAny:
		return []rune{0, unicode.MaxRune}
	case syntax.InstRuneAnyNotNL:
		return []rune{0, '\n' - 1, '\n' + 1, unicode.MaxRune}
	}
	if len(in.Rune) != 1 { // ranges; the parser has folded them already
		return in.Rune
	}
	r := in.Rune[0]
	pairs := []rune{r, r}
	if syntax.Flags(in.Arg)&syntax.FoldCase != 0 {
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			pairs = append(pairs, f, f)
		}
	}
	return pairs
}

// finish divides the alphabet and returns the program.
func (c *compiler) finish() *program {
	word := c.sets.add([]rune{'0', '9', 'A', 'Z', '_', '_', 'a', 'z'}, c.top)
	line := c.sets.add([]rune{'\n', '\n'}, c.top)
	c.sets.add([]rune{0, utf8.RuneSelf - 1}, c.top) // no class holds ASCII and other runes
	p := c.program
	p.insts = slices.Clone(p.insts) // without what append has kept in reserve
	p.pool = newPool(&p)
	p.sticky, p.alone = NewBits(len(p.patterns)), make([]lone, len(p.patterns))
	for _, pattern := range c.stuck {
		p.sticky.Set(pattern)
	}
	p.alphabet, p.members = c.sets.divide(c.top)
	p.word = p.members[word]
	for class := range p.members[line].All() {
		p.newline = uint16(class)
	}
	p.starts, p.fronts = p.passed(false), p.passed(true)
	return &p
}

// known returns what is passed from the patterns' starts on by machines that end in front of sticky parts, or by the others.
func (p *program) known(front bool) *[kinds]Bits {
	if front {
		return &p.fronts
	}
	return &p.starts
}

// passed works out what known returns.
func (p *program) passed(front bool) (all [kinds]Bits) {
	w := p.workspace()
	defer p.release(w)
	m := &machine{program: p, front: front}
	for k := range kinds {
		w.reset(k)
		for _, e := range p.patterns {
			if e.end > e.first {
				m.follow(w, e.start)
			}
		}
		all[k] = NewBits(len(p.insts))
		for _, pc := range w.passed {
			all[k].Set(int(pc))
		}
	}
	return all
}
