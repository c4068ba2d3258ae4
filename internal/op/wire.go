package op

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"parvis/internal/application"
	"parvis/internal/application/proof"
	"parvis/internal/application/redirect"
	"parvis/internal/audit"
	"parvis/internal/edge"
	"parvis/internal/fault"
)

// MaxBody is how many bytes an application may send: refused before anything is parsed.
const MaxBody = 64 << 10

// call is one request of an application's server, or of its script.
type call struct {
	*edge.Request
	form   url.Values
	client application.Application // zero until it authenticated
	status int                     // of the answer if there is no error
	key    key                     // signs for the client; set by token
	proof  proof.Proof             // by the client's key, if any; set by token
}

// answer is a value that is sent as JSON.
type answer any

// endpoint mounts an address that applications call with a form by POST and that answers in
// JSON. Scripts from an application's own origins may read the answer.
func (p *Provider) endpoint(e *edge.Edge, path string, h func(*call) (answer, error)) {
	e.HandleForeign(path, e.Serve(func(v *edge.Request) error {
		if v.R.Method == http.MethodOptions {
			return preflight(v)
		}
		c := &call{Request: v, status: http.StatusOK}
		out, err := func() (answer, error) {
			if v.R.Method != http.MethodPost {
				v.W.Header().Set("Allow", "POST, OPTIONS")
				return nil, &Error{InvalidRequest, "this endpoint takes POST", http.StatusMethodNotAllowed}
			}
			if err := c.read(); err != nil {
				return nil, err
			}
			return h(c)
		}()
		c.share()
		if err != nil {
			return p.refuseCall(v, err)
		}
		return tell(v, c.status, out)
	}))
}

// read parses the form strictly: it refuses parameters in the address, where logs would keep
// them, and parameters that come twice (RFC 6749 §3.2).
func (c *call) read() error {
	if c.R.URL.RawQuery != "" {
		return Wrong(InvalidRequest, "parameters belong into the body, not into the address")
	}
	media, _, _ := strings.Cut(c.R.Header.Get("Content-Type"), ";")
	if strings.TrimSpace(strings.ToLower(media)) != "application/x-www-form-urlencoded" {
		return Wrong(InvalidRequest, "the body must be application/x-www-form-urlencoded")
	}
	c.R.Body = http.MaxBytesReader(c.W, c.R.Body, MaxBody)
	if err := c.R.ParseForm(); err != nil {
		if _, large := errors.AsType[*http.MaxBytesError](err); large {
			return &Error{InvalidRequest, "the request is larger than 64 kB", http.StatusRequestEntityTooLarge}
		}
		return Wrong(InvalidRequest, "the body cannot be read as a form")
	}
	c.form = c.R.PostForm
	return once(c.form)
}

// once refuses parameters that come twice, and text that a database cannot store.
func once(form url.Values) error {
	for _, name := range slices.Sorted(maps.Keys(form)) {
		if len(form[name]) > 1 {
			return Wrong(InvalidRequest, "a parameter was sent twice")
		}
		if !utf8.ValidString(form.Get(name)) || strings.ContainsRune(form.Get(name), 0) {
			return Wrong(InvalidRequest, "a parameter is not text")
		}
	}
	return nil
}

// tell answers in JSON that may not be cached (RFC 6749 §5.1).
func tell(v *edge.Request, status int, out any) error {
	text, err := json.Marshal(out)
	if err != nil {
		return err
	}
	h := v.W.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	v.W.WriteHeader(status)
	_, _ = v.W.Write(text) // an error means that the caller is gone
	return nil
}

// refusal is the body of an error (RFC 6749 §5.2).
type refusal struct {
	Code        Code   `json:"error"`
	Description string `json:"error_description,omitempty"`
	Reference   string `json:"reference,omitempty"` // to the entry in our log
}

// refuseCall answers a call with an error; every refusal but a token's goes through it.
func (p *Provider) refuseCall(v *edge.Request, err error) error {
	e, ours := errors.AsType[*Error](err)
	if !ours {
		if f, ok := errors.AsType[*fault.Error](err); ok && f.Kind != fault.Throttled {
			err = errors.New(f.Error()) // endpoints must not return sentences for people, so this is our own mistake
		}
		e = onWire(v.Answer(err))
	}
	if e.Status() == http.StatusUnauthorized && e.Code == InvalidClient {
		v.W.Header().Set("WWW-Authenticate", `Basic realm="parvis"`)
	}
	return tell(v, e.Status(), refusal{e.Code, e.Description, v.Reference()})
}

// refuseToken answers a call whose access token is missing or not accepted (RFC 6750 §3, RFC
// 9449 §7.1).
func (p *Provider) refuseToken(v *edge.Request, scheme string, err error) error {
	e, ours := errors.AsType[*Error](err)
	if !ours {
		return p.refuseCall(v, err)
	}
	if e.Code == InvalidDPoP {
		e = &Error{e.Code, e.Description, http.StatusUnauthorized}
	}
	challenge := scheme + ` realm="parvis"`
	if e.Code != "" {
		challenge += `, error="` + string(e.Code) + `", error_description="` + e.Description + `"`
	}
	if scheme == dpopScheme {
		challenge += `, algs="` + strings.Join(proof.Algorithms, " ") + `"`
	}
	v.W.Header().Set("WWW-Authenticate", challenge)
	return tell(v, e.Status(), refusal{e.Code, e.Description, v.Reference()})
}

// preflight answers the CORS preflight of a script from any origin. That is safe, because no
// endpoint trusts a cookie, and share decides later whether the script may read the answer.
func preflight(v *edge.Request) error {
	h := v.W.Header()
	if origin := v.R.Header.Get("Origin"); origin != "" {
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Allow-Methods", "GET, POST")
		h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, DPoP")
		h.Set("Access-Control-Max-Age", "7200")
	}
	h.Set("Vary", "Origin")
	v.W.WriteHeader(http.StatusNoContent)
	return nil
}

// share lets scripts of the client's own origins read the answer.
func (c *call) share() {
	c.W.Header().Set("Vary", "Origin")
	if origin := c.R.Header.Get("Origin"); origin != "" && answersAt(c.client, origin) {
		c.W.Header().Set("Access-Control-Allow-Origin", origin)
		c.W.Header().Set("Access-Control-Expose-Headers", "WWW-Authenticate")
	}
}

// answersAt reports whether one of the client's redirect addresses has this origin.
func answersAt(c application.Application, origin string) bool {
	return slices.ContainsFunc(c.Settings.RedirectURIs, func(address string) bool {
		own, ok := redirect.Origin(address)
		return ok && own == origin
	})
}

// methodNames returns the names of a method in discovery and in errors.
func methodNames(m application.AuthMethod) []string {
	if m == application.Secret {
		return []string{"client_secret_basic", "client_secret_post"}
	}
	return []string{string(m)}
}

// byClient returns an audit event whose actor and target are the client.
func byClient(c application.Application, action audit.Action) audit.Event {
	return audit.Event{OrgID: string(c.OrgID), Actor: string(c.ID), ActorName: c.Settings.Name, Action: action, Target: string(c.ID), TargetName: c.Settings.Name}
}
