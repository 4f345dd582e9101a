package redis

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

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

		"cluster and sentinel":      {Options{URL: url, Cluster: &Cluster{}, Sentinel: &Sentinel{}}, "not both"},
		"cluster and a host":        {Options{URL: url, Cluster: &Cluster{Addrs: []string{"a"}}}, `names the host "localhost:6379"`},
		"cluster without address":   {Options{URL: "redis://", Cluster: &Cluster{}}, "neither"},
		"cluster with a database":   {Options{URL: url + "/1", Cluster: &Cluster{}}, "only database 0"},
		"cluster with db":           {Options{URL: url, DB: 2, Cluster: &Cluster{}}, "only database 0"},
		"cluster by a socket":       {Options{URL: "unix:///x", Cluster: &Cluster{}}, "unix socket"},
		"URL as an address":         {Options{URL: "redis://", Cluster: &Cluster{Addrs: []string{"redis://:hunter2@h"}}}, "address 1 is not of the form host:port"},
		"port that is none":         {Options{URL: "redis://", Cluster: &Cluster{Addrs: []string{"a", "b:x"}}}, "address 2"},
		"port 0":                    {Options{URL: "redis://", Cluster: &Cluster{Addrs: []string{"a:0"}}}, "address 1"},
		"empty address":             {Options{URL: "redis://", Cluster: &Cluster{Addrs: []string{""}}}, "address 1"},
		"sentinel and a host":       {Options{URL: url, Sentinel: &Sentinel{Master: "m", Addrs: []string{"a"}}}, "names the host"},
		"sentinel without name":     {Options{URL: "redis://", Sentinel: &Sentinel{Addrs: []string{"a"}}}, "name is missing"},
		"sentinel without address":  {Options{URL: "redis://", Sentinel: &Sentinel{Master: "m"}}, "no address"},
		"sentinel by a socket":      {Options{URL: "unix:///x", Sentinel: &Sentinel{Master: "m", Addrs: []string{"a"}}}, "unix socket"},
		"tls without rediss":        {Options{URL: url, TLS: &TLS{}}, "rediss://"},
		"tls on a socket":           {Options{URL: "unix:///x", TLS: &TLS{}}, "rediss://"},
		"certificate without a key": {Options{URL: "rediss://h", TLS: &TLS{Cert: "c"}}, "belong together"},
		"key without certificate":   {Options{URL: "rediss://h", TLS: &TLS{Key: "k"}}, "belong together"},
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
	t1, err := Options{
		URL: "rediss://u:p@example.org:6380/3", Username: "other", Password: "secret", PoolSize: 5,
	}.target()
	if err != nil {
		t.Fatal(err)
	}
	if c := t1.client; c.Addr != "example.org:6380" || c.DB != 3 || c.Username != "other" || c.Password != "secret" ||
		c.PoolSize != 5 || !t1.secure {
		t.Errorf("client options are %+v", c)
	}
	t2, err := Options{URL: "unix:///run/redis.sock?db=2"}.target()
	if err != nil {
		t.Fatal(err)
	}
	if c := t2.client; c.Network != "unix" || c.Addr != "/run/redis.sock" || c.DB != 2 || c.PoolSize != DefaultPoolSize || t2.secure {
		t.Errorf("client options are %+v", c)
	}
	t3, err := Options{URL: "redis://h", DB: 7}.target()
	if c := t3.client; err != nil || c.DB != 7 || c.Addr != "h:6379" {
		t.Errorf("client options are %+v, %v", c, err)
	}
	t4, err := Options{URL: "redis://u:p@/3", Sentinel: &Sentinel{Master: "m", Addrs: []string{"s1", "[::1]:7", "::2"}, Password: "x"}}.target()
	if err != nil || !slices.Equal(t4.sentinels, []string{"s1:26379", "[::1]:7", "[::2]:26379"}) ||
		t4.sentinel.Password != "x" || t4.sentinel.Username != "" || t4.client.Username != "u" || t4.client.DB != 3 {
		t.Errorf("target is %+v, %v", t4, err)
	}
	t5, err := Options{URL: "rediss://h:1", Cluster: &Cluster{}}.target()
	if err != nil || !slices.Equal(t5.cluster, []string{"h:1"}) || !t5.secure {
		t.Errorf("target is %+v, %v", t5, err)
	}
	t6, err := Options{URL: "redis://", Cluster: &Cluster{Addrs: []string{"a", "b:2"}}}.target()
	if err != nil || !slices.Equal(t6.cluster, []string{"a:6379", "b:2"}) {
		t.Errorf("target is %+v, %v", t6, err)
	}
}

func TestSettingsOfEveryClient(t *testing.T) {
	c := goredis.Options{PoolSize: 5}
	tune(&c, DefaultTimeout)
	if c.MaxRetries != -1 || c.DialTimeout != 500*time.Millisecond || c.DialerRetries != 1 ||
		c.ReadTimeout != 400*time.Millisecond || c.WriteTimeout != 400*time.Millisecond ||
		c.PoolTimeout != 200*time.Millisecond || !c.ContextTimeoutEnabled || c.PoolSize != 5 ||
		!c.DisableIdentity || c.MaintNotificationsConfig.Mode != maintnotifications.ModeDisabled {
		t.Errorf("client options are %+v", c)
	}
	for timeout, want := range map[time.Duration]time.Duration{
		100 * time.Millisecond: 400 * time.Millisecond, 5 * time.Second: 5100 * time.Millisecond,
	} {
		if tune(&c, timeout); c.ReadTimeout != want || c.WriteTimeout != want {
			t.Errorf("with timeout %v the socket has %v and %v", timeout, c.ReadTimeout, c.WriteTimeout)
		}
	}
}

func TestNothingSecretIsPrinted(t *testing.T) {
	o := Options{
		URL: "redis://u:hunter2@", Password: "hunter2",
		Sentinel: &Sentinel{Master: "m", Addrs: []string{"s"}, Password: "hunter2"},
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		for _, v := range []any{o, &o, *o.Sentinel, o.Sentinel, []any{o}} {
			if s := fmt.Sprintf(format, v); strings.Contains(s, "hunter2") {
				t.Errorf("%s of %T is %s", format, v, s)
			}
		}
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
