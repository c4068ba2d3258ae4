package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"parvis/internal/access"
	"parvis/internal/fault"
	"parvis/internal/op"
)

var (
	errNoToken = fault.New(fault.Unproven, "api.no_token")
	errProof   = fault.New(fault.Unproven, "api.proof")
	errToken   = fault.New(fault.Unproven, "api.token")
)

// caller finds out who calls, by the bearer token of the one Authorization header (RFC 6750 §2.1).
// A token in the query, in a form or in a cookie is not looked at (R-API-02).
func (s *Server) caller(ctx context.Context, r *http.Request) (access.Caller, error) {
	values := r.Header.Values("Authorization")
	if len(values) == 0 {
		return access.Caller{}, errNoToken
	}
	scheme, text, ok := strings.Cut(values[0], " ")
	if len(values) > 1 || !ok {
		return access.Caller{}, errToken
	}
	if strings.HasPrefix(text, access.TokenPrefix) && strings.EqualFold(scheme, "Bearer") {
		return access.ByToken(ctx, s.DB, text)
	}
	c, err := s.Provider.Bearer(r)
	if told, ok := errors.AsType[*op.Error](err); ok {
		err = errToken
		if told.Code == op.InvalidDPoP {
			err = errProof
		}
	}
	return c, err
}

// The pace of each caller, on each process.
const (
	perSecond = 50
	burst     = 100
	mostRates = 10_000 // callers that are remembered
)

// rates counts the calls of each caller: a bucket of burst calls that fills perSecond.
type rates struct {
	sync.Mutex
	free map[string]time.Time // when the caller's bucket is full again
}

// take counts a call, and returns how long to wait if there were too many.
func (r *rates) take(caller string, now time.Time) time.Duration {
	r.Lock()
	defer r.Unlock()
	if len(r.free) >= mostRates {
		for key, full := range r.free {
			if !full.After(now) {
				delete(r.free, key)
			}
		}
	}
	if r.free == nil {
		r.free = map[string]time.Time{}
	}
	const each = time.Second / perSecond
	full := r.free[caller]
	if full.Before(now) {
		full = now
	}
	if full = full.Add(each); full.Sub(now) > burst*each {
		return full.Sub(now) - burst*each
	}
	r.free[caller] = full
	return 0
}
