package events

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsflate"
)

// Close codes of the WebSocket protocol and of ours; see also
// CloseUnauthenticated and CloseForbidden.
const (
	closeNone        = 0 // a close frame without code
	closeGoingAway   = 1001
	closeProtocol    = 1002
	closeUnsupported = 1003
	closeNotUTF8     = 1007
	closeTooBig      = 1009
	closeSlow        = 4408
	closeLimit       = 4429
)

// closeError ends a WebSocket with a code.
type closeError struct {
	code   int
	reason string
	// byPeer: the peer said so, and is answered with the same code.
	byPeer bool
}

func (e *closeError) Error() string { return fmt.Sprintf("close %d: %s", e.code, e.reason) }

// frameReader reads the messages of a client.
type frameReader struct {
	src io.Reader // what the client sends, buffered a little
	// silent, where it is not nil, reports whether src has nothing at present.
	silent func() bool
	// deflate: messages may be compressed, see deflate.go.
	deflate bool
	// header is room for reading a frame's header without an allocation.
	header [ws.MaxHeaderSize]byte
	// control is called for each ping and pong; its payload is valid during the
	// call. An error ends the reading.
	control func(op byte, payload []byte) error
	// touch is called for every frame.
	touch func()
}

// readBuffer is small, since every idle connection has one.
const readBuffer = 512

// buffered reads early and then from conn.
func buffered(conn io.Reader, early []byte) io.Reader {
	if len(early) > 0 {
		conn = io.MultiReader(bytes.NewReader(early), conn)
	}
	return bufio.NewReaderSize(conn, readBuffer)
}

// next answers the next whole text message, of at most limit bytes. Its error is
// a *closeError, errSilent, or that of the connection.
func (f *frameReader) next(limit int64) ([]byte, error) {
	var message []byte
	state, compressed := ws.StateServerSide, false
	for {
		if message == nil && state == ws.StateServerSide && f.silent != nil && f.silent() {
			return nil, errSilent
		}
		h, first, err := f.readHeader(state)
		if err != nil {
			return nil, err
		}
		compressed = compressed || first
		if h.OpCode.IsControl() {
			if err := f.readControl(h); err != nil {
				return nil, err
			}
			continue
		}
		if h.OpCode == ws.OpBinary {
			return nil, &closeError{code: closeUnsupported, reason: "messages are text"}
		}
		if h.Length > limit-int64(len(message)) {
			return nil, &closeError{code: closeTooBig, reason: fmt.Sprintf("max_message: a message has at most %d bytes", limit)}
		}
		if message, err = f.readPayload(message, h); err != nil {
			return nil, err
		}
		if !h.Fin {
			state = state.Set(ws.StateFragmented)
			continue
		}
		if compressed {
			if message, err = inflate(message, limit); err != nil {
				return nil, err
			}
		}
		if !utf8.Valid(message) {
			return nil, &closeError{code: closeNotUTF8, reason: "the message is not UTF-8"}
		}
		return message, nil
	}
}

// readHeader also answers whether a compressed message begins.
func (f *frameReader) readHeader(state ws.State) (h ws.Header, compressed bool, err error) {
	h, err = ws.ReadHeaderBuffer(f.src, f.header[:])
	switch {
	case errors.Is(err, ws.ErrHeaderLengthMSB):
		return h, false, &closeError{code: closeProtocol, reason: err.Error()}
	case err != nil:
		return h, false, err //nolint:wrapcheck // the connection's
	}
	if f.touch != nil {
		f.touch()
	}
	if f.deflate {
		h, compressed, err = wsflate.UnsetBit(h)
	}
	if err == nil {
		err = ws.CheckHeader(h, state)
	}
	if err != nil {
		return h, false, &closeError{code: closeProtocol, reason: err.Error()}
	}
	return h, compressed, nil
}

// firstRead is how much is made room for before any of a payload has arrived: a
// header alone must not cost a message's memory.
const firstRead = 4 << 10

// readPayload appends the payload of a frame to message.
func (f *frameReader) readPayload(message []byte, h ws.Header) ([]byte, error) {
	start := len(message)
	for left := h.Length; left > 0; {
		n := int(min(left, int64(max(firstRead, len(message)))))
		from := len(message)
		message = append(message, make([]byte, n)...)
		if _, err := io.ReadFull(f.src, message[from:]); err != nil {
			return nil, err //nolint:wrapcheck // the connection's
		}
		left -= int64(n)
	}
	ws.Cipher(message[start:], h.Mask, 0)
	return message, nil
}

func (f *frameReader) readControl(h ws.Header) error {
	payload, err := f.readPayload(nil, h)
	if err != nil {
		return err
	}
	if h.OpCode == ws.OpClose {
		return closeOf(payload)
	}
	return f.control(byte(h.OpCode), payload)
}

// closeOf is the error for a close frame of the peer: how to answer it.
func closeOf(payload []byte) *closeError {
	switch {
	case len(payload) == 0:
		return &closeError{code: closeNone, byPeer: true}
	case len(payload) == 1:
		return &closeError{code: closeProtocol, reason: "a close code has two bytes"}
	}
	code, reason := binary.BigEndian.Uint16(payload), payload[2:]
	if !utf8.Valid(reason) {
		return &closeError{code: closeNotUTF8, reason: "the close reason is not UTF-8"}
	}
	err := ws.CheckCloseFrameData(ws.StatusCode(code), "")
	if err != nil || code >= 5000 {
		return &closeError{code: closeProtocol, reason: "there is no such close code"}
	}
	return &closeError{code: int(code), byPeer: true}
}
