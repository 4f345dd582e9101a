package storage

import (
	"fmt"
	"strings"
)

// Notice tells the other nodes on one backend that a log has grown. It is a
// hint: whoever follows the log reads it.
type Notice struct {
	Producer Producer // who wrote; 0: unknown
	Log      string
}

// Encode is the notice as a message on [NoticeChannel].
func (n Notice) Encode() []byte { return []byte(n.Producer.String() + " " + n.Log) }

// ParseNotice reads what Encode wrote.
func ParseNotice(b []byte) (Notice, error) {
	producer, log, ok := strings.Cut(string(b), " ")
	if !ok || log == "" {
		return Notice{}, fmt.Errorf("notice %q has no log", b)
	}
	p, err := ParseProducer(producer)
	if err != nil {
		return Notice{}, fmt.Errorf("notice: producer %w", err)
	}
	return Notice{Producer: p, Log: log}, nil
}
