package lifeline

import (
	"math"
	"strconv"

	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/events"
	"github.com/actionflows/lifeline/internal/durations"
	"github.com/actionflows/lifeline/storage/resilient"
)

// historySeconds is how far back the history of a hub reaches.
const historySeconds = 120

// number is a value of the history; none is null.
type number float64

var none = number(math.NaN())

// MarshalJSON implements json.Marshaler.
func (n number) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(n)) {
		return []byte("null"), nil
	}
	return strconv.AppendFloat(nil, float64(n), 'f', -1, 64), nil
}

// statusHistory has one value for each second, the oldest first; null: the hub did not
// run yet.
type statusHistory struct {
	Seconds int `json:"seconds"`

	// Open at the end of the second.
	WebSockets []number `json:"websockets"`
	Streams    []number `json:"streams"`
	LongPolls  []number `json:"longPolls"`

	// Events in the second.
	Received  []number `json:"received"`
	Delivered []number `json:"delivered"`

	// From receipt to delivery, in milliseconds; null: nothing was delivered.
	DelayP50 []number `json:"delayP50"`
	DelayP99 []number `json:"delayP99"`

	SlowConsumers []number `json:"slowConsumers"` // in the second
	Pending       []number `json:"pending"`       // at its end
	Rejected      []number `json:"rejected"`      // by the breakers, in the second
}

// second is one second of a history.
type second struct {
	webSockets, streams, longPolls   number
	received, delivered              number
	delayP50, delayP99               number
	slowConsumers, pending, rejected number
}

var notYet = second{none, none, none, none, none, none, none, none, none, none}

func (h *statusHistory) add(s second) {
	for _, series := range []struct {
		values *[]number
		value  number
	}{
		{&h.WebSockets, s.webSockets},
		{&h.Streams, s.streams},
		{&h.LongPolls, s.longPolls},
		{&h.Received, s.received},
		{&h.Delivered, s.delivered},
		{&h.DelayP50, s.delayP50},
		{&h.DelayP99, s.delayP99},
		{&h.SlowConsumers, s.slowConsumers},
		{&h.Pending, s.pending},
		{&h.Rejected, s.rejected},
	} {
		*series.values = append(*series.values, series.value)
	}
}

// history keeps the last seconds of a hub.
type history struct {
	seconds [historySeconds]second // a ring
	next    int                    // where the next one goes, and the oldest is
	before  counters               // as they were at the end of the newest
}

// counters are what a hub has counted since it was made.
type counters struct {
	received, delivered, slow, rejected uint64
	delivery                            durations.Sum
}

func newHistory() *history {
	h := new(history)
	for i := range h.seconds {
		h.seconds[i] = notYet
	}
	return h
}

// sample adds the second that ends now: what is different from the one before.
func (h *history) sample(now events.Stats, st resilient.Status, breakers []breaker.Stats) {
	c := counters{
		received: sum(now.Received), delivered: sum(now.Delivered), slow: now.SlowConsumers, delivery: now.Delivery,
	}
	for _, b := range breakers {
		c.rejected += b.Rejected
	}
	was := &h.before
	h.seconds[h.next] = second{
		webSockets: number(now.Connections["websocket"]), streams: number(now.Connections["sse"]),
		longPolls: number(now.Connections["poll"]),
		received:  number(c.received - was.received), delivered: number(c.delivered - was.delivered),
		delayP50: delay(0.5, c.delivery, was.delivery), delayP99: delay(0.99, c.delivery, was.delivery),
		slowConsumers: number(c.slow - was.slow), pending: number(st.Pending), rejected: number(c.rejected - was.rejected),
	}
	h.next = (h.next + 1) % historySeconds
	h.before = c
}

// delay is a quantile of the delays between two counts, in milliseconds, to the
// hundredth.
func delay(q float64, now, before durations.Sum) number {
	seconds, ok := now.Quantile(q, before)
	if !ok {
		return none
	}
	return number(math.Round(seconds*1e5) / 100)
}

// last answers the newest n seconds.
func (h *history) last(n int) statusHistory {
	answer := statusHistory{Seconds: historySeconds}
	for i := historySeconds - n; i < historySeconds; i++ {
		answer.add(h.seconds[(h.next+i)%historySeconds])
	}
	return answer
}

// sum adds up what is counted by label.
func sum(counts map[string]uint64) (n uint64) {
	for _, c := range counts {
		n += c
	}
	return n
}
