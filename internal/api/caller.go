package api

import (
	"context"
	"errors"
	"net/http"
	"strings"

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
)
