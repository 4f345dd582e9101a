package events

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// The frames that existing clients send and expect.
func TestWSFixtures(t *testing.T) {
	text, err := os.ReadFile("testdata/websocket.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	h := newTestHub(t, newMemory(t))
	s := hubServer(t, h)
	c := dial(t, s, "/ws", nil)
	lines := 0
	for line := range strings.Lines(string(text)) {
		lines++
		var fx struct{ In, Out json.RawMessage }
		if err := json.Unmarshal([]byte(line), &fx); err != nil {
			t.Fatal(err)
		}
		var in, out struct{ Type string }
		_ = json.Unmarshal(fx.In, &in) // one is a string that is not JSON
		_ = json.Unmarshal(fx.Out, &out)
		if fx.In != nil {
			var notJSON string
			if json.Unmarshal(fx.In, &notJSON) != nil {
				notJSON = string(fx.In)
			}
			c.send("%s", notJSON)
		}
		switch {
		case in.Type == "input":
			takesInput(t, h, fx.In)
		case fx.Out == nil:
		case string(fx.Out) == `{"type":"pong"}`:
			h.connections.sockets()[0].sweep(time.Now().Add(h.times.pong))
			c.want(string(fx.Out))
		case out.Type == "command":
			queued := storage.CommandPayload{SessionID: "session-1", Command: storage.Command{Type: "pause"}}
			queued, err := h.store().QueueCommand(t.Context(), queued)
			if err != nil {
				t.Fatal(err)
			}
			h.command("session-1", appendJSON(nil, queued))
			c.want(string(fx.Out))
		case out.Type == "event":
			publishFixture(t, h, fx.Out)
			c.want(string(fx.Out))
		default:
			c.want(string(fx.Out))
		}
	}
	if lines != 13 {
		t.Errorf("%d fixtures", lines)
	}
	if h.topic("session-1") != nil { // the errors that were answered last came behind it
		t.Error("unsubscribe did nothing")
	}
}

// takesInput waits until the payload of an input message can be taken.
func takesInput(t *testing.T, h *Hub, message []byte) {
	t.Helper()
	var m struct {
		SessionID string
		Payload   json.RawMessage
	}
	if err := json.Unmarshal(message, &m); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the input", func() bool {
		inputs, err := h.store().TakeInput(t.Context(), m.SessionID, 0)
		return err == nil && len(inputs) == 1 && string(inputs[0].Input) == string(m.Payload)
	})
}

func publishFixture(t *testing.T, h *Hub, frame []byte) {
	t.Helper()
	var f struct {
		SessionID string
		Payload   json.RawMessage
	}
	if err := json.Unmarshal(frame, &f); err != nil {
		t.Fatal(err)
	}
	ev := Event{Session: f.SessionID, ID: newEventID(), Type: eventType(f.Payload), Data: f.Payload}
	if _, err := h.Publish(t.Context(), ev); err != nil {
		t.Fatal(err)
	}
}

func TestWSHello(t *testing.T) {
	b := newFake()
	b.status.Degraded = true
	h := newTestHub(t, b, func(c *Config, _ *intervals) { c.Limits.MaxMessage = 1234 })
	c := dial(t, hubServer(t, h), "/ws", nil)
	c.want(`{"type":"subscription_confirmed","payload":{"clientId":"<string>","message":"<string>",
		"protocol":1,"degraded":true,"longPoll":true,"pingInterval":20000,"maxMessage":1234}}`)
}

func TestWSEvent(t *testing.T) {
	b := newFake()
	h := newTestHub(t, b)
	c := connect(t, hubServer(t, h), "")
	m := c.subscribe(testSession)
	if _, ok := m["recovered"]; ok {
		t.Errorf("recovered without since: %v", m)
	}
	res := publishEvent(t, h, "1")
	m = c.want(fmt.Sprintf(`{"type":"event","sessionId":%q,"payload":{"id":"1"},"cursor":%q,"receivedAt":"<time>"}`,
		testSession, res.Cursor))
	if _, ok := m["pending"]; ok || m["receivedAt"] != res.ReceivedAt.Format(receivedTime) {
		t.Errorf("got %v", m)
	}
	b.setDown(true)
	publishEvent(t, h, "2")
	c.want(`{"type":"event","payload":{"id":"2"},"pending":true}`)
}

