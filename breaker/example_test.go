package breaker_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/actionflows/lifeline/breaker"
)

func Example() {
	ctx := context.Background()
	b, err := breaker.New(breaker.Config{Name: "redis", FailureThreshold: 2})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer b.Close()

	get := func(context.Context) (string, error) { return "", errors.New("connection refused") }
	for range 3 {
		_, err := breaker.Do(ctx, b, get)
		fmt.Println(err, errors.Is(err, breaker.ErrOpen))
	}
	fmt.Println(b.State())
	// Output:
	// connection refused false
	// connection refused false
	// breaker "redis" is open: connection refused true
	// open
}

func ExampleDoOr() {
	b, err := breaker.New(breaker.Config{Name: "redis"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer b.Close()

	b.Trip(errors.New("maintenance"))
	fmt.Println(breaker.DoOr(context.Background(), b,
		func(context.Context) (string, error) { return "fresh", nil },
		func(context.Context, error) (string, error) { return "from the cache", nil },
	))
	// Output: from the cache <nil>
}

func ExampleBreaker_Acquire() {
	b, err := breaker.New(breaker.Config{Name: "disk"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer b.Close()

	write := func() error { return nil }
	token, err := b.Acquire()
	if err != nil {
		fmt.Println("rejected:", err)
		return
	}
	defer token.Report(breaker.Failure) // if write panics; nothing after Done
	token.Done(context.Background(), write())
	fmt.Println(b.State())
	// Output: closed
}

func ExampleHooks() {
	b, err := breaker.New(breaker.Config{
		Name: "redis",
		Hooks: breaker.Hooks{OnTransition: func(t breaker.Transition) {
			fmt.Printf("%s: %s to %s (%s)\n", t.Name, t.From, t.To, t.Reason)
		}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer b.Close()

	b.Trip(nil)
	release := b.Hold(breaker.Disabled, 0)
	release()
	// Output:
	// redis: closed to open (trip)
	// redis: open to closed (hold)
	// redis: closed to closed (release)
}
