package events

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/actionflows/lifeline/storage"
)

// delivery is one event on its way to the subscribers of its session, or a
// notice to them. All fields but kind and frames are fixed once it exists.
type delivery struct {
	notice  noticeKind // noNotice: an event
	id      string
	data    []byte
	epoch   storage.Epoch
	pos     storage.Position // zero while pending
	link    storage.Link
	pending bool
	// early: the entry stands in the log, but behind others that this node could
	// not read. It is delivered by its producer's number, like a pending one.
	early    bool
	received time.Time
	kind     string     // see typeOf
	span     trace.Span // ends when it is queued for the subscribers; nil: nobody traces it

	// frames are the bytes shared by all live subscribers, made when the first
	// one needs them; guarded by the topic's mu.
	frames [encodings][]byte
}

// noticeKind tells subscribers that the events do not simply go on.
type noticeKind uint8

const (
	noNotice    noticeKind = iota
	noticeEpoch            // the log is in a new epoch, nothing is known to be missing
	noticeGap              // events are missing before the next one
)

// byNumber reports whether the delivery counts by its producer's number and not
// by a position.
func (d *delivery) byNumber() bool { return d.pending || d.early }

// deliveryOf is the delivery for what AddEvent answered about an event.
func deliveryOf(ev Event, res storage.Result) *delivery {
	d := &delivery{
		id: ev.ID, data: ev.Data, link: res.Link, pending: res.Pending, received: res.ReceivedAt,
	}
	if !res.Pending {
		d.epoch, d.pos = res.Cursor.Epoch, res.Cursor.Pos
	}
	return d
}

// entryDelivery is the delivery for an entry that was read.
func entryDelivery(epoch storage.Epoch, e storage.LogEntry) *delivery {
	d := &delivery{id: e.ID, data: e.Data, link: e.Link, pending: e.Pending, received: e.Received}
	if !e.Pending {
		d.epoch, d.pos = epoch, e.Pos
	}
	return d
}

// encoding is a form in which events are sent.
type encoding uint8

const (
	encodeWebSocket encoding = iota
	encodeDeflated           // the same compressed, where it is shared
	encodeStream
	encodeNamedStream // with an event field
	encodings
)

// shared is the delivery's bytes for live subscribers whose cursor is cursor.
// The topic's mu is held.
func (d *delivery) shared(e encoding, session []byte, cursor storage.Cursor) []byte {
	if d.frames[e] == nil && e == encodeDeflated && d.notice == noNotice {
		d.frames[e] = deflated(appendEvent(nil, session, d, cursor.String()))
	}
	if d.frames[e] == nil && e == encodeDeflated {
		d.frames[e] = d.shared(encodeWebSocket, session, cursor)
	}
	if d.frames[e] == nil {
		size := len(d.data) + len(session) + frameOverhead
		d.frames[e] = appendDelivery(make([]byte, 0, size), e, session, d, cursor.String())
	}
	return d.frames[e]
}

// frameOverhead is about what a frame adds to the event, in bytes.
const frameOverhead = 200

// appendDelivery appends d as it is sent to a subscriber of session, which is
// quoted as JSON.
func appendDelivery(b []byte, e encoding, session []byte, d *delivery, cursor string) []byte {
	if e <= encodeDeflated {
		start := len(b)
		b = append(b, make([]byte, maxHeader)...)
		if d.notice != noNotice {
			b = appendNotice(b, session, d.notice, cursor)
		} else {
			b = appendEvent(b, session, d, cursor)
		}
		return putHeader(b, start)
	}
	if d.notice != noNotice {
		return appendStreamNotice(b, session, d.notice, cursor)
	}
	b = append(b, "id: "...)
	b = append(b, cursor...)
	if e == encodeNamedStream {
		b = append(b, "\nevent: "...)
		b = append(b, eventType(d.data)...)
	}
	b = append(b, "\ndata: "...)
	b = appendLine(b, d.data)
	return append(b, "\n\n"...)
}