func TestWSSince(t *testing.T) {
	b := newFake()
	h := newTestHub(t, b)
	s := hubServer(t, h)
	first := publishEvent(t, h, "1").Cursor
	publishEvent(t, h, "2")
	for _, since := range []string{first.String(), first.Timestamp()} {
		c := connect(t, s, "")
		c.send(`{"type":"subscribe","sessionId":%q,"since":%q}`, testSession, since)
		m := c.want(`{"type":"subscription_confirmed","recovered":true,"cursor":"<string>","payload":{"message":"<string>"}}`)
		if m["gap"] != nil || m["degraded"] != nil {
			t.Errorf("got %v", m)
		}
		c.want(`{"type":"event","payload":{"id":"2"}}`)
	}
	b.trim(testSession, 2)
	b.setDown(true)
	c := connect(t, s, "")
	c.send(`{"type":"subscribe","sessionId":%q,"since":%q}`, testSession, first)
	c.want(`{"type":"subscription_confirmed","recovered":true,"degraded":true}`)
	b.setDown(false)
	c = connect(t, s, "")
	c.send(`{"type":"subscribe","sessionId":%q,"since":%q}`, testSession, first)
	c.want(`{"type":"subscription_confirmed","recovered":false,"gap":true}`)
}

func TestWSMessages(t *testing.T) {
	h := newTestHub(t, newMemory(t), func(c *Config, _ *intervals) { c.Limits.MaxSubscriptions = 2 })
	c := connect(t, hubServer(t, h), "")
	long := strings.Repeat("x", 201)
	tests := []struct{ message, want string }{
		{`{`, `{"code":"bad_json"}`},
		{``, `{"code":"bad_json"}`},
		{`[]`, `{"code":"bad_message"}`},
		{`null`, `{"code":"bad_message"}`},
		{`{"type":1}`, `{"code":"bad_message"}`},
		{`{}`, `{"code":"bad_message"}`},
		{`{"type":"input","sessionId":"a"}`, `{"code":"bad_message","sessionId":"a"}`},
		{`{"type":"input","payload":1}`, `{"code":"bad_session"}`},
		{`{"type":"input","sessionId":"poll","payload":1}`, `{"code":"bad_session"}`},
		{`{"type":"` + long + `"}`, `{"code":"unknown_type"}`},
		{`{"type":"subscribe"}`, `{"code":"bad_session"}`},
		{`{"type":"subscribe","sessionId":""}`, `{"code":"bad_session"}`},
		{`{"type":"subscribe","sessionId":"poll"}`, `{"code":"bad_session"}`},
		{`{"type":"subscribe","sessionId":"a\nb"}`, `{"code":"bad_session"}`},
		{`{"type":"subscribe","sessionId":"` + long + `"}`, `{"code":"bad_session"}`},
		{`{"type":"subscribe","sessionId":7}`, `{"code":"bad_message"}`},
		{`{"type":"unsubscribe"}`, `{"code":"bad_session"}`},
		{`{"type":"subscribe","sessionId":"a","since":"yesterday"}`, `{"code":"bad_cursor","sessionId":"a","details":{"field":"since"}}`},
		{`{"type":"subscribe","sessionId":"a","since":5}`, `{"code":"bad_message"}`},
		{`{"type":"subscribe","sessionId":"a","types":"b:c"}`, `{"code":"bad_message","details":{"field":"types"}}`},
		{`{"type":"subscribe","sessionId":"a","types":["b:c",1]}`, `{"code":"bad_message","details":{"field":"types"}}`},
		{`{"type":"subscribe","sessionId":"a","types":[null]}`, `{"code":"bad_message","sessionId":"a"}`},
		{`{"type":"subscribe","sessionId":"a","types":[]}`, `{"code":"bad_message","sessionId":"a","details":{"field":"types"}}`},
		{`{"type":"subscribe","sessionId":"a","types":["b"]}`, `{"code":"bad_message","sessionId":"a"}`},
		{`{"type":"subscribe","sessionId":"a","types":["b:c,d:e"]}`, `{"code":"bad_message","sessionId":"a"}`},
		{`{"type":"subscribe","sessionId":"a","types":["b:c"` + strings.Repeat(`,"b:c"`, 50) + `]}`, `{"code":"bad_message","sessionId":"a"}`},
		{`{"type":"subscribe","sessionId":"a","types":null,"since":""}`, `{"type":"subscription_confirmed","sessionId":"a"}`},
		{`{"type":"subscribe","sessionId":"ü b/%"}`, `{"type":"subscription_confirmed","sessionId":"ü b/%"}`},
		{`{"type":"subscribe","sessionId":"c"}`, `{"code":"too_many_subscriptions","sessionId":"c","details":{"limit":2}}`},
		{`{"type":"subscribe","sessionId":"a"}`, `{"type":"subscription_confirmed","sessionId":"a"}`},
	}
	for _, tt := range tests {
		c.send("%s", tt.message)
		want := tt.want
		if strings.HasPrefix(want, `{"code"`) {
			want = `{"type":"error","payload":"<string>",` + want[1:]
		}
		c.want(want)
	}
	// A place that is given back can be taken.
	c.send(`{"type":"unsubscribe","sessionId":"a"}`)
	c.subscribe("c")
}

