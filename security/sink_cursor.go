package security

import "time"

// cursor is how far the log has come to one sink. Events up to arrived are there.
// Those behind it, up to the end of underWay, were handed to a connection that
// says nothing: they count as arrived when it still stands a minute later, and are
// sent again when it does not. A server that starts again knows of arrived alone,
// and so does the same.
type cursor struct {
	arrived  int64
	underWay []stretch // at most one a second, so some sixty
}

// stretch is the events up to seq, the last of which was handed over within a
// second of at.
type stretch struct {
	seq int64
	at  time.Time
}

const (
	// settleAfter is how long a connection has to stand before what was sent over
	// it counts as arrived: twice as long as it may stand with octets that nobody
	// has taken (package syslog).
	settleAfter = time.Minute
	// stretchOf is how much time shares a stretch.
	stretchOf = time.Second
)

// sent is the newest event that was handed over.
func (c *cursor) sent() int64 {
	if n := len(c.underWay); n > 0 {
		return c.underWay[n-1].seq
	}
	return c.arrived
}

// unsure reports whether there is anything that may not arrive.
func (c *cursor) unsure() bool { return len(c.underWay) > 0 }

// handedOver notes the events up to seq, which have arrived if it is confirmed.
func (c *cursor) handedOver(seq int64, now time.Time, confirmed bool) {
	if confirmed {
		c.arrived = seq
		return
	}
	if n := len(c.underWay); n > 0 && now.Sub(c.underWay[n-1].at) < stretchOf {
		c.underWay[n-1].seq = seq
		return
	}
	c.underWay = append(c.underWay, stretch{seq: seq, at: now})
}

// settle moves what was sent long enough ago to what has arrived, and reports
// whether there was any. The connection stands.
func (c *cursor) settle(now time.Time) bool {
	n := 0
	for n < len(c.underWay) && now.Sub(c.underWay[n].at) >= settleAfter+stretchOf {
		c.arrived = c.underWay[n].seq
		n++
	}
	c.underWay = c.underWay[n:]
	return n > 0
}

// rewind goes back to what has arrived and reports whether anything is to be sent
// again. The connection is broken.
func (c *cursor) rewind() bool {
	again := len(c.underWay) > 0
	c.underWay = nil
	return again
}
