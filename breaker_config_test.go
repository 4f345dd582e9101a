package lifeline

import (
	"fmt"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
)

// adaptAndValidate is `caddy validate` in this process.
func adaptAndValidate(caddyfile string) error {
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return err
	}
	cfg := new(caddy.Config)
	if err := caddy.StrictUnmarshalJSON(config, cfg); err != nil {
		return err
	}
	return caddy.Validate(cfg)
}

// TestBreakerOptionErrors: each option of breaker twice, with a wrong count, and with
// bad values.
func TestBreakerOptionErrors(t *testing.T) {
	for option, c := range map[string]struct {
		good string
		bad  map[string]string // value → in the message
	}{
		"failure_threshold": {"3", map[string]string{"": "failure_threshold", "1 2": `too many: "2"`, "0": "at least 1", "x": `"x"`}},
		"reset_timeout":     {"10s", map[string]string{"": "reset_timeout", "1s 2s": `too many: "2s"`, "soon": `"soon"`, "-1s": `"-1s"`}},
		"backoff":           {"2 1m", map[string]string{"": "backoff", "2": "backoff", "2 1m 3": "backoff", "0.5 1m": `"0.5"`, "2 x": `"x"`, "2 1s": "Backoff.Max"}},
		"probes":            {"2", map[string]string{"": "probes", "1 2": `too many: "2"`, "0": "at least 1", "5000": "Probes is 5000"}},
		"probe_successes":   {"2", map[string]string{"": "probe_successes", "1 2": `too many: "2"`, "0": "at least 1"}},
		"probe_timeout":     {"5s", map[string]string{"": "probe_timeout", "1s 2s": `too many: "2s"`, "x": `"x"`}},
		"probe_every":       {"1s", map[string]string{"": "probe_every", "1s 2s": `too many: "2s"`, "0s": `"0s"`}},
		"adaptive":          {"", map[string]string{"on": `"on"`}},
		"rate":              {"0.5 10s 20", map[string]string{"": "rate", "0.5 10s": "rate", "0.5 10s 20 1": "rate", "0 10s 20": `"0"`, "1.5 10s 20": `"1.5"`, "NaN 10s 20": `"NaN"`, "0.5 x 20": `"x"`, "0.5 10s 0": "at least 1"}},
		"slow":              {"1s 0.5 10s 20", map[string]string{"": "slow", "1s 0.5 10s": "slow", "1s 0.5 10s 20 1": "slow", "x 0.5 10s 20": `"x"`, "1s 0 10s 20": `"0"`, "1s 0.5 x 20": `"x"`, "1s 0.5 10s x": `"x"`}},
	} {
		check := func(lines, want string, line int) {
			t.Helper()
			problem := ""
			if err := adaptAndValidate("{\n lifeline {\n breaker {\n" + lines + "\n}\n}\n}\n"); err != nil {
				problem = err.Error()
			}
			if want == "" && problem != "" {
				t.Errorf("%s: refused: %s", lines, problem)
			}
			if want != "" && (!strings.Contains(problem, want) || line > 0 && !strings.Contains(problem, fmt.Sprintf("Caddyfile:%d", line))) {
				t.Errorf("%q: want %s and line %d in %q", lines, want, line, problem)
			}
		}
		good := option + " " + c.good
		check(good, "", 0)
		check(good+"\n"+good, option+" is set on line 4 already", 5)
		for value, want := range c.bad {
			line := 4
			if strings.Contains(want, " is ") || strings.Contains(want, ".") && !strings.Contains(want, `"`) {
				line = 0 // found by package breaker, which knows of no file
			}
			check(option+" "+value, want, line)
		}
	}
}
