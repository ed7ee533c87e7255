package observe

import (
	"net/http"
	"strconv"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"stormdoor/flow"
)

// Metrics are the door's counters for Prometheus. Labels are sites, reasons, stages and status classes: bounded by the
// policy and by the code, never by what a visitor sends.
type Metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	ended    *prometheus.CounterVec
	judged   *prometheus.CounterVec
	took     *prometheus.HistogramVec
	origin   *prometheus.HistogramVec
	bytes    *prometheus.CounterVec
	retries  *prometheus.CounterVec
	cached   *prometheus.CounterVec
	ranked   *prometheus.CounterVec
	bound    atomic.Pointer[map[string]*siteMetrics]
}

// siteMetrics are one site's series, bound once so that counting costs a few nanoseconds.
type siteMetrics struct {
	class           [6]prometheus.Counter // by status/100; 0 for "no answer"
	took, origin    prometheus.Observer
	in, out, retry  prometheus.Counter
	ended           map[flow.Reason]prometheus.Counter
	refused, noted  map[flow.Reason]prometheus.Counter
	admitted, waits prometheus.Counter
	cached          map[flow.CacheResult]prometheus.Counter
	ranked          map[string]*[2]prometheus.Counter // by priority: admitted, refused
}

// NewMetrics returns metrics without any site; Bind adds the sites of a policy.
func NewMetrics(version string) *Metrics {
	buckets := []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "stormdoor_requests_total", Help: "Requests by site and class of the status answered; class \"none\" got no answer."}, []string{"site", "class"}),
		ended:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "stormdoor_ended_total", Help: "Requests that did not end by a complete answer, by reason."}, []string{"site", "reason"}),
		judged:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "stormdoor_verdicts_total", Help: "Verdicts of the stages by action and reason; action \"dry\" was only noted."}, []string{"site", "action", "reason"}),
		took:     prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "stormdoor_request_seconds", Help: "Time from the head of a request to the last byte of its answer.", Buckets: buckets}, []string{"site"}),
		origin:   prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "stormdoor_origin_seconds", Help: "Time that the origin took until the head of its answer.", Buckets: buckets}, []string{"site"}),
		bytes:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "stormdoor_body_bytes_total", Help: "Bytes of bodies by direction."}, []string{"site", "direction"}),
		retries:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "stormdoor_origin_retries_total", Help: "Further attempts at an origin for the same request."}, []string{"site"}),
		ranked:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "stormdoor_admission_total", Help: "Requests that found no free place at the origin, by priority and what followed."}, []string{"site", "priority", "result"}),
	}
	m.cached = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "stormdoor_cache_requests_total", Help: "Requests that the cache was asked, by what it did."}, []string{"site", "result"})
	info := prometheus.NewGauge(prometheus.GaugeOpts{Name: "stormdoor_build_info", Help: "1, with the version as label.", ConstLabels: prometheus.Labels{"version": version}})
	info.Set(1)
	m.registry.MustRegister(m.requests, m.ended, m.judged, m.took, m.origin, m.bytes, m.retries, m.cached, m.ranked, info,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.Bind(nil)
	return m
}

// Gauge adds a figure that is read when somebody asks for the metrics.
func (m *Metrics) Gauge(name, help string, labels map[string]string, read func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, read))
}

// Count adds a counter that is read when somebody asks for the metrics. It must never go down.
func (m *Metrics) Count(name, help string, labels map[string]string, read func() float64) {
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels}, read))
}

// Gauges adds figures that are read when somebody asks for the metrics, one for each set of labels that read adds.
func (m *Metrics) Gauges(name, help string, labels []string, read func(add func(value float64, labels ...string))) {
	m.registry.MustRegister(gauges{prometheus.NewDesc(name, help, labels, nil), read})
}

// gauges is a prometheus.Collector.
type gauges struct {
	desc *prometheus.Desc
	read func(add func(value float64, labels ...string))
}

