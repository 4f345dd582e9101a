package breaker

import "fmt"

// State is what callers of a breaker meet. It is written in JSON and text as
// "closed", "open" or "half-open".
type State uint8

const (
	// Closed admits every call.
	Closed State = iota
	// Open rejects every call.
	Open
	// HalfOpen admits a few probes and rejects all other calls.
	HalfOpen
)

var stateNames = [...]string{Closed: "closed", Open: "open", HalfOpen: "half-open"}

// String returns "closed", "open" or "half-open".
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}

// MarshalText returns the name of the state. An unknown state is an error.
func (s State) MarshalText() ([]byte, error) {
	if int(s) < len(stateNames) {
		return []byte(stateNames[s]), nil
	}
	return nil, fmt.Errorf("breaker: unknown state %d", uint8(s))
}

// UnmarshalText accepts exactly the names that MarshalText writes.
func (s *State) UnmarshalText(text []byte) error {
	for i, name := range stateNames {
		if name == string(text) {
			*s = State(i)
			return nil
		}
	}
	return fmt.Errorf("breaker: unknown state %q: want closed, open or half-open", text)
}

// HoldState is a state that an operator imposes with [Breaker.Hold]. Its zero
// value means that there is no hold. It is written in JSON and text as
// "forced-open" or "disabled", and as "" without a hold.
type HoldState uint8

const (
	// ForcedOpen rejects every call.
	ForcedOpen HoldState = iota + 1
	// Disabled admits every call and lets no failure open the breaker.
	Disabled
)

var holdNames = [...]string{"", ForcedOpen: "forced-open", Disabled: "disabled"}

// String returns "forced-open", "disabled", or "" for no hold.
func (h HoldState) String() string {
	if int(h) < len(holdNames) {
		return holdNames[h]
	}
	return fmt.Sprintf("HoldState(%d)", uint8(h))
}

// MarshalText returns the name of the hold. An unknown hold is an error.
func (h HoldState) MarshalText() ([]byte, error) {
	if int(h) < len(holdNames) {
		return []byte(holdNames[h]), nil
	}
	return nil, fmt.Errorf("breaker: unknown hold %d", uint8(h))
}

// UnmarshalText accepts exactly the names that MarshalText writes, so an
// operator's input can be read with it.
func (h *HoldState) UnmarshalText(text []byte) error {
	for i, name := range holdNames {
		if name == string(text) {
			*h = HoldState(i)
			return nil
		}
	}
	return fmt.Errorf("breaker: unknown hold %q: want forced-open or disabled", text)
}
