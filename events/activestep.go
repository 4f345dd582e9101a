package events

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
)

// maxActiveSteps bounds the steps of one session that are known as active; beyond
// it the one that began first is forgotten.
const maxActiveSteps = 64

// activeSteps knows which steps are active in the sessions that somebody asks
// about. It knows them from the events that this hub has taken.
type activeSteps struct {
	mu       sync.Mutex
	sessions map[string][]int // the step that began last is the last one
}

// FollowSteps says which sessions' active steps are asked for: these and no others.
// What is known of one that was followed before stays known.
func (h *Hub) FollowSteps(sessions []string) {
	a := &h.steps
	a.mu.Lock()
	defer a.mu.Unlock()
	next := make(map[string][]int, len(sessions))
	for _, s := range sessions {
		next[s] = a.sessions[s]
	}
	a.sessions = next
}

// ActiveStep is the number of the step that began last in a followed session and
// has not ended; nil where there is none.
func (h *Hub) ActiveStep(session string) *int {
	a := &h.steps
	a.mu.Lock()
	defer a.mu.Unlock()
	active := a.sessions[session]
	if len(active) == 0 {
		return nil
	}
	step := active[len(active)-1]
	return &step
}

// take notes an event that was accepted. A step begins with step:spawned or
// step:started and ends with step:completed or step:failed, or with its chain.
func (a *activeSteps) take(ev Event) {
	if !strings.HasPrefix(ev.Type, "step:") && ev.Type != "chain:completed" {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	active, followed := a.sessions[ev.Session]
	if !followed {
		return
	}
	if ev.Type == "chain:completed" {
		a.sessions[ev.Session] = nil
		return
	}
	var step struct {
		StepNumber *int `json:"stepNumber"`
	}
	if err := json.Unmarshal(ev.Data, &step); err != nil || step.StepNumber == nil {
		return // an event may have any form; this one names no step
	}
	switch ev.Type {
	case "step:spawned", "step:started":
		a.sessions[ev.Session] = begin(active, *step.StepNumber)
	case "step:completed", "step:failed":
		a.sessions[ev.Session] = without(active, *step.StepNumber)
	}
}

func begin(active []int, step int) []int {
	active = append(without(active, step), step)
	return active[max(0, len(active)-maxActiveSteps):]
}

func without(active []int, step int) []int {
	return slices.DeleteFunc(active, func(n int) bool { return n == step })
}
