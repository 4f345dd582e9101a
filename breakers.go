package lifeline

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"

	"github.com/actionflows/lifeline/breaker"
)

// maxOperation is how long the body of an operation may be, in bytes, and maxCause
// how much of a cause is kept.
const (
	maxOperation = 4 << 10
	maxCause     = 200
)

const operationNames = "reset|trip|hold|release"

// operate carries out an operation on a breaker of the hub, for the admin endpoint
// and for a site's users alike, and answers what the breaker then is. An error is
// a caddy.APIError.
func (rt *runtime) operate(name, operation string, body io.Reader) (breaker.Stats, error) {
	var none breaker.Stats
	b := rt.breaker // set before the hub, and never again
	switch {
	case b == nil:
		return none, apiError(http.StatusConflict, "hub %s has no breaker: it is off, or its storage needs none", rt.name)
	case b.Name() != name:
		return none, apiError(http.StatusNotFound, "hub %s has no breaker %q; it has: %s", rt.name, name, b.Name())
	}
	var err error
	switch operation {
	case "reset":
		if err = readOperation(body, &struct{}{}); err == nil {
			rt.storage.ResetCircuitBreaker() // more than the breaker's own Reset
		}
	case "trip":
		err = tripBreaker(b, body)
	case "hold":
		err = holdBreaker(b, body)
	case "release":
		if err = readOperation(body, &struct{}{}); err == nil {
			b.Release()
		}
	default:
		err = apiError(http.StatusNotFound, "unknown operation %q; there are %s", operation, strings.ReplaceAll(operationNames, "|", ", "))
	}
	if err != nil {
		return none, err
	}
	return b.Stats(), nil
}

func tripBreaker(b *breaker.Breaker, body io.Reader) error {
	var request struct {
		Cause string `json:"cause"`
	}
	if err := readOperation(body, &request); err != nil {
		return err
	}
	if len(request.Cause) > maxCause {
		return apiError(http.StatusBadRequest, "cause is %d bytes long, at most %d are allowed", len(request.Cause), maxCause)
	}
	if request.Cause == "" {
		request.Cause = "tripped by an operator"
	}
	b.Trip(errors.New(request.Cause))
	return nil
}

func holdBreaker(b *breaker.Breaker, body io.Reader) error {
	var request struct {
		State breaker.HoldState `json:"state"`
		For   string            `json:"for"`
	}
	if err := readOperation(body, &request); err != nil {
		return err
	}
	if request.State == 0 {
		return apiError(http.StatusBadRequest, `state is missing; it is "forced-open" or "disabled"`)
	}
	var length time.Duration // 0: for ever
	if request.For != "forever" {
		var err error
		if length, err = caddy.ParseDuration(request.For); err != nil || length <= 0 {
			return apiError(http.StatusBadRequest, `for is %q; it is a duration such as "10m", or "forever"`, request.For)
		}
	}
	b.Hold(request.State, length)
	return nil
}

// readOperation reads the body of an operation, a JSON object or nothing.
func readOperation(body io.Reader, into any) error {
	raw, err := io.ReadAll(io.LimitReader(body, maxOperation+1))
	switch {
	case err != nil:
		return apiError(http.StatusBadRequest, "read the request: %v", err)
	case len(raw) > maxOperation:
		return apiError(http.StatusRequestEntityTooLarge, "the request is longer than %d bytes", maxOperation)
	case len(strings.TrimSpace(string(raw))) == 0:
		return nil
	}
	if err := caddy.StrictUnmarshalJSON(raw, into); err != nil {
		return apiError(http.StatusBadRequest, "the request is not the JSON object expected: %v", err)
	}
	return nil
}

// breakerPath is beneath which a site's users operate on breakers.
const breakerPath = "/api/health/circuit-breakers/"

// serveBreakerAdmin answers POST /api/health/circuit-breakers/{breaker}/{operation}
// to the users that breaker_admin names. false: the path is not one of these.
func (h *Handler) serveBreakerAdmin(w http.ResponseWriter, r *http.Request) bool {
	rest, ok := strings.CutPrefix(r.URL.Path, breakerPath)
	name, operation, found := strings.Cut(rest, "/")
	if !ok || !found || len(h.BreakerAdmin) == 0 {
		return false
	}
	user, admitted := h.site.AdmitUser(w, r, http.MethodPost, h.isBreakerAdmin)
	if !admitted {
		return true
	}
	rt := h.rt
	if rt.ready(r.Context(), startWait) == nil {
		h.site.WriteError(w, http.StatusServiceUnavailable, fmt.Sprintf("hub %s has not started yet", h.Hub))
		return true
	}
	stats, err := rt.operate(name, operation, r.Body)
	if err != nil {
		var refusal caddy.APIError
		errors.As(err, &refusal)
		h.site.WriteError(w, refusal.HTTPStatus, refusal.Err.Error())
		return true
	}
	h.logger.Info("a user has operated on a circuit breaker", zap.String("user", user),
		zap.String("breaker", name), zap.String("operation", operation))
	if err := writeJSON(w, stats); err != nil {
		h.logger.Debug("answer an operation on a circuit breaker", zap.Error(err))
	}
	return true
}

func (h *Handler) isBreakerAdmin(user string) bool {
	return slices.Contains(h.BreakerAdmin, "*") || slices.Contains(h.BreakerAdmin, user)
}
