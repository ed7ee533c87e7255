package observe

import "github.com/prometheus/client_golang/prometheus"

// CountEach adds a counter with one label, whose values and figures are read when somebody asks for the metrics: each calls
// its argument once for each value. There must be a bound on the values that no visitor can move.
func (m *Metrics) CountEach(name, help, label string, each func(func(value string, n float64))) {
	m.registry.MustRegister(counters{prometheus.NewDesc(name, help, []string{label}, nil), each})
}

type counters struct {
	desc *prometheus.Desc
	each func(func(value string, n float64))
}

// Describe implements prometheus.Collector.
func (c counters) Describe(to chan<- *prometheus.Desc) { to <- c.desc }

// Collect implements prometheus.Collector.
func (c counters) Collect(to chan<- prometheus.Metric) {
	c.each(func(value string, n float64) {
		to <- prometheus.MustNewConstMetric(c.desc, prometheus.CounterValue, n, value)
	})
}

// Counts adds counters that are read when somebody asks for the metrics, one for each set of labels that read adds. They must
// never go down while the program lives, or only all at once.
func (m *Metrics) Counts(name, help string, labels []string, read func(add func(value float64, labels ...string))) {
	m.registry.MustRegister(counts{prometheus.NewDesc(name, help, labels, nil), read})
}

type counts struct {
	desc *prometheus.Desc
	read func(add func(value float64, labels ...string))
}

// Describe implements prometheus.Collector.
func (c counts) Describe(to chan<- *prometheus.Desc) { to <- c.desc }

// Collect implements prometheus.Collector.
func (c counts) Collect(to chan<- prometheus.Metric) {
	c.read(func(value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(c.desc, prometheus.CounterValue, value, labels...)
	})
}
