package events

import (
	"bytes"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// The groups 1 to 7 of the Autobahn test suite, as far as a hub has them that
// answers messages and does not echo them: a message is a JSON object with what the
// case is about in a member, and its answer is a pong message. Binary messages are
// closed with 1003. Chopped cases send the same bytes in pieces of `chop`.

// autobahnCase is what a client sends and what the hub must answer, in order.
type autobahnCase struct {
	name   string
	frames []ws.Frame
	chop   int // bytes per write; 0: all at once
	want   []reply
}

// reply is a frame of the hub: pong message, error message, pong frame or close.
type reply struct {
	op      ws.OpCode
	payload string // of a pong frame; what an error's code is
	code    int    // of a close frame
}

var answered = reply{op: ws.OpText}

func refused(code string) reply { return reply{op: ws.OpText, payload: code} }

func ponged(payload string) reply { return reply{op: ws.OpPong, payload: payload} }

func closedWith(code int) reply { return reply{op: ws.OpClose, code: code} }

func holding(value string) string { return `{"type":"ping","x":"` + value + `"}` }

func oneFrame(message string) []ws.Frame                 { return []ws.Frame{masked(text, true, message)} }
func controlFrame(op ws.OpCode, payload string) ws.Frame { return masked(op, true, payload) }

// exactly is a ping message of n bytes.
func exactly(n int) string { return holding(strings.Repeat("*", n-len(holding("")))) }

// inFrames splits a message into frames of n bytes.
func inFrames(message string, n int) []ws.Frame {
	op := text
	var frames []ws.Frame
	for part := range slices.Chunk([]byte(message), n) {
		frames = append(frames, masked(op, false, string(part)))
		op = cont
	}
	frames[len(frames)-1].Header.Fin = true
	return frames
}

func autobahnFraming() (cases []autobahnCase) {
	add := func(name string, frames []ws.Frame, chop int, want ...reply) {
		cases = append(cases, autobahnCase{"1." + name, frames, chop, want})
	}
	add("1.1 empty text", oneFrame(""), 0, refused(codeBadJSON))
	for i, n := range []int{125, 126, 127, 128, 65535, 65536} {
		add(fmt.Sprintf("1.%d text of %d", i+2, n), oneFrame(exactly(n)), 0, answered)
	}
	for i, chop := range []int{997, 1_000, 4_096} {
		add(fmt.Sprintf("1.8.%d text of 65536 in pieces of %d", i, chop), oneFrame(exactly(65536)), chop, answered)
	}
	for i, n := range []int{0, 125, 126, 127, 128, 65535, 65536} {
		f := []ws.Frame{masked(ws.OpBinary, true, strings.Repeat("\xfe", n))}
		add(fmt.Sprintf("2.%d binary of %d", i+1, n), f, 0, closedWith(closeUnsupported))
	}
	add("2.8 binary of 65536 in pieces", []ws.Frame{masked(ws.OpBinary, true, strings.Repeat("\xfe", 65536))}, 997, closedWith(closeUnsupported))
	return cases
}

func autobahnPings() (cases []autobahnCase) {
	add := func(name string, frames []ws.Frame, chop int, want ...reply) {
		cases = append(cases, autobahnCase{"2." + name, frames, chop, want})
	}
	long, binary := strings.Repeat("\xfe", 125), "\x00\xff\xfe\xfd\xfc\xfb\x00\xff"
	one := func(payload string) []ws.Frame { return []ws.Frame{controlFrame(ws.OpPing, payload)} }
	add("1 without payload", one(""), 0, ponged(""))
	add("2 text", one("Hello, world!"), 0, ponged("Hello, world!"))
	add("3 binary", one(binary), 0, ponged(binary))
	add("4 125 bytes", one(long), 0, ponged(long))
	add("5 126 bytes", one(long+"\xfe"), 0, closedWith(closeProtocol))
	add("6 125 bytes, byte by byte", one(long), 1, ponged(long))
	unasked := controlFrame(ws.OpPong, "unasked")
	add("7 unasked pong without payload", append([]ws.Frame{controlFrame(ws.OpPong, "")}, one("x")...), 0, ponged("x"))
	add("8 unasked pong", append([]ws.Frame{unasked}, one("x")...), 0, ponged("x"))
	add("9 unasked pong, then ping", append([]ws.Frame{unasked}, one("ping payload")...), 0, ponged("ping payload"))
	var ten []ws.Frame
	var pongs []reply
	for i := range 10 {
		ten = append(ten, one(fmt.Sprint("payload-", i))...)
		pongs = append(pongs, ponged(fmt.Sprint("payload-", i)))
	}
	add("10 ten", ten, 0, pongs...)
	add("11 ten, byte by byte", ten, 1, pongs...)
	return cases
}

func autobahnReserved() (cases []autobahnCase) {
	add := func(name string, chop int, want reply, frames ...ws.Frame) {
		answers := []reply{want}
		if len(frames) > 1 { // what comes before the fault is still answered
			answers = []reply{answered, want}
		}
		cases = append(cases, autobahnCase{name, frames, chop, answers})
	}
	rsv := func(f ws.Frame, bits byte) ws.Frame { return withHeader(f, func(h *ws.Header) { h.Rsv = bits }) }
	hello := masked(text, true, holding("Hello, world!"))
	add("3.1 rsv 1", 0, closedWith(closeProtocol), rsv(masked(text, true, ping), 1))
	for i, chop := range []int{0, 10, 1} {
		add(fmt.Sprintf("3.%d rsv %d in pieces of %d", i+2, i+2, chop), chop, closedWith(closeProtocol), hello, rsv(masked(text, true, ping), byte(i+2)))
	}
	add("3.5 rsv 5, binary", 0, closedWith(closeProtocol), rsv(masked(ws.OpBinary, true, "\xff"), 5))
	add("3.6 rsv 6, ping", 0, closedWith(closeProtocol), rsv(controlFrame(ws.OpPing, "x"), 6))
	add("3.7 rsv 7, close", 0, closedWith(closeProtocol), rsv(controlFrame(ws.OpClose, ""), 7))
	for group, first := range map[int]int{1: 3, 2: 11} {
		for i := range 5 {
			op := ws.OpCode(first + i) //nolint:gosec // at most 15
			name := fmt.Sprintf("4.%d.%d opcode %d", group, i+1, op)
			add(name, 0, closedWith(closeProtocol), masked(op, true, ""))
			add(name+" with payload", 0, closedWith(closeProtocol), hello, masked(op, true, "reserved"))
			add(name+", byte by byte", 1, closedWith(closeProtocol), hello, masked(op, true, "reserved"))
		}
	}
	return cases
}

func autobahnFragments() (cases []autobahnCase) {
	add := func(name string, chop int, frames []ws.Frame, want ...reply) {
		cases = append(cases, autobahnCase{"5." + name, frames, chop, want})
	}
	message := holding("fragment1fragment2")
	a, b := masked(text, false, message[:25]), masked(cont, true, message[25:])
	notFinal := func(op ws.OpCode) ws.Frame { return masked(op, false, "x") }
	add("1 ping in two fragments", 0, []ws.Frame{notFinal(ws.OpPing), masked(cont, true, "y")}, closedWith(closeProtocol))
	add("2 pong in two fragments", 0, []ws.Frame{notFinal(ws.OpPong), masked(cont, true, "y")}, closedWith(closeProtocol))
	for i, chop := range []int{0, 7, 1} {
		add(fmt.Sprintf("%d text in two fragments, pieces of %d", i+3, chop), chop, []ws.Frame{a, b}, answered)
		add(fmt.Sprintf("%d ping within it, pieces of %d", i+6, chop), chop, []ws.Frame{a, controlFrame(ws.OpPing, "ping"), b}, ponged("ping"), answered)
		add(fmt.Sprintf("%d continuation of nothing, pieces of %d", i+9, chop), chop, []ws.Frame{masked(cont, true, "x"), masked(text, true, ping)}, closedWith(closeProtocol))
		add(fmt.Sprintf("%d unfinished continuation of nothing, pieces of %d", i+12, chop), chop, []ws.Frame{notFinal(cont), masked(text, true, ping)}, closedWith(closeProtocol))
	}
	add("15 text, then continuation of nothing", 0, []ws.Frame{a, b, notFinal(cont), masked(text, true, ping)}, answered, closedWith(closeProtocol))
	add("16 unfinished continuations of nothing", 0, []ws.Frame{notFinal(cont), masked(text, false, "{"), masked(cont, true, "}")}, closedWith(closeProtocol))
	add("17 continuations of nothing", 0, []ws.Frame{masked(cont, true, "x"), masked(text, false, "{"), masked(cont, true, "}")}, closedWith(closeProtocol))
	add("18 text within a message", 0, []ws.Frame{a, masked(text, true, ping)}, closedWith(closeProtocol))
	many := inFrames(holding("fragment1fragment2fragment3fragment4fragment5"), 14)
	pings := slices.Concat(many[:2], []ws.Frame{controlFrame(ws.OpPing, "one")}, many[2:4], []ws.Frame{controlFrame(ws.OpPing, "two")}, many[4:])
	add("19 five fragments, pings within", 0, pings, ponged("one"), ponged("two"), answered)
	add("20 the same in pieces", 3, pings, ponged("one"), ponged("two"), answered)
	return cases
}

// validUTF8 and invalidUTF8 are sequences at and beyond the bounds of UTF-8.
var validUTF8 = map[string]string{
	"Greek": "κόσμε", "mixed": "Hello-µ@ßöäüàá-UTF-8!!", "two bytes, first": "\u0080", "two, last": "\u07ff", "three, first": "\u0800",
	"three, last": "\uffff", "four, first": "\U00010000", "four, last": "\U0010ffff", "before surrogates": "\ud7ff", "behind surrogates": "\ue000",
	"replacement": "\ufffd", "no character": "\ufffe\ufdd0\U0001fffe\U0010fffe", "byte order mark": "\ufeff",
}

var invalidUTF8 = map[string]string{
	"beyond Unicode": "κόσμε\xf4\x90\x80\x80edited", "first continuation": "\x80", "last continuation": "\xbf", "two continuations": "\x80\xbf",
	"seven continuations": "\x80\xbf\x80\xbf\x80\xbf\x80", "lonely start of two": "\xc3 ", "of three": "\xe2 ", "of four": "\xf0 ", "of five": "\xf8 ", "of six": "\xfc ",
	"cut two": "\xc3", "cut three": "\xe2\x82", "cut four": "\xf0\x9f\x98", "cut ones in a row": "\xc3\xe2\x82\xf0\x9f\x98", "fe": "\xfe", "ff": "\xff", "both, twice each": "\xfe\xfe\xff\xff",
	"overlong two": "\xc0\xaf", "overlong three": "\xe0\x80\xaf", "overlong four": "\xf0\x80\x80\xaf", "overlong five": "\xf8\x80\x80\x80\xaf", "overlong six": "\xfc\x80\x80\x80\x80\xaf",
	"overlong, last of one": "\xc1\xbf", "overlong, last of two": "\xe0\x9f\xbf", "overlong, last of three": "\xf0\x8f\xbf\xbf", "overlong zero": "\xc0\x80",
	"first surrogate": "\xed\xa0\x80", "last high surrogate": "\xed\xaf\xbf", "first low surrogate": "\xed\xb0\x80", "last surrogate": "\xed\xbf\xbf", "pair": "\xed\xa0\x80\xed\xb0\x80",
}

func autobahnUTF8() (cases []autobahnCase) {
	for want, sequences := range map[reply]map[string]string{answered: validUTF8, closedWith(closeNotUTF8): invalidUTF8} {
		for name, s := range sequences {
			message := holding(s)
			cases = append(cases,
				autobahnCase{"6 " + name, oneFrame(message), 0, []reply{want}},
				autobahnCase{"6 " + name + ", a fragment for each byte", inFrames(message, 1), 0, []reply{want}},
				autobahnCase{"6 " + name + ", a write for each byte", oneFrame(message), 1, []reply{want}})
		}
	}
	return cases
}

func autobahnClosing() (cases []autobahnCase) {
	add := func(name string, want int, frames ...ws.Frame) {
		cases = append(cases, autobahnCase{"7." + name, frames, 0, []reply{closedWith(want)}})
	}
	code := func(n int) string { return string([]byte{byte(n >> 8), byte(n)}) } //nolint:gosec // two bytes
	bye := func(payload string) ws.Frame { return controlFrame(ws.OpClose, payload) }
	cases = append(cases, autobahnCase{"7.1.1 message, then close", []ws.Frame{masked(text, true, ping), bye(code(1000))}, 0, []reply{answered, closedWith(1000)}})
	add("1.2 two closes", 1000, bye(code(1000)), bye(code(1000)))
	add("1.3 ping behind close", 1000, bye(code(1000)), controlFrame(ws.OpPing, "x"))
	add("1.4 text behind close", 1000, bye(code(1000)), masked(text, true, ping))
	add("1.5 close within a message", 1000, masked(text, false, "{"), bye(code(1000)), masked(cont, true, "}"))
	add("1.6 long message, close, ping", 1000, masked(text, false, exactly(200_000)), bye(code(1000)), controlFrame(ws.OpPing, "x"))
	add("3.1 without payload", closeNone, bye(""))
	add("3.2 one byte", closeProtocol, bye("a"))
	add("3.3 code", 1000, bye(code(1000)))
	add("3.4 code and reason", 1000, bye(code(1000)+"Hello World!"))
	add("3.5 longest reason", 1000, bye(code(1000)+strings.Repeat("*", 123)))
	add("3.6 reason too long", closeProtocol, bye(code(1000)+strings.Repeat("*", 124)))
	for name, s := range invalidUTF8 {
		add("5 reason with "+name, closeNotUTF8, bye(code(1000)+s))
	}
	for _, n := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999} {
		add(fmt.Sprintf("7 code %d", n), n, bye(code(n)))
	}
	for _, n := range []int{0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65535} {
		add(fmt.Sprintf("9 code %d", n), closeProtocol, bye(code(n)))
	}
	return cases
}

