package seclang

import (
	"io/fs"

	"stormdoor/seclang/internal/parse"
)

// CompilePlain compiles without working anything out before: the twin that the tests hold Compile against.
func CompilePlain(fsys fs.FS, o Options) (*Ruleset, error) {
	directives, err := parse.Text(fsys, "directives", o.Directives)
	if err != nil {
		return nil, err
	}
	return compile(fsys, directives, nil, true)
}

// AllTX returns the TX variables that are set. Captures are left out: rules without a gate try, and capture, more often.
func (t *Transaction) AllTX() map[string]string {
	all := map[string]string{}
	for i, name := range t.rules.program.tx.names {
		if v := t.tx.slots[i]; i >= captureSlots && v.kind != unset {
			all[name] = t.text(v)
		}
	}
	for i := range t.tx.others {
		if o := &t.tx.others[i]; o.value.kind != unset {
			all[o.name] = t.text(o.value)
		}
	}
	return all
}
