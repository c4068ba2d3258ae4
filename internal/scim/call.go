package scim

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"strings"

	"parvis/internal/db"
	"parvis/internal/edge"
	"parvis/internal/fault"
	"parvis/internal/i18n"
	"parvis/internal/provisioning"
	"parvis/internal/scim/document"
	"parvis/internal/secret"
)

// call is one call of a source.
type call struct {
	*edge.Request

	server *Server
	lang   i18n.Localizer
	id     string // of the source, as the address says
	source provisioning.Source
	known  bool // the token is the source's
	kept   bool // that the call was made
	notes  document.Notes

	rehearsed *provisioning.Call // unless nil, what is done is undone, and this says what it was
}

func (s *Server) callOf(q *edge.Request) *call {
	tag := s.Catalogue.Match("", q.R.Header.Get("Accept-Language"))
	return &call{Request: q, server: s, lang: s.Catalogue.In(tag), id: q.R.PathValue("source")}
}

var (
	errHost   = fault.New(fault.Misdirected, "scim.host")
	errPace   = fault.New(fault.Throttled, "scim.pace")
	errMedia  = fault.New(fault.MediaType, "scim.media_type")
	errLarge  = fault.New(fault.TooLarge, "scim.large")
	errChange = fault.New(fault.Changed, "scim.changed")
)

// here refuses what was sent under another name than our own. It is not led to the right one: its
// token has gone the wrong way already.
func (x *call) here() error {
	if x.R.Host != x.server.edge.Base.Host {
		return errHost
	}
	return nil
}

// authenticate finds the source by the bearer token of the one Authorization header. A token in the
// query, in a form or in a cookie is not looked at.
func (x *call) authenticate(ctx context.Context) (err error) {
	x.id = x.R.PathValue("source")
	values := x.R.Header.Values("Authorization")
	if len(values) != 1 {
		return provisioning.ErrToken
	}
	scheme, text, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return provisioning.ErrToken
	}
	if x.source, err = x.server.Sources.Authenticate(ctx, x.id, text); err != nil {
		return err
	}
	x.known = true
	if wait := x.server.pace.Take(x.source.ID, x.server.DB.Now()); wait > 0 {
		x.kept = true // a thousand of these would say no more than one
		return errPace.After(wait)
	}
	if x.source.State == provisioning.Stopped {
		return provisioning.ErrStopped
	}
	return nil
}

// logged is the call as it is kept, without its query, which may hold what is known of people.
func (x *call) logged() provisioning.Call {
	return x.loggedAs(x.R.Method, strings.TrimPrefix(x.R.URL.Path, Root+x.id))
}

func (x *call) loggedAs(method, path string) provisioning.Call {
	// A path from outside may have what no database takes as text.
	path = strings.Map(func(r rune) rune { return max(r, ' ') }, strings.ToValidUTF8(path, "?"))
	c := provisioning.Call{Method: method, Path: path}
	for _, n := range x.notes.All {
		c.Notes = append(c.Notes, fault.Reason{Key: n.Key, Args: map[string]any{"At": n.At}})
	}
	return c
}

// write runs a change in the source's transaction.
func (x *call) write(ctx context.Context, as provisioning.Call, do func(*db.Tx, provisioning.Source) error) error {
	if x.kept = true; x.rehearsed == nil {
		return x.server.Sources.Write(ctx, x.source, as, do)
	}
	done, err := x.server.Sources.Rehearse(ctx, x.source, as, do)
	*x.rehearsed = done
	return err
}

// read keeps that a call only read.
func (x *call) read(ctx context.Context) error {
	x.kept = true
	return x.server.Sources.Read(ctx, x.source, x.logged())
}

// body reads the JSON that a request sends.
func (x *call) body() (any, error) {
	media, _, err := mime.ParseMediaType(x.R.Header.Get("Content-Type"))
	if err != nil || media != mediaType && media != "application/json" {
		return nil, errMedia
	}
	all, err := io.ReadAll(io.LimitReader(x.R.Body, document.MostBody+1))
	if err != nil {
		all = nil // the connection broke
	}
	return read(all)
}

// mediaType is the type of all that is answered.
const mediaType = "application/scim+json"

// answer is what a call is answered with.
type answer struct {
	status   int
	body     document.Object // nil for none
	location string
	version  string
	fresh    bool // the caller has it already
}

// answer sends an answer.
func (x *call) answer(a answer) error {
	h := x.W.Header()
	if a.version != "" {
		h.Set("ETag", a.version)
	}
	if a.location != "" {
		h.Set("Content-Location", a.location)
		if a.status == http.StatusCreated {
			h.Set("Location", a.location)
		}
	}
	switch {
	case a.fresh:
		x.W.WriteHeader(http.StatusNotModified)
		return nil
	case a.body == nil:
		x.W.WriteHeader(a.status)
		return nil
	}
	return x.send(a.status, a.body)
}

func (x *call) send(status int, body document.Object) error {
	var text bytes.Buffer
	encode := json.NewEncoder(&text)
	encode.SetEscapeHTML(false)
	if err := encode.Encode(body); err != nil {
		return err
	}
	x.W.Header().Set("Content-Type", mediaType)
	x.W.WriteHeader(status)
	x.W.Write(text.Bytes()) //nolint:errcheck // The caller is gone, which is no error of ours.
	return nil
}

// version returns the weak ETag of what a resource says (RFC 7644 §3.14).
func (s *Server) version(parts ...string) string {
	return `W/"` + base64.RawURLEncoding.EncodeToString(secret.MAC(s.key.Current().Bytes, parts...))[:16] + `"`
}

// fits reports whether a list of ETags, such as If-Match has, names a version. SCIM compares weakly.
func fits(list, version string) bool {
	for tag := range strings.SplitSeq(list, ",") {
		tag = strings.TrimSpace(tag)
		if tag == "*" || strings.TrimPrefix(tag, "W/") == strings.TrimPrefix(version, "W/") {
			return true
		}
	}
	return false
}
