package lifeline_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/actionflows/lifeline"
)

// TestRedisErrors: the same for every option of storage redis, on line 5 or, in the
// block of tls, 6.
func TestRedisErrors(t *testing.T) {
	t.Setenv("SECRET", "hunter2")
	s := newServer(t)
	redis := func(url, options string) string {
		return site("lifeline {\n storage redis "+url+" {\n"+options+"\n}\n}", "")
	}
	const one = "redis://localhost"
	inTLS := func(options string) string { return redis("rediss://localhost", "tls {\n"+options+"\n}") }
	for name, c := range map[string]struct {
		caddyfile string
		want      []string
	}{
		"no URL":       {site("lifeline {\n storage redis\n}", ""), []string{"Caddyfile:4", "takes a URL"}},
		"two URLs":     {site("lifeline {\n storage redis redis://a redis://b\n}", ""), []string{"Caddyfile:4", `one value too many: "redis://b"`}},
		"unknown word": {redis(one, "retries 3"), []string{"Caddyfile:5", `unknown option "retries" of storage redis`}},

		"cluster twice":       {redis(one, "cluster a\ncluster b"), []string{"Caddyfile:6", "cluster is set on line 5 already"}},
		"cluster, bad addr":   {redis("redis://", "cluster a:1 b:x"), []string{"hub default: storage", "redis cluster: address 2 is not of the form host:port"}},
		"cluster and host":    {redis(one, "cluster a:1"), []string{`redis URL names the host "localhost"`, "as in redis://"}},
		"cluster, no address": {redis("redis://", "cluster"), []string{"redis cluster: neither the option nor the URL has an address"}},
		"cluster and db":      {redis(one, "cluster\ndb 1"), []string{"redis database 1: a cluster has only database 0"}},
		"cluster, variable":   {redis("redis://", "cluster {env.NOT_SET_ANYWHERE}"), []string{"cluster: ", "NOT_SET_ANYWHERE"}},
		"both kinds":          {redis("redis://", "cluster a\nsentinel m b"), []string{"redis: either cluster or sentinel, not both"}},

		"sentinel twice":      {redis(one, "sentinel m a\nsentinel m b"), []string{"Caddyfile:6", "sentinel is set on line 5 already"}},
		"sentinel alone":      {redis(one, "sentinel m"), []string{"Caddyfile:5", "sentinel takes the master's name and the Sentinels' addresses"}},
		"sentinel, bad addr":  {redis("redis://", "sentinel m redis://x"), []string{"redis sentinel: address 1 is not of the form host:port"}},
		"sentinel and host":   {redis(one, "sentinel m a"), []string{`redis URL names the host "localhost"`}},
		"sentinel by socket":  {redis("unix:///x", "sentinel m a"), []string{"sentinel cannot be reached by a unix socket"}},
		"password twice":      {redis("redis://", "sentinel m a\nsentinel_password a\nsentinel_password b"), []string{"Caddyfile:7", "sentinel_password is set on line 6 already"}},
		"two passwords":       {redis("redis://", "sentinel m a\nsentinel_password a b"), []string{"Caddyfile:6", "one value too many"}},
		"no password":         {redis("redis://", "sentinel m a\nsentinel_password"), []string{"Caddyfile:6", "sentinel_password takes one value"}},
		"password of nobody":  {redis(one, "sentinel_password a"), []string{"Caddyfile:6", "sentinel_password needs the option sentinel"}},
		"password, variable":  {redis("redis://", "sentinel m a\nsentinel_password {env.NOT_SET_ANYWHERE}"), []string{"sentinel_password: ", "NOT_SET_ANYWHERE"}},
		"sentinel, variable":  {redis("redis://", "sentinel m {env.NOT_SET_ANYWHERE}"), []string{"sentinel: ", "NOT_SET_ANYWHERE"}},
		"address is a secret": {redis("redis://", "sentinel m redis://:{env.SECRET}@h"), []string{"address 1 is not of the form host:port"}},

		"tls twice":        {redis("rediss://localhost", "tls {\n}\ntls {\n}"), []string{"Caddyfile:7", "tls is set on line 5 already"}},
		"tls with a value": {redis("rediss://localhost", "tls on"), []string{"Caddyfile:5", `one value too many: "on"`}},
		"tls, not secure":  {redis(one, "tls {\n}"), []string{"redis tls: the URL must begin with rediss://"}},
		"tls, unknown":     {inTLS("insecure"), []string{"Caddyfile:6", `unknown option "insecure" of storage redis, tls`}},
		"ca twice":         {inTLS("ca a\nca b"), []string{"Caddyfile:7", "ca is set on line 6 already"}},
		"ca without file":  {inTLS("ca"), []string{"Caddyfile:6", "ca takes one value"}},
		"two ca":           {inTLS("ca a b"), []string{"Caddyfile:6", `one value too many: "b"`}},
		"cert alone":       {inTLS("cert a"), []string{"redis tls: cert and key belong together"}},
		"cert twice":       {inTLS("cert a\ncert b"), []string{"Caddyfile:7", "cert is set on line 6 already"}},
		"two certs":        {inTLS("cert a b"), []string{"Caddyfile:6", `one value too many: "b"`}},
		"key alone":        {inTLS("key a"), []string{"redis tls: cert and key belong together"}},
		"key twice":        {inTLS("key a\nkey b"), []string{"Caddyfile:7", "key is set on line 6 already"}},
		"two keys":         {inTLS("key a b"), []string{"Caddyfile:6", `one value too many: "b"`}},
		"name twice":       {inTLS("server_name a\nserver_name b"), []string{"Caddyfile:7", "server_name is set on line 6 already"}},
		"no name":          {inTLS("server_name"), []string{"Caddyfile:6", "server_name takes one value"}},
		"tls, variable":    {inTLS("ca {env.NOT_SET_ANYWHERE}"), []string{"ca: ", "NOT_SET_ANYWHERE"}},

		"username twice": {redis(one, "username a\nusername b"), []string{"Caddyfile:6", "username is set on line 5 already"}},
		"two usernames":  {redis(one, "username a b"), []string{"Caddyfile:5", "one value too many"}},
		"two secrets":    {redis(one, "password"), []string{"Caddyfile:5", "password takes one value"}},
		"bad db":         {redis(one, "db x"), []string{"Caddyfile:5", `db: "x" is not a whole number`}},
		"db and URL":     {redis(one+"/3", "db 4"), []string{"redis database 4: the URL says 3"}},
		"bad prefix":     {redis(one, "key_prefix a}b"), []string{"redis key prefix", "braces"}},
		"prefix twice":   {redis(one, "key_prefix a\nkey_prefix b"), []string{"Caddyfile:6", "key_prefix is set on line 5 already"}},
		"bad timeout":    {redis(one, "timeout soon"), []string{"Caddyfile:5", `timeout: "soon" is not a duration`}},
		"no connections": {redis(one, "pool 0"), []string{"Caddyfile:5", "at least 1"}},
		"secret in URL":  {redis("redis://:{env.SECRET}/x@localhost", ""), []string{"redis URL cannot be read"}},
	} {
		out, code := s.caddy("validate", "--config", s.write(c.caddyfile), "--adapter", "caddyfile")
		if code == 0 {
			t.Errorf("%s: accepted", name)
		}
		out = strings.ReplaceAll(out, `\"`, `"`) // it is logged as JSON
		for _, want := range c.want {
			if !strings.Contains(out, want) {
				t.Errorf("%s: %q is missing in\n%s", name, want, out)
			}
		}
		if strings.Contains(out, "hunter2") {
			t.Errorf("%s: it tells the password:\n%s", name, out)
		}
	}
}

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