func (g gauges) Describe(out chan<- *prometheus.Desc) { out <- g.desc }

func (g gauges) Collect(out chan<- prometheus.Metric) {
	g.read(func(value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(g.desc, prometheus.GaugeValue, value, labels...)
	})
}

// Bind makes the series of the sites. Requests for no site are counted under the site "".
func (m *Metrics) Bind(sites []string) {
	bound := map[string]*siteMetrics{}
	for _, s := range append([]string{""}, sites...) {
		bound[s] = m.site(s)
	}
	m.bound.Store(&bound)
}

func (m *Metrics) site(name string) *siteMetrics {
	s := &siteMetrics{
		took: m.took.WithLabelValues(name), origin: m.origin.WithLabelValues(name), retry: m.retries.WithLabelValues(name),
		in: m.bytes.WithLabelValues(name, "in"), out: m.bytes.WithLabelValues(name, "out"),
		ended: map[flow.Reason]prometheus.Counter{}, refused: map[flow.Reason]prometheus.Counter{}, noted: map[flow.Reason]prometheus.Counter{},
		admitted: m.judged.WithLabelValues(name, "admit", ""),
		waits:    m.judged.WithLabelValues(name, "delay", ""),
		cached:   map[flow.CacheResult]prometheus.Counter{},
	}
	for _, r := range flow.CacheResults {
		s.cached[r] = m.cached.WithLabelValues(name, string(r))
	}
	s.ranked = map[string]*[2]prometheus.Counter{}
	for _, p := range flow.Priorities {
		s.ranked[p] = &[2]prometheus.Counter{m.ranked.WithLabelValues(name, p, "admitted"), m.ranked.WithLabelValues(name, p, "refused")}
	}
	for i := range s.class {
		class := strconv.Itoa(i) + "xx"
		if i == 0 {
			class = "none"
		}
		s.class[i] = m.requests.WithLabelValues(name, class)
	}
	for _, r := range flow.Reasons {
		s.ended[r.Reason] = m.ended.WithLabelValues(name, string(r.Reason))
		s.refused[r.Reason] = m.judged.WithLabelValues(name, "refuse", string(r.Reason))
		s.noted[r.Reason] = m.judged.WithLabelValues(name, "dry", string(r.Reason))
	}
	return s
}

func (m *Metrics) record(o *flow.Outcome) {
	bound := *m.bound.Load()
	s := bound[o.Facts.Site]
	if s == nil {
		s = bound[""]
	}
	class := o.Status / 100
	if class < 0 || class >= len(s.class) {
		class = 0
	}
	s.class[class].Inc()
	s.took.Observe(o.Took.Seconds())
	if o.OriginTime > 0 {
		s.origin.Observe(o.OriginTime.Seconds())
	}
	if o.BytesIn > 0 {
		s.in.Add(float64(o.BytesIn))
	}
	if o.BytesOut > 0 {
		s.out.Add(float64(o.BytesOut))
	}
	if o.Attempts > 1 {
		s.retry.Add(float64(o.Attempts - 1))
	}
	if o.Cache != "" {
		inc(s.cached[o.Cache])
	}
	if o.End != "" {
		inc(s.ended[o.End])
	}
	switch {
	case o.Verdict.Action >= flow.Challenge:
		inc(s.refused[o.Verdict.Reason])
	case o.Verdict.Action == flow.Admit:
		s.admitted.Inc()
	case o.Verdict.Delay > 0:
		s.waits.Inc()
	}
	if r := s.ranked[o.Priority]; r != nil {
		if o.Verdict.Action >= flow.Challenge {
			r[1].Inc()
		} else {
			r[0].Inc()
		}
	}
	if o.Dry.Action != flow.Continue {
		inc(s.noted[o.Dry.Reason])
	}
}

func inc(c prometheus.Counter) {
	if c != nil {
		c.Inc()
	}
}

// Handler serves the metrics in the format of Prometheus.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}
