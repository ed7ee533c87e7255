package cache

// Stats are figures for metrics. Those that are not of the moment only grow.
type Stats struct {
	Resources, Bytes   int64  // stored now
	UnderWay, Waiting  int64  // bytes that come in, and visitors who wait for another's fetch, now
	Evicted, Refreshed uint64 // resources that made room; answers renewed while no visitor waited
	Exploding          int    // paths that explode now
	Collapsed          uint64 // requests whose address was taken for a plainer one
	Disk               DiskStats
}

// DiskStats are figures of what lies on disk; the zero value where nothing does.
type DiskStats struct {
	Ready          bool   // the index is complete: what lies there is used
	Answers, Bytes int64  // there now
	Hits           uint64 // answers that came from there
	Written, Lost  uint64 // answers that went there, and that could not because it was full, slow or refused them
	Failures       uint64 // times that it refused something, was too slow or had damaged what it was given
}

// Stats reads the figures.
func (c *Cache) Stats() Stats {
	s := Stats{UnderWay: c.filling.Load(), Waiting: c.waiting.Load(), Evicted: c.store.evicted.Load(), Refreshed: c.refreshed.Load(), Exploding: c.bust.exploding(c.now()), Collapsed: c.bust.collapsed.Load()}
	s.Resources, s.Bytes = c.store.usage()
	if t := c.tier; t != nil {
		s.Disk = DiskStats{Hits: t.hits.Load(), Written: t.written.Load(), Lost: t.lost.Load(), Failures: t.failures.Load()}
		s.Disk.Answers, s.Disk.Bytes, s.Disk.Ready = t.usage()
	}
	return s
}
