package stormdoor

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
)

const stamp = "2006-01-02 15:04:05"

// String writes the report for a person.
func (r Report) String() string {
	var b strings.Builder
	r.head(&b)
	for i := range r.Cases {
		r.Cases[i].write(&b, r)
	}
	if r.Incomplete != "" {
		fmt.Fprintf(&b, "\nThis tells of a part of the log only: %s\n", r.Incomplete)
	}
	fmt.Fprintf(&b, "\n%s\n", r.Conclusion)
	return b.String()
}

func (r Report) head(b *strings.Builder) {
	fmt.Fprintf(b, "%s of %s in %s (%s), %s to %s UTC\n", counted(int(r.Requests), "request"), counted(r.Clients, "client"), r.Log, r.Format,
		r.From.Format(stamp), r.To.Format(stamp))
	if r.Malformed > 0 {
		fmt.Fprintf(b, "malformed lines, left out: %s\n", thousands(r.Malformed))
		for _, m := range r.Examples {
			fmt.Fprintf(b, "  line %d: %s: %s\n", m.Line, m.Why, m.Text)
		}
	}
	if r.StepsBack > 0 {
		fmt.Fprintf(b, "time went back by more than an hour %d times: are these several logs in one?\n", r.StepsBack)
	}
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, s := range r.Sites {
		name := "site " + s.Site
		if s.Site == "" {
			name = "no site"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t\n", name, thousands(s.Requests), percent(s.Share))
	}
	t.Flush()
	fmt.Fprintf(b, "good visitors: %s (answered well, less than half of it failed, at most %s requests in a minute)\n",
		thousands(int64(r.Good)), thousands(int64(r.GoodPeak)))
	if r.Forgotten > 0 {
		fmt.Fprintf(b, "only the first %s clients were told apart; %s requests came from others, which are judged and counted, but not among the clients\n",
			thousands(int64(r.Clients)), thousands(r.Forgotten))
	}
}

func (c *ReportCase) write(b *strings.Builder, r Report) {
	title := "While the origins are well"
	switch {
	case len(r.Cases) == 1 && !c.Hot:
		title = "At all times, for nothing in the policy acts only while an origin is in trouble"
	case c.Hot:
		title = "If the origins had been in trouble all the time"
	}
	fmt.Fprintf(b, "\n%s:\n  %s passed (%s), %s refused (%s), %s held back (%s)", title, thousands(c.Passed), percent(share(c.Passed, r.Requests)),
		thousands(c.Refused), percent(share(c.Refused, r.Requests)), thousands(c.Delayed), percent(share(c.Delayed, r.Requests)))
	if c.Delayed > 0 {
		fmt.Fprintf(b, ", for %s at most", seconds(c.Longest))
	}
	b.WriteByte('\n')
	writeCauses(b, "by", c.Causes)
	writeCauses(b, "on dry runs, only noted, by", c.Dry)
	if c.Touched > 0 {
		fmt.Fprintf(b, "  clients touched: %s; the most touched\n", thousands(int64(c.Touched)))
		writeClients(b, c.Clients)
	}
	fmt.Fprintf(b, "  good visitors touched: %s of %s", thousands(int64(c.TouchedGood)), thousands(int64(r.Good)))
	if c.TouchedGood > 0 {
		b.WriteString("; the most touched\n")
		writeClients(b, c.GoodClients)
	} else {
		b.WriteByte('\n')
	}
	if c.Failures > 0 {
		fmt.Fprintf(b, "  %s times a stage could not judge a request; the first time: %s\n", thousands(c.Failures), c.Failure)
	}
	if c.Full > 0 {
		fmt.Fprintf(b, "  the limit table was full %s times, so that some clients were counted together: enlarge limit_table.memory\n", thousands(int64(c.Full)))
	}
}

func writeCauses(b *strings.Builder, title string, causes []ReportCause) {
	if len(causes) == 0 {
		return
	}
	fmt.Fprintf(b, "  %s\n", title)
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	for _, c := range causes {
		fmt.Fprintf(t, "    %s\t%s\t%s\t%s\t%s to %s\tworst minute %s: %s\n", strings.TrimSpace(c.Action+" "+c.Stage), strings.TrimSpace(c.Rule+" ("+string(c.Reason)+")"),
			thousands(c.Requests), percent(c.Share), c.First.Format(stamp), c.Last.Format(stamp), c.Worst.Format("2006-01-02 15:04"), thousands(c.InWorst))
	}
	t.Flush()
}

func writeClients(b *strings.Builder, clients []ReportClient) {
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	for _, c := range clients {
		looks := "good"
		if !c.Good {
			looks = "not good: " + c.Why
		}
		agent := c.UserAgent
		if agent == "" {
			agent = "-"
		}
		fmt.Fprintf(t, "    %s\t%s of %s refused\t%s held back\t%s\t%s\t%q\n", c.Client, thousands(c.Refused), thousands(c.Requests), thousands(c.Delayed), c.Cause, looks, agent)
	}
	t.Flush()
}

func seconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(time.Millisecond).String()
}

// percent writes a share so that little does not look like nothing.
func percent(share float64) string {
	p := share * 100
	switch {
	case p > 0 && p < 0.01:
		return "< 0.01 %"
	case p < 100 && p > 99.99:
		return "> 99.99 %"
	}
	return fmt.Sprintf("%.2f %%", p)
}
