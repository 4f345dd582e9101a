package faultmatrix

import (
	"testing"
	"time"
)

// What nodes say is compared with what is the case, each in its place.
func TestClaims(t *testing.T) {
	began := time.Now()
	later := visit{began: began.Add(time.Second)}
	pending, plain, duplicate := reply{Pending: true}, reply{}, reply{Duplicate: true}
	for name, c := range map[string]struct {
		trouble trouble
		nodes   []int
		v       visit
		r       reply
		page    bool // it is shown, else acknowledged
		wrong   bool
	}{
		"taken, Redis is away":                     {redisAway, []int{0}, later, plain, false, true},
		"taken as pending, Redis is away":          {redisAway, []int{0}, later, pending, false, false},
		"there already, Redis is away":             {redisAway, []int{0}, later, duplicate, false, false},
		"asked before Redis was away":              {redisAway, []int{0}, visit{began: began.Add(-1)}, plain, false, false},
		"taken, Redis is away for another":         {redisAway, []int{1}, later, plain, false, false},
		"taken, Redis takes nothing":               {redisRefuses, []int{0}, later, plain, false, true},
		"taken as pending, the journal is full":    {journalFull, []int{0}, later, pending, false, true},
		"shown, Redis is away":                     {redisAway, []int{0}, later, plain, true, true},
		"shown as degraded, Redis is away":         {redisAway, []int{0}, later, reply{Degraded: true}, true, false},
		"shown, Redis takes nothing, but is there": {redisRefuses, []int{0}, later, plain, true, false},
	} {
		all := claims{troubles: map[trouble]affected{c.trouble: {began, c.nodes}}, struck: began}
		if c.r.visit = c.v; c.page {
			all.shown("somebody", c.r)
		} else {
			all.acknowledged(&published{}, c.v, c.r)
		}
		if got := len(all.verdict()) > 0; got != c.wrong {
			t.Errorf("%s: wrong is %v: %v", name, got, all.verdict())
		}
	}
}

// That there is trouble may be told before the fault only if storage was slow.
func TestAlarms(t *testing.T) {
	var c claims
	c.shown("somebody", reply{Degraded: true})
	c.acknowledged(&published{}, visit{}, reply{Pending: true})
	if got := c.verdict(); len(got) != 2 {
		t.Errorf("of two alarms %v", got)
	}
	c.asked(time.Now().Add(-2 * slowStorage))
	if got := c.verdict(); len(got) != 0 {
		t.Errorf("storage was slow: %v", got)
	}
	var late claims
	late.calmEnds()
	late.shown("somebody", reply{Degraded: true})
	late.asked(time.Now().Add(time.Second))
	if got := late.verdict(); len(got) != 0 {
		t.Errorf("the fault has begun: %v", got)
	}
}
