package faultmatrix

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/redis"
	"github.com/actionflows/lifeline/storage/resilient"
)

// node is the process under test: what a hub has of storage, and nothing of a hub.
type node struct {
	config nodeConfig
	// ctx ends when the node closes.
	ctx      context.Context
	stop     context.CancelFunc
	breakers []*breaker.Breaker
	storage  *resilient.Journaled
	opened   atomic.Pointer[resilient.Journaled] // storage, for whoever may be earlier
	store    *storage.Store
	disk     *journalFile
	logger   *zap.Logger
}

// Serve offers what a node does over the network as well, until stop is called.
type Serve func(*Node) (addr string, stop func(), err error)

// Main is main of a node process, with the settings that [Env] holds. It does not
// return when something fails; serve may be nil.
func Main(settings string, serve Serve) {
	var config nodeConfig
	err := json.Unmarshal([]byte(settings), &config)
	if err == nil {
		err = runNode(config, serve)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "node:", err)
		os.Exit(1)
	}
}

func runNode(config nodeConfig, serve Serve) error {
	if config.Broken == BrokenForgetful {
		if err := os.RemoveAll(config.Dir); err != nil {
			return fmt.Errorf("forget the journal: %w", err)
		}
	}
	logger, err := zap.NewDevelopment()
	if err != nil {
		return fmt.Errorf("make a logger: %w", err)
	}
	n := &node{config: config, disk: &journalFile{dir: config.Dir}, logger: logger}
	n.ctx, n.stop = context.WithCancel(context.Background())
	if err := n.open(logger.Named(config.Name)); err != nil {
		return err
	}
	if serve == nil {
		go n.subscribe() // a hub does that itself
	}
	addr, end := "", func() {}
	if serve != nil {
		if addr, end, err = serve(n); err != nil {
			return errors.Join(err, n.close())
		}
	}
	err = n.serve(os.Stdin, os.Stdout, addr)
	end()
	n.stop()
	return errors.Join(err, n.close())
}

func (n *node) open(logger *zap.Logger) error {
	options := redis.Options{URL: n.config.URL, Logger: logger}
	if len(n.config.Cluster) > 0 {
		options.Cluster = &redis.Cluster{Addrs: n.config.Cluster}
	}
	raw, err := redis.New(options)
	if err != nil {
		return err
	}
	driver := broken(n.config.Broken, raw)
	lanes := lanesOf(driver)
	for _, lane := range lanes {
		b, err := breaker.New(breaker.Config{Name: lane, Hooks: breaker.Hooks{
			OnTransition: func(breaker.Transition) {
				if j := n.opened.Load(); j != nil {
					j.BreakerChanged()
				}
			},
		}})
		if err != nil {
			return err
		}
		n.breakers = append(n.breakers, b)
	}
	n.storage, err = resilient.NewJournaled(resilient.JournaledConfig{
		Driver: driver, Breakers: n.breakers, Logger: logger,
		Dir: n.config.Dir, MaxBytes: n.config.MaxBytes,
		ProbeEvery: time.Duration(n.config.ProbeEvery) * time.Millisecond,
	})
	if err != nil {
		return fmt.Errorf("open the journal: %w", err)
	}
	n.opened.Store(n.storage)
	n.store = &storage.Store{
		Driver: n.storage, History: storage.History{MaxLen: historyLen, MaxAge: 24 * time.Hour},
	}
	return nil
}

// historyLen is more than any run publishes, so that whatever is missing is lost.
const historyLen = 1_000_000

// lanesOf names the breakers that a driver needs.
func lanesOf(d storage.Driver) []string {
	if p, ok := d.(storage.Partitioned); ok && len(p.Lanes()) > 1 {
		return p.Lanes()
	}
	return []string{"redis"}
}

// subscribe listens to the other node as a hub does.
func (n *node) subscribe() {
	for n.ctx.Err() == nil {
		_ = n.store.Growth(n.ctx, func(string) {})
	}
}

func (n *node) close() error {
	err := n.storage.Close()
	for _, b := range n.breakers {
		b.Close()
	}
	return err
}

// Node is a node process, for who serves it.
type Node = node

// Storage is what the node stores in.
func (n *node) Storage() *resilient.Journaled { return n.storage }

// Stats are those of its breakers.
func (n *node) Stats() []breaker.Stats {
	var all []breaker.Stats
	for _, b := range n.breakers {
		all = append(all, b.Stats())
	}
	return all
}

// Store is what the node's hub works on.
func (n *node) Store() *storage.Store { return n.store }

// Logger is the node's log.
func (n *node) Logger() *zap.Logger { return n.logger }

// Broken names the node's defect, or "".
func (n *node) Broken() string { return n.config.Broken }
