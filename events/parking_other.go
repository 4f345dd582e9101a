//go:build !linux

package events

import "errors"

// parking exists on Linux only; elsewhere a goroutine waits for each silent
// WebSocket.
type parking struct{}

func newParking() (*parking, error) { return nil, errors.ErrUnsupported }

func (*parking) close()            {}
func (*parking) run()              {}
func (*parking) park(*wsConn) bool { return false }
func (*parking) forget(*wsConn)    {}
