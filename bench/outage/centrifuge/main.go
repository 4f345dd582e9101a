// Command centrifuge is a small server on the library of the same name, with its Redis
// broker and a history, as its documentation sets one up: POST /publish?channel=,
// GET /history?channel=, and WebSocket clients that recover what they have missed.
package main

import (
	"encoding/json"
	"flag"
	"io"
	"log"
	"net/http"
	"time"

	"github.com/centrifugal/centrifuge"
)

// The history of a channel is longer than the run.
const (
	historySize = 100_000
	historyTTL  = time.Hour
)

func main() {
	addr := flag.String("addr", "127.0.0.1:0", "where to listen")
	redis := flag.String("redis", "", "host:port of the broker's Redis")
	flag.Parse()
	node, err := newNode(*redis)
	if err != nil {
		log.Fatal(err)
	}
	http.Handle("/connection/websocket", anonymous(centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{})))
	http.HandleFunc("POST /publish", func(w http.ResponseWriter, r *http.Request) { publish(w, r, node) })
	http.HandleFunc("GET /history", func(w http.ResponseWriter, r *http.Request) { history(w, r, node) })
	http.HandleFunc("GET /health", func(http.ResponseWriter, *http.Request) {})
	server := &http.Server{Addr: *addr, ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(server.ListenAndServe())
}

func newNode(redis string) (*centrifuge.Node, error) {
	node, err := centrifuge.New(centrifuge.Config{})
	if err != nil {
		return nil, err
	}
	shard, err := centrifuge.NewRedisShard(node, centrifuge.RedisShardConfig{Address: redis})
	if err != nil {
		return nil, err
	}
	broker, err := centrifuge.NewRedisBroker(node, centrifuge.RedisBrokerConfig{Shards: []*centrifuge.RedisShard{shard}})
	if err != nil {
		return nil, err
	}
	node.SetBroker(broker)
	node.OnConnect(func(client *centrifuge.Client) {
		client.OnSubscribe(func(_ centrifuge.SubscribeEvent, reply centrifuge.SubscribeCallback) {
			reply(centrifuge.SubscribeReply{Options: centrifuge.SubscribeOptions{EnableRecovery: true, EnablePositioning: true}}, nil)
		})
	})
	return node, node.Run()
}

func anonymous(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := centrifuge.SetCredentials(r.Context(), &centrifuge.Credentials{UserID: "bench"})
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

func publish(w http.ResponseWriter, r *http.Request, node *centrifuge.Node) {
	data, err := io.ReadAll(r.Body)
	if err == nil {
		_, err = node.Publish(r.URL.Query().Get("channel"), data, centrifuge.WithHistory(historySize, historyTTL))
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusCreated)
}

func history(w http.ResponseWriter, r *http.Request, node *centrifuge.Node) {
	result, err := node.History(r.URL.Query().Get("channel"), centrifuge.WithHistoryFilter(centrifuge.HistoryFilter{Limit: centrifuge.NoLimit}))
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	events := make([]json.RawMessage, len(result.Publications))
	for i, p := range result.Publications {
		events[i] = p.Data
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(events)
}
