package client_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/actionflows/lifeline/client"
)

// TestPassword: over TLS with a certificate of one's own, HTTP/2 where there is no
// WebSocket, a password in the site's address and a header that a proxy wants.
func TestPassword(t *testing.T) {
	eachTransport(t, func(t *testing.T, o client.Options, _ client.Status) {
		s := start(t, onDisk, "")
		protocols := make(chan int, 100)
		front := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if user, password, _ := r.BasicAuth(); user != "alice" || password != "se:cret" || r.Header.Get("X-Tenant") != "acme" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			protocols <- r.ProtoMajor
			s.gate.server.Config.Handler.ServeHTTP(w, r)
		}))
		front.EnableHTTP2 = true
		front.StartTLS()
		t.Cleanup(front.Close)
		t.Cleanup(front.CloseClientConnections)
		o.HTTP = front.Client().Transport.(*http.Transport)
		o.Header = http.Header{"X-Tenant": {"acme"}}
		hub := newHub(t, strings.Replace(front.URL, "https://", "https://alice:se%3Acret@", 1), o)
		if _, err := hub.Publish(context.Background(), numbered("s", 1)); err != nil {
			t.Fatal(err)
		}
		w := watch(t, hub, client.Subscription{Sessions: []string{"s"}, From: time.Unix(0, 0)})
		w.wait("the event has come", func() bool { return len(w.events) == 1 })
		w.stop()
		<-protocols // of the post
		if major, socket := <-protocols, o.Transports[0] == client.WebSocket; (major == 1) != socket {
			t.Errorf("it came by HTTP/%d", major)
		}

		for _, err := range newHub(t, front.URL, o).Subscribe(context.Background(), client.Subscription{Sessions: []string{"s"}}) {
			if e, ok := errors.AsType[*client.Error](err); !ok || e.Status != http.StatusUnauthorized {
				t.Errorf("without a password: %v", err)
			}
		}
	})
}

// TestImports: the client knows the wire, and none of what is behind it.
func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.Lines(string(out)) {
		name = strings.TrimSpace(name)
		if strings.Contains(name, "caddy") || strings.HasPrefix(name, "github.com/actionflows/") && name != "github.com/actionflows/lifeline/client" {
			t.Errorf("it imports %s", name)
		}
	}
}
