package seclang

import (
	"fmt"
	"strconv"
	"strings"

	"stormdoor/seclang/internal/parse"
)

// settings are the directives that are no rules.
type settings struct {
	mode              Mode
	requestBody       bool
	requestLimit      int
	requestPartial    bool // a body beyond the limit is inspected up to it; else it is refused
	requestJSONDepth  int
	responseBody      bool
	responseLimit     int
	responsePartial   bool
	responseTypes     []string
	responseJSONDepth int
	arguments         int // how many are taken
}

// defaultSettings are Coraza's.
func defaultSettings() settings {
	return settings{
		mode:              On,
		requestLimit:      128 << 20,
		requestJSONDepth:  1024,
		responseLimit:     512 << 10,
		responseJSONDepth: 1024,
		arguments:         1000,
	}
}

// directives are the directives that take effect, by name in lower case. SecRule, SecAction and those on rules are in
// compile.go and exclude.go.
var directives = map[string]func(*compiler, *parse.Directive) error{
	"secrule":   (*compiler).addRule,
	"secaction": (*compiler).addRule,
	"secmarker": (*compiler).addMarker,

	"secdefaultaction":         (*compiler).defaultAction,
	"secruleremovebyid":        (*compiler).removeByID,
	"secruleremovebytag":       (*compiler).removeByTag,
	"secruleremovebymsg":       (*compiler).removeByMsg,
	"secruleupdatetargetbyid":  (*compiler).updateTargetByID,
	"secruleupdatetargetbytag": (*compiler).updateTargetByTag,
	"secruleupdateactionbyid":  (*compiler).updateActionByID,

	"secruleengine": func(c *compiler, d *parse.Directive) (err error) {
		c.settings.mode, err = modeOf(d.Args)
		return err
	},
	"secrequestbodyaccess":          onOff(func(s *settings) *bool { return &s.requestBody }),
	"secrequestbodylimit":           size(func(s *settings) *int { return &s.requestLimit }),
	"secrequestbodylimitaction":     limitAction(func(s *settings) *bool { return &s.requestPartial }),
	"secrequestbodyjsondepthlimit":  size(func(s *settings) *int { return &s.requestJSONDepth }),
	"secresponsebodyaccess":         onOff(func(s *settings) *bool { return &s.responseBody }),
	"secresponsebodylimit":          size(func(s *settings) *int { return &s.responseLimit }),
	"secresponsebodylimitaction":    limitAction(func(s *settings) *bool { return &s.responsePartial }),
	"secresponsebodyjsondepthlimit": size(func(s *settings) *int { return &s.responseJSONDepth }),
	"secresponsebodymimetype": func(c *compiler, d *parse.Directive) error {
		c.settings.responseTypes = strings.Fields(d.Args)
		return nil
	},
	"secresponsebodymimetypesclear": func(c *compiler, _ *parse.Directive) error {
		c.settings.responseTypes = nil
		return nil
	},
	"secargumentseparator": only("&"),
	"seccookieformat":      only("0"),
	"secargumentslimit":    size(func(s *settings) *int { return &s.arguments }),
}

// withoutEffect are directives that are accepted and listed as notes: what they ask for is done elsewhere, or is not
// needed here.
var withoutEffect = map[string]string{
	"secauditengine":              "the caller writes the log",
	"secauditlog":                 "the caller writes the log",
	"secauditlogparts":            "the caller writes the log",
	"secauditlogtype":             "the caller writes the log",
	"secauditlogformat":           "the caller writes the log",
	"secauditlogrelevantstatus":   "the caller writes the log",
	"secauditlogstoragedir":       "the caller writes the log",
	"secauditlogdirmode":          "the caller writes the log",
	"secauditlogfilemode":         "the caller writes the log",
	"secauditlog2":                "the caller writes the log",
	"secdebuglog":                 "there is no debug log",
	"secdebugloglevel":            "there is no debug log",
	"seccomponentsignature":       "kept nowhere",
	"secdatadir":                  "nothing is written to disk",
	"sectmpdir":                   "nothing is written to disk",
	"secuploaddir":                "nothing is written to disk",
	"secuploadkeepfiles":          "nothing is written to disk",
	"secuploadfilelimit":          "nothing is written to disk",
	"secuploadfilemode":           "nothing is written to disk",
	"secrequestbodyinmemorylimit": "bodies are never written to disk",
	"secrequestbodynofileslimit":  "SecRequestBodyLimit bounds the whole body",
	"secpcrematchlimit":           "expressions take linear time",
	"secpcrematchlimitrecursion":  "expressions take linear time",
	"seccollectiontimeout":        "persistent collections are not kept",
	"secstatusengine":             "nothing is reported to anybody",
	"secserversignature":          "the caller writes the answer",
	"secrxprefilter":              "expressions are always gated",
	"secunicodemapfile":           "unmapped characters decode as they do without a map",
	"secwebappid":                 "kept nowhere",
	"secsensorid":                 "kept nowhere",
}

func (c *compiler) directive(d *parse.Directive) error {
	name := strings.ToLower(d.Name)
	if do := directives[name]; do != nil {
		return do(c, d)
	}
	if why := withoutEffect[name]; why != "" {
		c.note(d.Pos, d.Name+" has no effect: "+why)
		return nil
	}
	return fmt.Errorf("the directive is not supported")
}

func (c *compiler) note(p parse.Pos, text string) {
	c.notes = append(c.notes, Note{File: p.File, Line: p.Line, Text: text})
}

func modeOf(s string) (Mode, error) {
	switch strings.ToLower(s) {
	case "on":
		return On, nil
	case "off":
		return Off, nil
	case "detectiononly":
		return Detect, nil
	}
	return 0, fmt.Errorf("%q: want On, Off or DetectionOnly", s)
}

func parseOnOff(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "on":
		return true, nil
	case "off":
		return false, nil
	}
	return false, fmt.Errorf("%q: want On or Off", s)
}

// only accepts the one value that is implemented.
func only(value string) func(*compiler, *parse.Directive) error {
	return func(_ *compiler, d *parse.Directive) error {
		if d.Args != value {
			return fmt.Errorf("%q is not supported: want %s", d.Args, value)
		}
		return nil
	}
}

func onOff(of func(*settings) *bool) func(*compiler, *parse.Directive) error {
	return func(c *compiler, d *parse.Directive) (err error) {
		*of(&c.settings), err = parseOnOff(d.Args)
		return err
	}
}

func size(of func(*settings) *int) func(*compiler, *parse.Directive) error {
	return func(c *compiler, d *parse.Directive) error {
		n, err := strconv.Atoi(d.Args)
		if err != nil || n < 1 || n > 1<<30 {
			return fmt.Errorf("%q: want a number from 1 to %d", d.Args, 1<<30)
		}
		*of(&c.settings) = n
		return nil
	}
}

func limitAction(of func(*settings) *bool) func(*compiler, *parse.Directive) error {
	return func(c *compiler, d *parse.Directive) error {
		switch strings.ToLower(d.Args) {
		case "reject":
			*of(&c.settings) = false
		case "processpartial":
			*of(&c.settings) = true
		default:
			return fmt.Errorf("%q: want Reject or ProcessPartial", d.Args)
		}
		return nil
	}
}
