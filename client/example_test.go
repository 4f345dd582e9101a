package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/actionflows/lifeline/client"
)

// Events of a session as they come, through whatever happens to the connection.
func ExampleClient_Subscribe() {
	hub, err := client.New(site, client.Options{}) // http://localhost:8080
	if err != nil {
		log.Fatal(err)
	}
	defer hub.Close()
	post := map[string]any{"type": "step:started", "sessionId": "demo", "id": "1", "timestamp": "2026-11-26T12:00:00Z"}
	if _, err := hub.Publish(context.Background(), post); err != nil {
		log.Fatal(err)
	}

	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	s := client.Subscription{Sessions: []string{"demo"}, From: time.Now().Add(-time.Hour)}
	for event, err := range hub.Subscribe(ctx, s) {
		if errors.Is(err, context.DeadlineExceeded) {
			break // the hour is over
		}
		if err != nil {
			log.Fatal(err) // refused for good
		}
		fmt.Println(event.ID, event.Type, string(event.Data))
		break
	}
	// Output: 1 step:started {"id":"1","sessionId":"demo","timestamp":"2026-11-26T12:00:00Z","type":"step:started"}
}

// A program that keeps the cursor of what it has dealt with goes on there when it is
// started again.
func ExampleClient_Subscribe_resume() {
	hub, err := client.New(site, client.Options{APIKey: "secret"}) // https://example.com
	if err != nil {
		log.Fatal(err)
	}
	defer hub.Close()
	for _, step := range []string{"step:started", "step:output", "step:failed"} {
		if _, err := hub.Publish(context.Background(), map[string]string{"type": step, "sessionId": "resumed"}); err != nil {
			log.Fatal(err)
		}
	}

	kept := "1970-01-01T00:00:00Z" // in a file, perhaps
	for range 2 {                  // the second time it has been started again
		s := client.Subscription{
			Sessions: []string{"resumed"},
			Since:    map[string]string{"resumed": kept},
			Types:    []string{"chain:*", "step:started", "step:failed"},
			OnReset: func(session string, why client.Reset) {
				fmt.Printf("events of %s may be missing: %s\n", session, why)
			},
		}
		for event, err := range hub.Subscribe(context.Background(), s) {
			if err != nil {
				log.Fatal(err)
			}
			fmt.Println(event.Type)
			if event.Cursor != "" {
				kept = event.Cursor
			}
			break // it dies
		}
	}
	// Output:
	// step:started
	// step:failed
}

func ExampleClient_Publish() {
	hub, err := client.New(site, client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer hub.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // how long to try
	defer cancel()
	receipt, err := hub.Publish(ctx, map[string]any{
		"type": "step:started", "sessionId": "published", "id": "step-1", "stepNumber": 1,
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(receipt.EventID, receipt.Durable, receipt.Duplicate)
	// Output: step-1 true false
}

// Of a batch each event is taken or not on its own.
func ExampleClient_PublishBatch() {
	hub, err := client.New(site, client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer hub.Close()
	results, err := hub.PublishBatch(context.Background(),
		map[string]string{"type": "step:started", "sessionId": "batch", "id": "a"},
		map[string]string{"type": "no namespace", "sessionId": "batch", "id": "b"},
	)
	for _, r := range results {
		fmt.Println(r.EventID, r.Err != nil)
	}
	fmt.Println(err != nil)
	// Output:
	// a false
	//  true
	// true
}
