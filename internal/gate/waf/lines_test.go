package waf

import (
	"fmt"
	"strings"
	"testing"

	"stormdoor/flow"
	"stormdoor/policy"
)

func TestLinesOfCalendarsAndCards(t *testing.T) {
	body := "BEGIN:VCALENDAR\r\nATTENDEE;CN=\"Li; Anna\";ROLE=CHAIR:mailto:anna@example.org\r\nDESCRIPTION:One\r\n  and two\r\n\there\r\nno line\r\nA'B;C:d\r\nX-A;=v;D:w"
	var got []string
	for _, a := range linesOf([]byte(body)) {
		got = append(got, a.Name+"="+a.Value)
	}
	want := "line.begin=VCALENDAR|line.attendee=mailto:anna@example.org|line.attendee.cn=Li; Anna|line.attendee.role=CHAIR|line.description=One and twohere|line=no line|line=A'B;C:d|line.x-a=w|line.x-a.=v|line.x-a.d="
	if strings.Join(got, "|") != want {
		t.Errorf("%s\nwant\n%s", strings.Join(got, "|"), want)
	}
}

// A calendar is judged by what its lines hold: nothing in it is taken for a form, and an attack is found in any place.
func TestCalendarsAreJudgedByTheirLines(t *testing.T) {
	s := stage(t, policy.WAFBlocks, nil)
	const calendar = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\nRRULE:FREQ=WEEKLY;COUNT=52;INTERVAL=1;BYDAY=MO,WE,FR;WKST=SU\r\nATTENDEE;CN=Anna;X-REF=\"/calendars/__uids__/user01\r\n \";X-STAMP=20260827T171052Z:mailto:anna@example.org\r\nDESCRIPTION:It's open & free; bring a=1\\, please\r\n%s\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
	for line, refused := range map[string]bool{
		"SUMMARY:Doors open": false,
		"SUMMARY:1' UNION SELECT pass\r\n word FROM users--":             true,
		"ATTENDEE;CN=\"<script>alert(1)</script>\":mailto:a@example.org": true,
		"<script>alert(1)</script>":                                      true,
		"{\"a\":\"1' UNION SELECT password FROM users--\"}":              true,
	} {
		for _, kind := range []string{"text/calendar; charset=utf-8", "text/vcard"} {
			body := fmt.Sprintf(calendar, line)
			f := facts("PUT", "/calendars/anna/1.ics", "", "Content-Type", kind, "Content-Length", fmt.Sprint(len(body)))
			f.Length = int64(len(body))
			v, held := s.Inspect(f, strings.NewReader(body))
			held.Release()
			if (v.Action == flow.Refuse) != refused {
				t.Errorf("%s, %q: %+v %+v", kind, line, v, v.Found)
			}
		}
	}
}
