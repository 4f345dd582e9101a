package redis

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/actionflows/lifeline/storage"
)

func TestOptionsThatCannotBeUsed(t *testing.T) {
	const url = "redis://localhost:6379"
	tests := map[string]struct {
		o    Options
		want string // part of the error
	}{
		"no URL":            {Options{}, "missing"},
		"no scheme":         {Options{URL: "localhost:6379"}, "cannot be read"},
		"other scheme":      {Options{URL: "http://localhost"}, "cannot be read"},
		"unknown parameter": {Options{URL: url + "?protocl=3"}, `"protocl"`},
		"known to go-redis": {Options{URL: url + "?pool_size=3"}, `"pool_size"`},
		"database":          {Options{URL: url + "/x"}, "database"},
		"negative database": {Options{URL: url, DB: -1}, "database -1"},
		"two databases":     {Options{URL: url + "/3", DB: 4}, "the URL says 3"},
		"unix without path": {Options{URL: "unix://"}, "redis URL"},
		"braces":            {Options{URL: url, KeyPrefix: "a{b}:"}, "braces"},
		"timeout":           {Options{URL: url, Timeout: -1}, "timeout"},
		"pool size":         {Options{URL: url, PoolSize: -1}, "pool size"},
		"bad port":          {Options{URL: "redis://:hunter2@localhost:port"}, "cannot be read"},
		"unescaped slash":   {Options{URL: "redis://:12/hunter2@localhost"}, "cannot be read"},
		"unescaped mark":    {Options{URL: "redis://:12?hunter2@localhost"}, "cannot be read"},
		"unescaped hash":    {Options{URL: "redis://:12#hunter2@localhost"}, "cannot be read"},
		"bad parameter":     {Options{URL: "redis://:hunter2@localhost?x=1"}, `"x"`},
		"bad path":          {Options{URL: "redis://:hunter2@localhost/a/b"}, "redis URL"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := tt.o.Validate()
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Validate() = %v, want something with %q", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error tells the password: %v", err)
			}
			if _, err := New(tt.o); err == nil {
				t.Error("New took them")
			}
		})
	}
}

func TestOptionsReachTheClient(t *testing.T) {
	c, err := Options{
		URL: "rediss://u:p@example.org:6380/3", Username: "other", Password: "secret", PoolSize: 5,
	}.client()
	if err != nil {
		t.Fatal(err)
	}
	if c.Addr != "example.org:6380" || c.DB != 3 || c.Username != "other" || c.Password != "secret" ||
		c.PoolSize != 5 || c.TLSConfig == nil || c.MaxRetries != -1 {
		t.Errorf("client options are %+v", c)
	}
	c, err = Options{URL: "unix:///run/redis.sock?db=2"}.client()
	if err != nil {
		t.Fatal(err)
	}
	if c.Network != "unix" || c.Addr != "/run/redis.sock" || c.DB != 2 || c.PoolSize != DefaultPoolSize {
		t.Errorf("client options are %+v", c)
	}
	if c, err = (Options{URL: "redis://h", DB: 7}).client(); err != nil || c.DB != 7 || c.Addr != "h:6379" {
		t.Errorf("client options are %+v, %v", c, err)
	}
}

func TestNewDoesNotConnect(t *testing.T) {
	d, err := New(Options{URL: "redis://:hunter2@127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	// More attempts than connections: go-redis must not begin to answer from
	// memory, nor leave its own dialling goroutine behind.
	for range DefaultPoolSize + 2 {
		_, err := d.Apply(t.Context(), []storage.Op{entry("a")})
		var u *storage.UnavailableError
		if !errors.As(err, &u) || u.Reason != "Redis cannot be reached" {
			t.Fatalf("Apply answered %v: %#v", err, u)
		}
		if strings.Contains(err.Error(), "hunter2") || strings.Contains(u.Reason, "127.0.0.1") {
			t.Fatalf("error tells too much: %v", err)
		}
	}
	if err := d.Health(t.Context()); !Counts(err) {
		t.Errorf("Health answered %v", err)
	}
}

func TestKeysAreDistinct(t *testing.T) {
	k := keyspace{prefix: "p:"}
	seen := map[string]string{}
	logs := []string{"e:s", "s", "e:", "", "m:s", "e:m:s", "i0:s", "l:e:s", "e:e:s", "l:m:s", "g", "ch"}
	for _, name := range logs {
		l := k.log(name)
		for _, key := range []string{l.stream, l.meta, l.ids0, l.ids1} {
			if other, ok := seen[key]; ok {
				t.Errorf("logs %q and %q share %s", name, other, key)
			}
			seen[key] = name
		}
	}
	if l := k.log("e:s"); !strings.HasSuffix(l.stream, "}:e:s") || !strings.HasSuffix(l.meta, "}:m:s") {
		t.Errorf("keys of an event log: %+v", l)
	}
	if partitionOf("e:s") != partitionOf("h:s") {
		t.Error("two logs of one session are in different partitions")
	}
}

func TestPartitionsAreStable(t *testing.T) {
	// Where a log lies must never change: it would not be found again.
	for name, want := range map[string]int{"e:s": 2, "e:session-1": 13, "e:": 5} {
		if got := partitionOf(name); got != want {
			t.Errorf("partition of %q is %d, was %d", name, got, want)
		}
	}
}

func TestDefaults(t *testing.T) {
	o := Options{}.withDefaults()
	if o.KeyPrefix != "afw:" || o.Timeout != 300*time.Millisecond || o.PoolSize != 16 || o.Logger == nil {
		t.Errorf("defaults are %+v", o)
	}
}
