package matrix

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/events"
	"github.com/actionflows/lifeline/internal/faultmatrix"
	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/resilient"
)

func TestMain(m *testing.M) {
	if settings := os.Getenv(faultmatrix.Env); settings != "" {
		faultmatrix.Main(settings, serve)
		return
	}
	goleak.VerifyTestMain(m)
}

// backend is a node's storage as its hub sees it.
type backend struct {
	storage.Events
	*resilient.Journaled
	node  *faultmatrix.Node
	store *storage.Store
}

func (b *backend) Records() *storage.Store              { return b.store }
func (b *backend) CircuitBreakerStats() []breaker.Stats { return b.node.Stats() }

// serve serves a hub on a port of its own.
func serve(n *faultmatrix.Node) (addr string, stop func(), err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	store := *n.Store()
	broken, end := breakDriver(n.Broken(), n.Storage())
	store.Driver = broken
	hub := events.New(events.Config{
		Backend: &backend{breakEvents(n.Broken(), &store), n.Storage(), n, &store},
		Driver:  "redis", Logger: n.Logger(),
	})
	site := &events.Site{Hub: hub, PollRate: events.Rate{N: 1_000_000, Per: time.Second}, Logger: n.Logger()}
	if err := site.Provision(); err != nil {
		return "", nil, err
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			if !site.ServeHTTP(w, r) {
				http.NotFound(w, r)
			}
		})}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	return listener.Addr().String(), func() {
		hub.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := errors.Join(server.Shutdown(ctx), <-served); !errors.Is(err, http.ErrServerClosed) {
			n.Logger().Error(err.Error())
		}
		end()
	}, nil
}
