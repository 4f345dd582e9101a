package redis

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/actionflows/lifeline/internal/redistest"
	"github.com/actionflows/lifeline/storage"
)

func TestTLS(t *testing.T) {
	certs, foreign := redistest.NewCerts(t), redistest.NewCerts(t)
	s, addr := redistest.StartTLS(t, certs)
	for name, tt := range map[string]struct {
		tls    *TLS
		reason string
	}{
		"right":         {&TLS{CA: certs.CA, Cert: certs.Cert, Key: certs.Key}, ""},
		"by name":       {&TLS{CA: certs.CA, Cert: certs.Cert, Key: certs.Key, ServerName: "redis.test"}, ""},
		"wrong name":    {&TLS{CA: certs.CA, Cert: certs.Cert, Key: certs.Key, ServerName: "other.test"}, "Redis cannot be reached"},
		"wrong CA":      {&TLS{CA: foreign.CA, Cert: certs.Cert, Key: certs.Key}, "Redis cannot be reached"},
		"system's CAs":  {nil, "Redis cannot be reached"},
		"foreign cert":  {&TLS{CA: certs.CA, Cert: foreign.Cert, Key: foreign.Key}, "the connection to Redis was lost"},
		"we show no id": {&TLS{CA: certs.CA}, "the connection to Redis was lost"},
	} {
		t.Run(name, func(t *testing.T) {
			d := openWith(t, Options{URL: "rediss://" + addr, TLS: tt.tls, Timeout: 5 * time.Second})
			if tt.reason != "" {
				refused(t, d, tt.reason)
			} else {
				apply(t, d, entry(name))
			}
		})
	}
	if n := s.MustDo("XLEN", keyspace{DefaultKeyPrefix}.log(testLog).stream); n != int64(2) {
		t.Errorf("%v entries are stored", n)
	}
	for name, files := range map[string]TLS{
		"no such file":   {CA: certs.CA + "x"},
		"no certificate": {CA: certs.Key},
		"no pair":        {Cert: certs.Cert, Key: foreign.Key},
	} {
		o := Options{URL: "rediss://" + addr, TLS: &files}
		if err := o.Validate(); err != nil {
			t.Errorf("%s: Validate opened a file: %v", name, err)
		}
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), "redis tls: ") {
			t.Errorf("%s: New answered %v", name, err)
		}
	}
}

func TestACL(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.acl")
	users := "user default off\n" +
		"user hub on >hunter2 ~afw:* &afw:* +@all\n" +
		"user reader on >hunter2 ~afw:* &afw:* +@all -hset\n" +
		"user elsewhere on >hunter2 ~other:* &* +@all\n"
	if err := os.WriteFile(path, []byte(users), 0o600); err != nil {
		t.Fatal(err)
	}
	s := redistest.Start(t, "--aclfile", path)
	for name, tt := range map[string]struct{ user, password, reason string }{
		"right":              {"hub", "hunter2", ""},
		"wrong password":     {"hub", "guess-9000", replies["WRONGPASS"]},
		"unknown user":       {"nobody", "hunter2", replies["WRONGPASS"]},
		"nobody":             {"", "", replies["NOAUTH"]},
		"missing permission": {"reader", "hunter2", replies["NOPERM"]},
		"other keys":         {"elsewhere", "hunter2", replies["NOPERM"]},
	} {
		t.Run(name, func(t *testing.T) {
			var o Options
			logs := logged(&o)
			o.URL, o.Timeout, o.Username, o.Password = s.URL(), 5*time.Second, tt.user, tt.password
			d := openWith(t, o)
			if tt.reason == "" {
				apply(t, d, entry(name))
				return
			}
			refused(t, d, tt.reason)
			_, err := try(t, d, entry(name))
			if told := fmt.Sprint(err, logs.All(), o); strings.Contains(told, "hunter2") || strings.Contains(told, "guess-9000") {
				t.Errorf("the password is told: %s", told)
			}
		})
	}
	u := fmt.Sprintf("redis://hub:hunter2@%s", s.Addr())
	apply(t, openWith(t, Options{URL: u, Timeout: 5 * time.Second}), entry("by URL"))
}

func TestUnixSocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "redis") // short, as the path of a socket must be
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "redis.sock")
	s := redistest.Start(t, "--unixsocket", path)
	d := openWith(t, Options{URL: "unix://" + path + "?db=1", Timeout: 5 * time.Second})
	b := subscribe(t, d, "x")
	ready(t, d, "x", b)
	apply(t, d, entry("a"))
	wantIDs(t, read(t, d, storage.LogQuery{}), "a")
	if n := s.MustDo("DBSIZE"); n != int64(0) {
		t.Errorf("%v keys in database 0", n)
	}
	s.Kill()
	refused(t, d, "Redis cannot be reached")
}

// TestPartitionsOfAnotherKind: data that would be looked for elsewhere is not
// touched.
func TestPartitionsOfAnotherKind(t *testing.T) {
	s := redistest.Start(t)
	var logs Options
	seen := logged(&logs)
	d := open(t, s, func(o *Options) { o.Logger = logs.Logger })
	apply(t, d, entry("a"))
	key := d.keys.partitions()
	if noted := s.MustDo("GET", key); noted != "16" {
		t.Fatalf("%s is %v", key, noted)
	}
	s.MustDo("SET", key, "8")
	const reason = `Redis holds data of another kind: "8" partitions instead of 16`
	keys := s.MustDo("DBSIZE")
	other := open(t, s, func(o *Options) { o.Logger = logs.Logger })
	refused(t, other, reason)
	if _, err := other.ReadLog(t.Context(), testLog, storage.LogQuery{}); !Counts(err) {
		t.Errorf("reading: %v", err)
	}
	if err := other.Publish(t.Context(), "x", nil); !Counts(err) {
		t.Errorf("publishing: %v", err)
	}
	if now := s.MustDo("DBSIZE"); now != keys || s.MustDo("GET", key) != "8" {
		t.Errorf("there were %v keys, now %v", keys, now)
	}
	if n := seen.FilterMessageSnippet("another number of partitions").Len(); n != 1 {
		t.Errorf("logged %d times", n)
	}
	// One that runs notices it at a health check.
	var u *storage.UnavailableError
	if err := d.Health(t.Context()); !errors.As(err, &u) || u.Reason != reason {
		t.Errorf("Health answered %v", err)
	}
	refused(t, d, reason)
	s.MustDo("SET", key, "16")
	apply(t, d, entry("b"))
	apply(t, other, entry("c"))
	// An emptied Redis is noted again.
	s.MustDo("FLUSHALL")
	if err := d.Health(t.Context()); err != nil || s.MustDo("GET", key) != "16" {
		t.Errorf("after FLUSHALL: %v", err)
	}
}
