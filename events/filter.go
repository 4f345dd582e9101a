package events

import "strings"

// A subscriber who asked for some types gets frames one by one, the same bytes as
// the others. His cursor passes what is left out: he is told it when he has not been
// for a while, so that he need not go through all of that again when he resumes.

// maxLeftOut is how many events are left out before a subscriber is told how far he
// has come.
const maxLeftOut = 100

// type is read when the first subscriber with a filter needs it, once for all. The
// topic's mu is held, or nobody else has d.
func (d *delivery) typeOf() string {
	if d.kind == "" {
		d.kind = typeOf(d.data)
	}
	return d.kind
}

// wants reports whether d is among the types that the subscriber asked for. Notices
// are for everybody, lifecycle events for every WebSocket.
func (s *subscriber) wants(f typeFilter, d *delivery) bool {
	if len(f) == 0 || d.notice != noNotice {
		return true
	}
	kind := d.typeOf()
	return f.takes(kind) ||
		s.via == viaWebSocket && strings.HasPrefix(kind, lifecyclePrefix) && s.topic.hub.broadcasts.on()
}

// give pushes the frame of a wanted event, or counts one that is left out and is
// covered by cursor.
func (s *subscriber) give(d *delivery, frame func() []byte, cursor func() string) {
	if s.wants(s.types, d) {
		s.leftOut = 0
		s.push(frame())
		return
	}
	if s.leftOut++; s.leftOut >= maxLeftOut {
		s.leftOut = 0
		s.out.push(appendPassed(nil, s.enc, s.topic.quoted, cursor()))
	}
}

// filter is what the subscriber asked for, as it is now.
func (s *subscriber) filter() typeFilter {
	s.topic.mu.Lock()
	defer s.topic.mu.Unlock()
	return s.types
}

// appendPassed appends how far a subscriber has come without an event: the message
// cursor, or in a stream an id, which dispatches nothing.
func appendPassed(b []byte, e encoding, session []byte, cursor string) []byte {
	if e > encodeDeflated {
		b = append(b, "id: "...)
		b = append(b, cursor...)
		return append(b, "\n\n"...)
	}
	start := len(b)
	b = append(b, make([]byte, maxHeader)...)
	b = append(b, `{"type":"cursor","sessionId":`...)
	b = append(b, session...)
	b = append(b, `,"cursor":"`...)
	b = append(b, cursor...)
	return putHeader(append(b, `"}`...), start)
}