func TestWSUnsubscribe(t *testing.T) {
	h := newTestHub(t, newMemory(t))
	c := connect(t, hubServer(t, h), "")
	c.subscribe(testSession)
	publishEvent(t, h, "1")
	c.want(`{"type":"event","payload":{"id":"1"}}`)
	c.send(`{"type":"unsubscribe","sessionId":%q}`, testSession)
	c.sync()
	publishEvent(t, h, "2")
	c.subscribe(testSession)
	publishEvent(t, h, "3")
	c.want(`{"type":"event","payload":{"id":"3"}}`)
}

func TestWSUnavailable(t *testing.T) {
	b := newFake()
	h := newTestHub(t, b)
	c := connect(t, hubServer(t, h), "")
	b.set(func() { b.readErr = &storage.UnavailableError{Reason: "x"} })
	c.send(`{"type":"subscribe","sessionId":"a"}`)
	c.want(`{"type":"error","code":"unavailable","sessionId":"a"}`)
	b.set(func() { b.readErr = nil })
	c.subscribe("a")
}

func publishLifecycle(t *testing.T, h *Hub, id string) {
	t.Helper()
	data := appendJSON(nil, map[string]string{"type": "session:started", "sessionId": testSession, "id": id})
	if _, err := h.Publish(t.Context(), Event{Session: testSession, ID: id, Type: "session:started", Data: data}); err != nil {
		t.Fatal(err)
	}
}

// Lifecycle events go once to everybody, subscribed or not.
func TestWSLifecycle(t *testing.T) {
	h := newTestHub(t, newMemory(t))
	s := hubServer(t, h)
	subscribed, other := connect(t, s, ""), connect(t, s, "")
	subscribed.subscribe(testSession)
	publishLifecycle(t, h, "1")
	subscribed.want(`{"type":"event","payload":{"id":"1"},"cursor":"<string>"}`)
	m := other.want(`{"type":"event","sessionId":"session-1","payload":{"id":"1"},"receivedAt":"<time>"}`)
	if m["cursor"] != nil {
		t.Errorf("a cursor for whoever does not follow: %v", m)
	}
	publishEvent(t, h, "2")
	publishLifecycle(t, h, "3")
	subscribed.want(`{"payload":{"id":"2"}}`)
	subscribed.want(`{"payload":{"id":"3"}}`)
	other.want(`{"payload":{"id":"3"}}`)
	subscribed.sync()
	other.sync()
}

// One who connects while such an event is told to the others gets it as a subscriber,
// if it comes behind his confirmation.
func TestWSLifecycleWhileConnecting(t *testing.T) {
	b := newFake()
	h := newTestHub(t, b, patient)
	s := hubServer(t, h)
	first := connect(t, s, "")
	first.subscribe(testSession)
	release := publishHeld(t, b, h, "0")
	var once sync.Once
	h.hook = func(step string) {
		if step == "enrolling" {
			once.Do(func() { publishLifecycle(t, h, "1") })
		}
	}
	c := connect(t, s, "")
	other := appendJSON(nil, map[string]string{"type": "session:started", "sessionId": "b", "id": "b"})
	if _, err := h.Publish(t.Context(), Event{Session: "b", ID: "b", Type: "session:started", Data: other}); err != nil {
		t.Fatal(err)
	}
	c.want(`{"type":"event","payload":{"id":"b"}}`)
	c.subscribe(testSession)
	release["0"]()
	c.want(`{"type":"event","payload":{"id":"0"}}`)
	c.want(`{"type":"event","payload":{"id":"1"}}`)
}

// One who subscribes while such an event is under way gets it once, too.
func TestWSLifecycleWhileSubscribing(t *testing.T) {
	b := newFake()
	h := newTestHub(t, b, patient)
	s := hubServer(t, h)
	c, first := connect(t, s, ""), connect(t, s, "")
	first.subscribe(testSession)
	// The topic waits for an event before it, while those who do not follow are
	// told at once.
	release := publishHeld(t, b, h, "0")
	publishLifecycle(t, h, "1")
	c.want(`{"type":"event","payload":{"id":"1"}}`)
	c.subscribe(testSession)
	release["0"]()
	c.want(`{"type":"event","payload":{"id":"0"}}`)
	publishEvent(t, h, "2")
	c.want(`{"type":"event","payload":{"id":"2"}}`)
	for _, id := range []string{"0", "1", "2"} {
		first.want(fmt.Sprintf(`{"type":"event","payload":{"id":%q}}`, id))
	}
	// One who joins behind an event that is only then told to all.
	hold := b.hold("3")
	done := make(chan struct{})
	go func() { defer close(done); publishLifecycle(t, h, "3") }()
	eventually(t, "append", func() bool { b.mu.Lock(); defer b.mu.Unlock(); return b.log(testSession).ids["3"].Link.Number != 0 })
	h.topic(testSession).catchUp()
	first.want(`{"type":"event","payload":{"id":"3"}}`)
	late := connect(t, s, "")
	late.subscribe(testSession)
	hold()
	<-done
	late.want(`{"type":"event","payload":{"id":"3"}}`)
	late.sync()
	first.sync()
}
