package lifeline_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// specSocket checks every message of the hub against docs/asyncapi.yaml.
type specSocket struct {
	t        *testing.T
	spec     *spec
	conn     readWriter
	messages chan string
	seen     map[string]bool // by the name of the message
}

func dialSpec(t *testing.T, s *server, spec *spec) *specSocket {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	conn, early, _, err := ws.Dial(ctx, "ws://localhost:"+s.port+"/ws")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c := &specSocket{t: t, spec: spec, conn: readWriter{Conn: conn, in: conn}, messages: make(chan string, 1000), seen: make(map[string]bool)}
	if early != nil {
		c.conn.in = io.MultiReader(io.LimitReader(early, int64(early.Buffered())), conn)
	}
	go func() {
		defer close(c.messages)
		for {
			b, err := wsutil.ReadServerText(c.conn)
			if err != nil {
				return
			}
			c.messages <- string(b)
		}
	}()
	return c
}

// operation are the names of the messages that one of the page's operations has.
func (s *spec) operation(name string) []string {
	s.t.Helper()
	list, _ := s.at("/operations/" + name + "/messages").([]any)
	var names []string
	for _, m := range list {
		ref, _ := m.(map[string]any)["$ref"].(string)
		names = append(names, ref[strings.LastIndex(ref, "/")+1:])
	}
	if len(names) == 0 {
		s.t.Fatalf("operation %s has no messages", name)
	}
	return names
}

// send checks what a client sends too; a message that is wrong on purpose is not.
func (c *specSocket) send(message string, wrong bool) {
	c.t.Helper()
	if _, err := c.match("toHub", message); (err != nil) != wrong {
		c.t.Errorf("%s: %v", message, err)
	}
	if err := wsutil.WriteClientText(c.conn, []byte(message)); err != nil {
		c.t.Fatal(err)
	}
}

// match answers the one documented message that a text is.
func (c *specSocket) match(operation, text string) (name string, err error) {
	c.t.Helper()
	var names []string
	var problems []string
	for _, n := range c.spec.operation(operation) {
		if err := c.spec.valid("/components/messages/"+n+"/payload", text); err != nil {
			problems = append(problems, fmt.Sprintf("%s: %v", n, err))
			continue
		}
		names = append(names, n)
	}
	if len(names) != 1 {
		return "", fmt.Errorf("it is %v of the documented messages\n%s", names, strings.Join(problems, "\n"))
	}
	return names[0], nil
}

// until reads up to a message of a name.
func (c *specSocket) until(name string) map[string]any {
	c.t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case text, ok := <-c.messages:
			if !ok {
				c.t.Fatalf("closed before a message %s", name)
			}
			got, err := c.match("toClient", text)
			if err != nil {
				c.t.Fatalf("%s: %v", text, err)
			}
			c.seen[got] = true
			if got == name {
				var m map[string]any
				_ = json.Unmarshal([]byte(text), &m)
				return m
			}
		case <-timeout:
			c.t.Fatalf("no message %s", name)
		}
	}
}

// Every message that the hub sends is documented, and every documented one is sent.
func TestAsyncAPIMessages(t *testing.T) {
	spec := loadSpec(t, "asyncapi.yaml")
	s := start(t, site("\tlifeline {\n\t\tstorage disk DIR/hub\n\t}", ""))
	c := dialSpec(t, s, spec)
	post := func(path, body string) {
		t.Helper()
		if a := s.do("POST", path, body, asJSON); a.status/100 != 2 {
			t.Fatalf("POST %s: %v", path, a)
		}
	}
	event := func(kind, session string) {
		post("/api/events", fmt.Sprintf(`{"type":%q,"sessionId":%q}`, kind, session))
	}

	c.until("hello")
	event("session:started", "other")
	c.until("told")
	c.send(`{"type":"subscribe","sessionId":"s"}`, false)
	first := c.until("subscribed")["cursor"].(string)
	event("a:b", "s")
	c.until("event")
	c.send(fmt.Sprintf(`{"type":"subscribe","sessionId":"s","since":%q,"types":["never:*"]}`, first), false)
	c.until("cursor")
	post("/api/sessions/s/commands", `{"type":"pause"}`)
	c.until("command")
	c.send(`{"type":"input","sessionId":"s","payload":{"text":"x"}}`, false)
	c.send(`{"type":"ping"}`, false)
	c.until("answer")
	for _, wrong := range []string{`{`, `{"type":"dance"}`, `{"type":"subscribe"}`, `{"type":"subscribe","sessionId":"s","types":[5]}`} {
		c.send(wrong, true)
		c.until("error")
	}
	c.send(`{"type":"subscribe","sessionId":"s","since":"never"}`, false)
	c.until("error")
	if a := s.do("DELETE", "/api/sessions/s", ""); a.status != 200 && a.status != 404 {
		t.Fatal(a)
	}
	event("a:b", "s")
	c.until("epoch")
	c.send(`{"type":"unsubscribe","sessionId":"s"}`, false)
	if a := s.do("POST", s.admin+"/lifeline/breakers/default/disk/trip", `{"cause":"a test"}`, asJSON); a.status != 200 {
		t.Fatal(a)
	}
	c.until("status")
	c.until("pong") // after 20 s

	if c.t.Failed() {
		return
	}
	for _, name := range spec.operation("toClient") {
		if !c.seen[name] {
			t.Errorf("%s was never sent", name)
		}
	}
	if codes := spec.doc["x-close-codes"].(map[string]any); len(codes) != 9 {
		t.Errorf("close codes %v", slices.Collect(maps.Keys(codes)))
	}
}

// The page is one of AsyncAPI 3: what its channel, operations and components name
// each other by is there.
func TestAsyncAPIPage(t *testing.T) {
	s := loadSpec(t, "asyncapi.yaml")
	if s.doc["asyncapi"] != "3.0.0" {
		t.Errorf("asyncapi is %v", s.doc["asyncapi"])
	}
	channel := s.at("/channels/ws/messages").(map[string]any)
	used := append(s.operation("toHub"), s.operation("toClient")...)
	for name := range s.at("/components/messages").(map[string]any) {
		if channel[name] == nil || !slices.Contains(used, name) {
			t.Errorf("message %s is in no operation or not in the channel", name)
		}
	}
}
