package admission

import (
	"math/bits"
	"time"
)

// quantiles counts durations in classes that are a fourth of their lower end wide, from 16 us to a minute or so. When a class
// is full, all are halved, so that the old fades. The zero value is empty.
type quantiles struct {
	count [quantileClasses]uint16
	n     uint32
}

const (
	quantileClasses = 4 * 22
	quantileUnit    = 16 * time.Microsecond
)

func (q *quantiles) add(d time.Duration) {
	i := quantileClass(d)
	if q.count[i] == 1<<16-1 {
		q.n = 0
		for j := range q.count {
			q.count[j] /= 2
			q.n += uint32(q.count[j])
		}
	}
	q.count[i]++
	q.n++
}

// at returns the duration that a share of those counted did not exceed, to the upper end of its class; 0 when there are none.
func (q *quantiles) at(share float64) time.Duration {
	left := int64(share * float64(q.n))
	for i, c := range q.count {
		if left -= int64(c); left < 0 {
			return quantileEnd(i)
		}
	}
	return 0
}

// quantileClass is the class of a duration: its octave and the next two bits.
func quantileClass(d time.Duration) int {
	u := uint64(max(0, d)/quantileUnit) + 4
	octave := bits.Len64(u) - 3
	return min(4*octave+int(u>>octave&3), quantileClasses-1)
}

func quantileEnd(i int) time.Duration {
	octave, part := i/4, i%4
	return time.Duration((uint64(5+part)<<octave)-4) * quantileUnit
}
