package events

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/actionflows/lifeline/storage"
)

// page polls a session from since on and checks whether the answer is complete.
func (s *testSite) page(t *testing.T, target string, since storage.Cursor, gap, degraded bool) (ids []string) {
	t.Helper()
	v := s.do("GET", target+"since="+since.String(), "").json(t)
	if (v["gap"] == true) != gap || (v["degraded"] == true) != degraded {
		t.Errorf("%s: gap %v, degraded %v, want %v and %v", target, v["gap"], v["degraded"], gap, degraded)
	}
	for _, e := range v["events"].([]any) {
		ids = append(ids, e.(map[string]any)["id"].(string))
	}
	return ids
}

// Through an outage, a new epoch and a gap, each transport shows what is pending at
// once and nothing twice, and says what its readers have to know.
func TestOutageOnEachTransport(t *testing.T) {
	b := newFake()
	h := newTestHub(t, b)
	site := &testSite{Site: &Site{Hub: h}}
	unlimited(site.Site, nil, nil)
	if err := site.Provision(); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { site.ServeHTTP(w, r) }))
	t.Cleanup(func() {
		h.Close()
		server.Close()
	})
	first := publishEvent(t, h, "1").Cursor
	c := connect(t, server, "")
	c.subscribe(testSession)
	one := openStream(t, server, "/api/events/stream/"+testSession, nil)
	several := openStream(t, server, "/api/events/stream?session=b&session="+testSession, nil)
	one.wantStart()
	several.wantAt()
	waiting := site.inBackground("/api/events/poll/" + testSession + "?wait=30&since=" + first.String())
	eventually(t, "a poll that waits", func() bool { return h.longPolls.held() == 1 })

	b.setDown(true)
	pending := publishEvent(t, h, "2")
	if !pending.Pending {
		t.Fatal("it is not pending")
	}
	m := c.want(`{"type":"event","payload":{"id":"2"},"pending":true}`)
	data := fmt.Sprintf("data: %s\n", eventData(testSession, "2"))
	one.want(fmt.Sprintf("id: %s\n%s", m["cursor"], data))
	if block := several.next(); !strings.HasSuffix(block, data) {
		t.Errorf("several: %q", block)
	}
	if a := <-waiting; !strings.Contains(a.body, `"id":"2"`) || !strings.Contains(a.body, `"degraded":true`) {
		t.Errorf("a long poll: %s", a.body)
	}
	for _, target := range []string{"/api/events/poll/" + testSession + "?", "/api/events/" + testSession + "?"} {
		if ids := site.page(t, target, first, false, true); fmt.Sprint(ids) != "[2]" {
			t.Errorf("%s: %v", target, ids)
		}
	}

	b.setDown(false)
	publishEvent(t, h, "3")
	c.want(`{"type":"event","payload":{"id":"3"}}`)
	for _, st := range []*streamClient{one, several} {
		if block := st.next(); !strings.Contains(block, `"id":"3"`) {
			t.Errorf("stream: %q", block)
		}
	}
	b.refill(testSession)
	last := publishEvent(t, h, "4").Cursor
	c.want(`{"type":"epoch","sessionId":"session-1","cursor":"<string>"}`)
	c.want(`{"type":"event","payload":{"id":"4"}}`)
	for _, st := range []*streamClient{one, several} {
		for _, want := range []string{"event: lifeline.epoch\n", `"id":"4"`} {
			if block := st.next(); !strings.Contains(block, want) {
				t.Errorf("stream: %q, want %s", block, want)
			}
		}
	}
	for _, target := range []string{"/api/events/poll/" + testSession + "?", "/api/events/" + testSession + "?"} {
		if ids := site.page(t, target, first, true, false); fmt.Sprint(ids) != "[1 2 3 4]" { // of another epoch
			t.Errorf("%s: %v", target, ids)
		}
	}
	lost := publishEvent(t, h, "5").Cursor
	c.want(`{"type":"event","payload":{"id":"5"}}`)
	publishEvent(t, h, "6")
	b.trim(testSession, 5)
	if lost.Epoch != last.Epoch {
		t.Fatal("another epoch")
	}
	for _, target := range []string{"/api/events/poll/" + testSession + "?", "/api/events/" + testSession + "?"} {
		if ids := site.page(t, target, last, true, false); fmt.Sprint(ids) != "[6]" {
			t.Errorf("%s: %v", target, ids)
		}
	}
	late := connect(t, server, "")
	late.send(`{"type":"subscribe","sessionId":%q,"since":%q}`, testSession, last)
	late.want(`{"type":"subscription_confirmed","recovered":false,"gap":true}`)
	late.want(`{"type":"event","payload":{"id":"6"}}`)
	for _, st := range []*streamClient{
		openStream(t, server, "/api/events/stream/"+testSession+"?since="+last.String(), nil),
		openStream(t, server, "/api/events/stream?session="+testSession+"&since["+testSession+"]="+last.String(), nil),
	} {
		st.next()
		for _, want := range []string{"event: lifeline.gap\n", `"id":"6"`} {
			if block := st.next(); !strings.Contains(block, want) {
				t.Errorf("stream: %q, want %s", block, want)
			}
		}
	}
}
