package op

import (
	"net/http"

	"parvis/internal/application"
	"parvis/internal/edge"
)

// Code is an OAuth error code, which libraries of applications compare.
type Code string

// The codes (RFC 6749 §4.1.2.1 and §5.2, OIDC Core §3.1.2.6, RFC 8628 §3.5, RFC 9449 §5,
// RFC 8707 §2, RFC 9396 §5).
const (
	InvalidRequest           Code = "invalid_request"
	InvalidClient            Code = "invalid_client"
	InvalidGrant             Code = "invalid_grant"
	UnauthorizedClient       Code = "unauthorized_client"
	UnsupportedGrantType     Code = "unsupported_grant_type"
	UnsupportedResponseType  Code = "unsupported_response_type"
	InvalidScope             Code = "invalid_scope"
	AccessDenied             Code = "access_denied"
	ServerError              Code = "server_error"
	Unavailable              Code = "temporarily_unavailable"
	LoginRequired            Code = "login_required"
	InteractionRequired      Code = "interaction_required"
	ConsentRequired          Code = "consent_required"
	AccountSelectionRequired Code = "account_selection_required"
	UnmetAuthentication      Code = "unmet_authentication_requirements"
	RequestNotSupported      Code = "request_not_supported"
	RequestURINotSupported   Code = "request_uri_not_supported"
	RegistrationNotSupported Code = "registration_not_supported"
	InvalidToken             Code = "invalid_token"
	InsufficientScope        Code = "insufficient_scope"
	InvalidDPoP              Code = "invalid_dpop_proof"
	AuthorizationPending     Code = "authorization_pending"
	SlowDown                 Code = "slow_down"
	ExpiredToken             Code = "expired_token"
	InvalidTarget            Code = "invalid_target"
	InvalidDetails           Code = "invalid_authorization_details"
)

// Error is an error that an application gets. Its description is for the developer, in
// English, and repeats nothing that was sent.
type Error struct {
	Code        Code
	Description string
	status      int // 400 where zero
}

func (e *Error) Error() string { return string(e.Code) + ": " + e.Description }

func Wrong(c Code, description string) *Error { return &Error{Code: c, Description: description} }

// Status returns the HTTP status of an answer to an application's server.
func (e *Error) Status() int {
	switch {
	case e.status != 0:
		return e.status
	case e.Code == InvalidClient, e.Code == InvalidToken:
		return http.StatusUnauthorized
	}
	return http.StatusBadRequest
}

// onWire translates an answer of ours to an OAuth error without its details.
func onWire(a edge.Answer) *Error {
	switch a.Status {
	case http.StatusTooManyRequests:
		return &Error{SlowDown, "too many tries; wait", a.Status}
	case http.StatusServiceUnavailable:
		return &Error{Unavailable, "the service is not available now; try again", a.Status}
	}
	return &Error{ServerError, "the service could not answer; its log knows why", http.StatusInternalServerError}
}

// WireError returns the OAuth error for the cause of a refusal.
func WireError(why application.Cause) *Error {
	switch why {
	case application.NobodyFits:
		return Wrong(LoginRequired, "nobody is signed in here who fits, or not lately enough")
	case application.SomebodyElse:
		return Wrong(LoginRequired, "somebody else signed in than id_token_hint names")
	case application.MustChoose:
		return Wrong(AccountSelectionRequired, "the person would have to choose who they are")
	case application.NotForThem:
		return Wrong(AccessDenied, "the application is not for this person")
	case application.MustProve:
		return Wrong(InteractionRequired, "the person would have to prove a second factor")
	case application.CannotProve:
		return Wrong(UnmetAuthentication, "the person has no second factor that would reach this acr")
	case application.MustConsent:
		return Wrong(ConsentRequired, "the person would have to be asked")
	case application.NotRefused:
	}
	return Wrong(ServerError, "refused without a reason")
}
