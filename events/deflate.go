package events

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/gobwas/httphead"
	"github.com/gobwas/ws/wsflate"
)

// Compression is that of RFC 7692 without context takeover: each frame stands for
// itself, so that one compressed frame serves all subscribers of a session, and no
// connection holds a window. What is sent to one client alone, such as a replay, is
// not compressed: that would cost each of them what it costs all together.

// deflateLevel is the compression's: the fastest, for it is paid for each event.
const deflateLevel = flate.BestSpeed

// minDeflate is how many bytes a message must have to be worth it.
const minDeflate = 128

// agreeToDeflate answers the value of Sec-WebSocket-Extensions that agrees to
// compress; "": the client has not offered it in a way that we can serve.
func agreeToDeflate(h http.Header) string {
	for _, line := range h.Values("Sec-WebSocket-Extensions") {
		offers, ok := httphead.ParseOptions([]byte(line), nil)
		if !ok {
			return ""
		}
		for _, offer := range offers {
			e := wsflate.Extension{Parameters: wsflate.Parameters{ServerNoContextTakeover: true, ClientNoContextTakeover: true}}
			if _, err := e.Negotiate(offer); err != nil {
				continue // this offer is not valid; a later one may be
			}
			if _, accepted := e.Accepted(); accepted {
				return wsflate.ExtensionName + "; server_no_context_takeover; client_no_context_takeover"
			}
		}
	}
	return ""
}

// flushTail is what a compressor writes at the end of a message, and RFC 7692
// leaves out.
const flushTail = "\x00\x00\xff\xff"

var deflaters = sync.Pool{New: func() any {
	w, err := flate.NewWriter(nil, deflateLevel)
	if err != nil {
		panic(err) // the level is valid
	}
	return w
}}

// deflated is the frame of text, compressed; nil where that makes it no smaller.
func deflated(text []byte) []byte {
	if len(text) < minDeflate {
		return nil
	}
	w := deflaters.Get().(*flate.Writer) //nolint:forcetypeassert // the pool's only type
	defer deflaters.Put(w)
	var b bytes.Buffer
	b.Grow(maxHeader + len(text)/2)
	b.Write(make([]byte, maxHeader))
	w.Reset(&b)
	_, _ = w.Write(text) // a buffer takes everything
	_ = w.Flush()
	frame := bytes.TrimSuffix(b.Bytes(), []byte(flushTail))
	if len(frame)-maxHeader >= len(text) {
		return nil
	}
	frame = putHeader(frame, 0)
	frame[0] |= bitCompressed
	return frame
}

// bitCompressed is RSV1 in the first byte of a frame.
const bitCompressed = 0x40

var inflaters = sync.Pool{New: func() any { return flate.NewReader(nil) }}

// inflate is what a compressed message of a client stands for, of at most limit
// bytes. Its error is a *closeError.
func inflate(message []byte, limit int64) ([]byte, error) {
	r := inflaters.Get().(io.ReadCloser) //nolint:forcetypeassert // the pool's only type
	defer inflaters.Put(r)
	// The last of the two blocks says that the stream ends.
	source := io.MultiReader(bytes.NewReader(message), bytes.NewReader([]byte(flushTail+"\x01\x00\x00\xff\xff")))
	if err := r.(flate.Resetter).Reset(source, nil); err != nil {
		return nil, &closeError{code: closeNotUTF8, reason: "the message cannot be decompressed"}
	}
	text, err := io.ReadAll(io.LimitReader(r, limit+1))
	switch {
	case err != nil:
		return nil, &closeError{code: closeNotUTF8, reason: "the message cannot be decompressed"}
	case int64(len(text)) > limit:
		return nil, &closeError{code: closeTooBig, reason: fmt.Sprintf("a message has at most %d bytes", limit)}
	}
	return text, nil
}
