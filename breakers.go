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
	"github.com/actionflows/lifeline/events"
)

// maxOperation is how long the body of an operation may be, in bytes, and maxCause
// how much of a cause is kept.
const (
	maxOperation = 4 << 10
	maxCause     = 200
)

const operationNames = "reset|trip|hold|release"

// operate carries out an operation on a breaker of the hub, or on all of them by
// the storage's name, for the admin endpoint and for a site's users alike. It
// answers the Stats of the one, or a list of all. An error is a caddy.APIError.
func (rt *runtime) operate(name, operation string, body io.Reader) (any, error) {
	chosen, err := rt.chooseBreakers(name)
	if err != nil {
		return nil, err
	}
	act, err := readAction(operation, body)
	if err != nil {
		return nil, err
	}
	if operation == "reset" && len(chosen) == len(rt.opened().breakers) {
		rt.opened().storage.ResetCircuitBreaker() // more than each breaker's own Reset
	} else {
		for _, b := range chosen {
			act(b)
		}
	}
	if len(chosen) == 1 {
		return chosen[0].Stats(), nil
	}
	stats := make([]breaker.Stats, len(chosen))
	for i, b := range chosen {
		stats[i] = b.Stats()
	}
	return stats, nil
}

// chooseBreakers answers the breaker of that name, or all when it is that of the
// storage.
func (rt *runtime) chooseBreakers(name string) ([]*breaker.Breaker, error) {
	all, driver := rt.opened().breakers, rt.opened().by.info.Driver
	if len(all) == 0 {
		return nil, apiError(http.StatusConflict, "hub %s has no breaker: it is off, or its storage needs none", rt.name)
	}
	names := make([]string, len(all))
	for i, b := range all {
		names[i] = b.Name()
	}
	if i := slices.Index(names, name); i >= 0 {
		return all[i : i+1], nil
	}
	if len(all) > 1 && name == driver {
		return all, nil
	}
	known := strings.Join(names, ", ")
	if len(all) > 1 {
		known += fmt.Sprintf(", and %s for all of them", driver)
	}
	return nil, apiError(http.StatusNotFound, "hub %s has no breaker %q; it has: %s", rt.name, name, known)
}

// readAction answers what an operation with that body does to a breaker.
func readAction(operation string, body io.Reader) (func(*breaker.Breaker), error) {
	switch operation {
	case "reset":
		return (*breaker.Breaker).Reset, readOperation(body, &struct{}{})
	case "trip":
		return readTrip(body)
	case "hold":
		return readHold(body)
	case "release":
		return (*breaker.Breaker).Release, readOperation(body, &struct{}{})
	default:
		return nil, apiError(http.StatusNotFound, "unknown operation %q; there are %s",
			operation, strings.ReplaceAll(operationNames, "|", ", "))
	}
}

func readTrip(body io.Reader) (func(*breaker.Breaker), error) {
	var request struct {
		Cause string `json:"cause"`
	}
	if err := readOperation(body, &request); err != nil {
		return nil, err
	}
	if len(request.Cause) > maxCause {
		return nil, apiError(http.StatusBadRequest, "cause is %d bytes long, at most %d are allowed", len(request.Cause), maxCause)
	}
	if request.Cause == "" {
		request.Cause = "tripped by an operator"
	}
	cause := errors.New(request.Cause)
	return func(b *breaker.Breaker) { b.Trip(cause) }, nil
}

func readHold(body io.Reader) (func(*breaker.Breaker), error) {
	var request struct {
		State breaker.HoldState `json:"state"`
		For   string            `json:"for"`
	}
	if err := readOperation(body, &request); err != nil {
		return nil, err
	}
	if request.State == 0 {
		return nil, apiError(http.StatusBadRequest, `state is missing; it is "forced-open" or "disabled"`)
	}
	var length time.Duration // 0: for ever
	if request.For != "forever" {
		var err error
		if length, err = caddy.ParseDuration(request.For); err != nil || length <= 0 {
			return nil, apiError(http.StatusBadRequest, `for is %q; it is a duration such as "10m", or "forever"`, request.For)
		}
	}
	return func(b *breaker.Breaker) { b.Hold(request.State, length) }, nil
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
	if !ok || !found || len(h.BreakerAdmin) == 0 || !h.site.Groups.Has(events.GroupHealth) {
		return false
	}
	user, admitted := h.site.AdmitOperator(w, r, http.MethodPost)
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
