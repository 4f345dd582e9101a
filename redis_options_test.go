package lifeline_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/actionflows/lifeline"
	"github.com/actionflows/lifeline/internal/redistest"
)

// TestRedisOptions: every option of storage redis reaches its place, placeholders
// are expanded, and nothing is opened for validating.
func TestRedisOptions(t *testing.T) {
	t.Setenv("SECRET", "hunter2")
	t.Setenv("HOST", "replaced")
	for name, c := range map[string]struct {
		caddyfile string
		want      string
	}{
		"cluster": {
			"redis rediss:// {\n cluster a:1 {env.HOST}\n tls {\n ca {env.HOST}/ca.pem\n cert c\n key k\n server_name n\n}\n pool 4\n}",
			`{"url":"rediss://","cluster":{"addresses":["a:1","replaced"]},"tls":{"ca":"replaced/ca.pem","cert":"c","key":"k","server_name":"n"},"pool":4}`,
		},
		"cluster of the URL": {"redis redis://h {\n cluster\n}", `{"url":"redis://h","cluster":{}}`},
		"sentinel": {
			"redis redis:///2 {\n sentinel m s1 {env.HOST}:7\n username u\n password {env.SECRET}\n sentinel_password {env.SECRET}x\n key_prefix p:\n timeout 200ms\n db 2\n}",
			`{"url":"redis:///2","sentinel":{"master":"m","addresses":["s1","replaced:7"],"password":"hunter2x"},"username":"u","password":"hunter2","db":2,"key_prefix":"p:","timeout":200000000}`,
		},
	} {
		var s lifeline.RedisStorage
		if err := s.UnmarshalCaddyfile(caddyfile.NewTestDispenser(c.caddyfile)); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := s.Provision(caddy.Context{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got, err := json.Marshal(s); err != nil || string(got) != c.want {
			t.Errorf("%s: %v\n%s\nwant\n%s", name, err, got, c.want)
		}
		if where := s.Describe("x").Where; strings.Contains(where, "hunter2") {
			t.Errorf("%s: it is at %s", name, where)
		}
	}
	// Storage of another kind is another storage.
	keys := map[string]bool{}
	for _, text := range []string{
		"redis redis://", "redis redis://h {\n cluster\n}", "redis redis:// {\n cluster a\n}", "redis redis:// {\n cluster b\n}",
		"redis redis:// {\n sentinel m a\n}", "redis redis:// {\n sentinel m a\n sentinel_password x\n}", "redis rediss://", "redis rediss:// {\n tls {\n ca x\n}\n}",
	} {
		var s lifeline.RedisStorage
		if err := s.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text)); err != nil {
			t.Fatal(err)
		}
		key, err := json.Marshal(s.Describe("x").Key)
		if err != nil || keys[string(key)] {
			t.Errorf("%q: key %s, %v", text, key, err)
		}
		keys[string(key)] = true
	}
}

// TestRedisOptionsInForce: with user, password, database, prefix and certificates, and
// behind Sentinels with a password of their own, events arrive where the options say.
func TestRedisOptionsInForce(t *testing.T) {
	certs := redistest.NewCerts(t)
	r, addr := redistest.StartTLS(t, certs, "--user", "app", "on", ">hunter2", "~app:*", "&app:*", "+@all")
	c := redistest.StartSentinels(t, "hunter3")
	t.Setenv("SENTINELS_PASSWORD", "hunter3")
	s := start(t, site("lifeline {\n storage redis rediss://"+addr+" {\n username app\n password hunter2\n db 3\n key_prefix app:\n"+
		"timeout 2s\n pool 2\n tls {\n ca "+certs.CA+"\n cert "+certs.Cert+"\n key "+certs.Key+"\n server_name redis.test\n}\n}\n}\n"+
		"lifeline guarded {\n storage redis redis:// {\n sentinel "+redistest.SentinelMaster+" "+strings.Join(c.Addrs(), " ")+
		"\n sentinel_password {env.SENTINELS_PASSWORD}\n}\n}", "")+"http://guarded.localhost:PORT {\nlifeline guarded\n}\n")
	var posts sync.WaitGroup
	for i := range 20 {
		posts.Go(func() {
			if a := s.post(stepEvent("s", fmt.Sprint(i), i)); a.status != http.StatusCreated || a.body["pending"] == true {
				t.Errorf("over TLS: %v", a)
			}
			s.history("s")
		})
	}
	posts.Wait()
	users := strings.Count(fmt.Sprint(r.MustDo("CLIENT", "LIST")), "user=app")
	if users < 2 || users > 2+2+2 { // for writing, for reading, and two subscriptions
		t.Errorf("%d connections with pool 2", users)
	}
	if keyspace := fmt.Sprint(r.MustDo("INFO", "keyspace")); !strings.Contains(keyspace, "db3:") || strings.Contains(keyspace, "db0:") {
		t.Errorf("databases: %s", keyspace)
	}
	r.MustDo("SWAPDB", 0, 3)
	keys, _ := r.MustDo("KEYS", "*").([]any)
	if len(keys) == 0 {
		t.Error("no keys")
	}
	for _, key := range keys {
		if !strings.HasPrefix(fmt.Sprint(key), "app:") {
			t.Errorf("key %v", key)
		}
	}
	if a := s.post(stepEvent("g", "one", 1), "Host: guarded.localhost:"+s.port); a.status != http.StatusCreated {
		t.Errorf("by Sentinel: %v", a)
	}
	if got := inRedis(t, c.Master(), "g"); !slices.Equal(got, []string{"one"}) {
		t.Errorf("the master has %v", got)
	}
}
