// Command centrifuge is a small server on the library of the same name, with its memory
// or Redis broker and a history, as its documentation sets one up: POST
// /publish?channel=, GET /history?channel=&since=, and WebSocket clients that recover
// what they have missed.
package main

import (
	"encoding/json"
	"flag"
	"io"
	"log"
	"net/http"
	"strconv"
	"time"

	"github.com/centrifugal/centrifuge"
)

// historySize is how many messages of a channel are kept.
var historySize = flag.Int("history", 100_000, "messages of a channel that are kept")

// historyTTL is longer than any run.
const historyTTL = time.Hour

func main() {
	addr := flag.String("addr", "127.0.0.1:0", "where to listen")
	redis := flag.String("redis", "", "host:port of the broker's Redis; empty: the broker in memory")
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
	if redis != "" {
		if err := useRedis(node, redis); err != nil {
			return nil, err
		}
	}
	node.OnConnect(func(client *centrifuge.Client) {
		client.OnSubscribe(func(_ centrifuge.SubscribeEvent, reply centrifuge.SubscribeCallback) {
			reply(centrifuge.SubscribeReply{Options: centrifuge.SubscribeOptions{EnableRecovery: true, EnablePositioning: true}}, nil)
		})
	})
	return node, node.Run()
}

func useRedis(node *centrifuge.Node, redis string) error {
	shard, err := centrifuge.NewRedisShard(node, centrifuge.RedisShardConfig{Address: redis})
	if err != nil {
		return err
	}
	broker, err := centrifuge.NewRedisBroker(node, centrifuge.RedisBrokerConfig{Shards: []*centrifuge.RedisShard{shard}})
	if err != nil {
		return err
	}
	node.SetBroker(broker)
	return nil
}

func anonymous(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := centrifuge.SetCredentials(r.Context(), &centrifuge.Credentials{UserID: "bench"})
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

func publish(w http.ResponseWriter, r *http.Request, node *centrifuge.Node) {
	data, err := io.ReadAll(r.Body)
	var result centrifuge.PublishResult
	if err == nil {
		result, err = node.Publish(r.URL.Query().Get("channel"), data, centrifuge.WithHistory(*historySize, historyTTL))
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	answer(w, http.StatusCreated, map[string]any{"offset": result.Offset, "epoch": result.Epoch})
}

func history(w http.ResponseWriter, r *http.Request, node *centrifuge.Node) {
	filter := centrifuge.HistoryFilter{Limit: centrifuge.NoLimit}
	if since, err := strconv.ParseUint(r.URL.Query().Get("since"), 10, 64); err == nil {
		filter.Since = &centrifuge.StreamPosition{Offset: since}
	}
	result, err := node.History(r.URL.Query().Get("channel"), centrifuge.WithHistoryFilter(filter))
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	events := make([]json.RawMessage, len(result.Publications))
	for i, p := range result.Publications {
		events[i] = p.Data
	}
	answer(w, http.StatusOK, events)
}

func answer(w http.ResponseWriter, status int, body any) {
	b, err := json.Marshal(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(status)
	_, _ = w.Write(b)
}
