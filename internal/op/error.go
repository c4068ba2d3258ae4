package op

import (
	"errors"
	"net/http"

	"parvis/internal/db"
)

// code is an error of the wire: what applications' libraries compare.
type code string

// The codes (RFC 6749 §4.1.2.1 and §5.2, OIDC Core §3.1.2.6, RFC 8628 §3.5, RFC 9449 §5,
// RFC 8707 §2, RFC 9396 §5).
const (
	errInvalidRequest           code = "invalid_request"
	errInvalidClient            code = "invalid_client"
	errInvalidGrant             code = "invalid_grant"
	errUnauthorizedClient       code = "unauthorized_client"
	errUnsupportedGrantType     code = "unsupported_grant_type"
	errUnsupportedResponseType  code = "unsupported_response_type"
	errInvalidScope             code = "invalid_scope"
	errAccessDenied             code = "access_denied"
	errServerError              code = "server_error"
	errUnavailable              code = "temporarily_unavailable"
	errLoginRequired            code = "login_required"
	errInteractionRequired      code = "interaction_required"
	errConsentRequired          code = "consent_required"
	errAccountSelectionRequired code = "account_selection_required"
	errUnmetAuthentication      code = "unmet_authentication_requirements"
	errRequestNotSupported      code = "request_not_supported"
	errRequestURINotSupported   code = "request_uri_not_supported"
	errRegistrationNotSupported code = "registration_not_supported"
	errInvalidToken             code = "invalid_token"
	errInsufficientScope        code = "insufficient_scope"
	errInvalidDPoP              code = "invalid_dpop_proof"
	errAuthorizationPending     code = "authorization_pending"
	errSlowDown                 code = "slow_down"
	errExpiredToken             code = "expired_token"
	errInvalidTarget            code = "invalid_target"
	errInvalidDetails           code = "invalid_authorization_details"
)

// Error is what an application is told. The description is for its developer, in
// English as on every wire, and holds no value that was sent.
type Error struct {
	Code        code
	Description string
	status      int // 400 where zero
}

func (e *Error) Error() string { return string(e.Code) + ": " + e.Description }

func wrong(c code, description string) *Error { return &Error{Code: c, Description: description} }

// Status is the status of an answer server to server.
func (e *Error) Status() int {
	switch {
	case e.status != 0:
		return e.status
	case e.Code == errInvalidClient, e.Code == errInvalidToken:
		return http.StatusUnauthorized
	}
	return http.StatusBadRequest
}

// onWire is the one place where an error becomes one of the wire; known reports whether
// it was one already. Anything else is ours, and nothing of it is told.
func onWire(err error) (e *Error, known bool) {
	if w, ok := errors.AsType[*Error](err); ok {
		return w, true
	}
	if db.IsUnavailable(err) {
		return &Error{errUnavailable, "the service is not available now; try again", http.StatusServiceUnavailable}, false
	}
	return &Error{errServerError, "the service could not answer; its log knows why", http.StatusInternalServerError}, false
}
