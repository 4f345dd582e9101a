package lifeline_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/actionflows/lifeline/internal/redistest"
)

// TestStatusThroughAnOutage: Redis dies and comes back, and every client is told by
// itself, with nothing in it that an onmessage client would see, and no address.
func TestStatusThroughAnOutage(t *testing.T) {
	r := redistest.Start(t)
	s := start(t, site("lifeline {\n storage redis "+r.URL()+"\n}", ""))
	c, st := s.dial(nil), s.follow("s", nil)
	some := s.follow("s", url.Values{"types": {"chain:*"}})
	if hello := c.frame(t, "subscription_confirmed")["payload"].(map[string]any); hello["degraded"] != false {
		t.Fatalf("hello says %v", hello)
	}
	// told reads on until a status is as wanted.
	told := func(c *socket, degraded bool, breaker string) {
		t.Helper()
		for {
			payload := c.frame(t, "status")["payload"].(map[string]any)
			breakers, _ := payload["breakers"].([]any)
			reasons, isList := payload["reasons"].([]any)
			if _, number := payload["pending"].(float64); !number || !isList || len(breakers) != 1 || len(payload) != 4 {
				t.Fatalf("got %v", payload)
			}
			if text := fmt.Sprint(payload); strings.Contains(text, "127.0.0.1") || strings.Contains(text, ":"+port(r.URL())) {
				t.Fatalf("an address is told: %s", text)
			}
			state := breakers[0].(map[string]any)["state"]
			if payload["degraded"] == degraded && state == breaker && degraded == (len(reasons) > 0) {
				return
			}
		}
	}
	r.Kill()
	for i := range 10 {
		if a := s.post(stepEvent("s", fmt.Sprint(i), i)); a.status != http.StatusCreated {
			t.Fatal(a)
		}
	}
	told(c, true, "open")
	late := s.dial(nil)
	if hello := late.frame(t, "subscription_confirmed")["payload"].(map[string]any); hello["degraded"] != true {
		t.Errorf("hello says %v", hello)
	}
	r.Restart()
	told(c, false, "closed")
	told(late, false, "closed")
	for _, st := range []*stream{st, some} {
		for range 2 { // at least that it is degraded, and that it is over
			select {
			case name := <-st.named:
				if name != "lifeline.status" {
					t.Errorf("named %q", name)
				}
			case <-time.After(patience):
				t.Fatal("a stream is not told")
			}
		}
	}
	want := make([]string, 10)
	for i := range want {
		want[i] = fmt.Sprint(i)
	}
	if got := st.waitFor(t, 10); !slices.Equal(got, want) {
		t.Errorf("onmessage saw %v", got)
	}
	if got := some.got(); len(got) > 0 {
		t.Errorf("who asked for other types saw %v", got)
	}
}

func port(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "no port"
	}
	return u.Port()
}

// TestLifecycleBroadcastOff: the option keeps lifecycle events for followers, from the
// reload on that sets it, until one that does not.
func TestLifecycleBroadcastOff(t *testing.T) {
	on := site("lifeline {\n storage memory\n}", "")
	off := site("lifeline {\n storage memory\n lifecycle_broadcast off\n}", "")
	s := start(t, off)
	other, follower := s.dial(nil), s.dial(nil)
	follower.subscribe(t, "s", "")
	begin := func(id string) {
		t.Helper()
		event := fmt.Sprintf(`{"type":"session:started","sessionId":"s","id":%q}`, id)
		if a := s.post(event); a.status != http.StatusCreated {
			t.Fatal(a)
		}
	}
	begin("1")
	if out, code := s.reload(on); code != 0 {
		t.Fatal(out)
	}
	begin("2")
	if out, code := s.reload(off); code != 0 {
		t.Fatal(out)
	}
	begin("3")
	if got := follower.waitFor(t, 3); !slices.Equal(got, []string{"1", "2", "3"}) {
		t.Errorf("the follower got %v", got)
	}
	other.send(t, `{"type":"ping"}`)
	other.frame(t, "pong") // behind all that was sent before
	if got := other.got(); !slices.Equal(got, []string{"2"}) {
		t.Errorf("who does not follow got %v", got)
	}
	for line, message := range map[string]string{
		"lifecycle_broadcast":                               "lifecycle_broadcast takes one value",
		"lifecycle_broadcast on":                            `lifecycle_broadcast takes only off, not "on"`,
		"lifecycle_broadcast off yes":                       `one value too many: "yes"`,
		"lifecycle_broadcast off\n lifecycle_broadcast off": "lifecycle_broadcast is set on line 4 already",
	} {
		out, code := s.reload(site("lifeline {\n "+line+"\n}", ""))
		if out = strings.ReplaceAll(out, `\"`, `"`); code == 0 || !strings.Contains(out, message) {
			t.Errorf("%s: %d %s", line, code, out)
		}
	}
}