// appendEvent appends the event message of the WebSocket protocol. Without
// cursor, the event is told to a client who does not follow the session.
func appendEvent(b, session []byte, d *delivery, cursor string) []byte {
	b = append(b, `{"type":"event","sessionId":`...)
	b = append(b, session...)
	b = append(b, `,"payload":`...)
	b = append(b, d.data...)
	if cursor != "" {
		b = append(b, `,"cursor":"`...) // hex digits and punctuation: nothing to escape
		b = append(b, cursor...)
		b = append(b, '"')
	}
	b = append(b, `,"receivedAt":"`...)
	b = appendReceived(b, d.received)
	b = append(b, '"')
	if d.pending {
		b = append(b, `,"pending":true`...)
	}
	return append(b, '}')
}

func appendNotice(b, session []byte, kind noticeKind, cursor string) []byte {
	b = append(b, `{"type":"epoch","sessionId":`...)
	b = append(b, session...)
	b = append(b, `,"cursor":"`...)
	b = append(b, cursor...)
	b = append(b, '"')
	if kind == noticeGap {
		b = append(b, `,"gap":true`...)
	}
	return append(b, '}')
}

func appendStreamNotice(b, session []byte, kind noticeKind, cursor string) []byte {
	name := "lifeline.epoch"
	if kind == noticeGap {
		name = "lifeline.gap"
	}
	b = append(b, "event: "...)
	b = append(b, name...)
	b = append(b, "\ndata: {\"sessionId\":"...)
	b = append(b, session...)
	b = append(b, `,"cursor":"`...)
	b = append(b, cursor...)
	return append(b, "\"}\n\n"...)
}

// appendLine appends data with its line breaks, which are white space in JSON,
// as spaces: one would end the field.
func appendLine(b, data []byte) []byte {
	start := len(b)
	b = append(b, data...)
	if bytes.ContainsAny(data, "\r\n") {
		for i, c := range b[start:] {
			if c == '\r' || c == '\n' {
				b[start+i] = ' '
			}
		}
	}
	return b
}

// eventType is the type member of an event. A valid one has no character that
// could end the line on which it is written.
func eventType(data []byte) string {
	var head struct {
		Type string `json:"type"`
	}
	if json.Unmarshal(data, &head) != nil || head.Type == "" || validType(head.Type) != nil {
		return "message"
	}
	return head.Type
}

// maxHeader is the size of the longest header of a frame that a server sends.
const maxHeader = 10

// putHeader turns b[start:], which begins with maxHeader spare bytes, into one
// text frame without a gap between header and payload.
func putHeader(b []byte, start int) []byte {
	payload := b[start+maxHeader:]
	var header [maxHeader]byte
	h := appendHeader(header[:0], opText, len(payload))
	copy(b[start:], h)
	n := copy(b[start+len(h):], payload)
	return b[:start+len(h)+n]
}

// appendHeader appends the header of an unmasked, unfragmented frame.
func appendHeader(b []byte, op byte, size int) []byte {
	b = append(b, 0x80|op)
	switch {
	case size <= 125:
		return append(b, byte(size))
	case size <= 0xffff:
		return binary.BigEndian.AppendUint16(append(b, 126), uint16(size))
	default:
		return binary.BigEndian.AppendUint64(append(b, 127), uint64(size))
	}
}

// Opcodes of RFC 6455 that the hub sends.
const (
	opText  = 0x1
	opClose = 0x8
	opPing  = 0x9
	opPong  = 0xa
)

// frameOf is payload as one frame.
func frameOf(op byte, payload []byte) []byte {
	b := appendHeader(make([]byte, 0, maxHeader+len(payload)), op, len(payload))
	return append(b, payload...)
}

// closeFrame is a close frame; reason is cut to what a control frame can hold.
func closeFrame(code int, reason string) []byte {
	const maxReason = 123
	for len(reason) > maxReason {
		reason = trimRune(reason[:maxReason+1])
	}
	if code == closeNone {
		return frameOf(opClose, nil)
	}
	payload := binary.BigEndian.AppendUint16(nil, uint16(code)) //nolint:gosec // codes are below 5000
	return frameOf(opClose, append(payload, reason...))
}

// trimRune drops the last byte and what is left of the rune that it cut.
func trimRune(s string) string {
	end := len(s) - 1
	for end > 0 && s[end]&0xc0 == 0x80 {
		end--
	}
	return s[:end]
}