func TestWSAutobahn(t *testing.T) {
	h := newTestHub(t, newMemory(t), limits(Limits{MessageRate: 1000}))
	s := hubServer(t, h)
	total := 0
	t.Run("cases", func(t *testing.T) {
		for _, group := range [][]autobahnCase{
			autobahnFraming(), autobahnPings(), autobahnReserved(), autobahnFragments(), autobahnUTF8(), autobahnClosing(),
		} {
			total += len(group)
			for _, tt := range group {
				t.Run(tt.name, func(t *testing.T) {
					t.Parallel()
					c := connect(t, s, "")
					go c.sendChopped(tt) // the hub may answer, and close, before all is sent
					c.wantAnswers(tt)
				})
			}
		}
	})
	if total < 120 {
		t.Errorf("%d cases", total)
	}
	wantSockets(t, h, 0)
}

func (c *wsClient) sendChopped(tt autobahnCase) {
	var b bytes.Buffer
	for _, f := range tt.frames {
		ws.MustWriteFrame(&b, f)
	}
	chop := tt.chop
	if chop == 0 {
		chop = b.Len()
	}
	for part := range slices.Chunk(b.Bytes(), chop) {
		if _, err := c.conn.Write(part); err != nil {
			return // closed: whether rightly, the answers say
		}
	}
}

func (c *wsClient) wantAnswers(tt autobahnCase) {
	c.t.Helper()
	for i, want := range tt.want {
		if want.op == ws.OpClose {
			c.wantClose(want.code)
			_ = c.conn.(*net.TCPConn).CloseWrite() //nolint:forcetypeassert // as was dialled
			c.wantEnd()
			return
		}
		f := c.frame()
		got := string(f.Payload)
		switch {
		case f.Header.OpCode != want.op:
			c.t.Fatalf("answer %d has opcode %x: %q", i, f.Header.OpCode, got)
		case want.op == ws.OpPong && got != want.payload:
			c.t.Fatalf("pong %q, want %q", got, want.payload)
		case want == answered && !strings.Contains(got, `"type":"pong"`), want.op == ws.OpText && !strings.Contains(got, want.payload):
			c.t.Fatalf("answer %d is %q", i, got)
		}
	}
	_ = c.conn.Close()
}
