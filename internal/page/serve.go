package page

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/fault"
	"parvis/internal/secret"
)

// ServeHTTP is the edge of the site: it gives the request a reference, finds out where it came
// from, sets the headers that every answer carries, refuses what other sites send, and logs one
// line.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := s.DB.Now()
	network, forwarding := s.Source(r)
	origin := audit.Origin{Network: network, Agent: r.UserAgent(), Request: secret.NewID("req")[:14]}
	r = r.WithContext(audit.WithOrigin(r.Context(), origin))
	s.noteSource(r, network, forwarding)
	rec := &recorder{ResponseWriter: w}
	s.setHeaders(rec.Header())
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler { //nolint:errorlint // net/http panics with this very value.
				panic(p)
			}
			s.Log.ErrorContext(r.Context(), "handler panicked", "reference", origin.Request, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			if rec.status == 0 {
				s.visitor(rec, r).fail(errors.New("panic"))
			}
		}
		s.Log.LogAttrs(r.Context(), slog.LevelInfo, "request", slog.String("method", r.Method), slog.String("pattern", r.Pattern),
			slog.Int("status", rec.status), slog.String("reference", origin.Request), slog.String("network", origin.Network),
			slog.Duration("took", s.DB.Now().Sub(began)))
	}()
	if err := s.admit(r); err != nil {
		s.visitor(rec, r).fail(err)
		return
	}
	if to := s.misdirected(r); to != "" {
		http.Redirect(rec, r, to, http.StatusTemporaryRedirect)
		return
	}
	s.mux.ServeHTTP(rec, r)
}

// recorder remembers the status for the log line.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// policy lets a page load its own files and nothing else. No page contains a script or a style,
// so it needs no nonce (R-WEB-01).
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'; report-uri /csp-report"

func (s *Site) setHeaders(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY") // for browsers that do not know frame-ancestors
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=()")
	h.Set("Cache-Control", "no-store")
	if s.secure() {
		h.Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
	}
}

var (
	errCrossSite = fault.New(fault.Denied, "page.cross_site")
	errOtherHost = fault.New(fault.Malformed, "page.other_host")
)

// misdirected returns the address at our public name of a page that was requested under
// another, such as 127.0.0.1 for localhost: cookies belong to the name.
func (s *Site) misdirected(r *http.Request) string {
	if r.Host == s.Base.Host || (r.Method != http.MethodGet && r.Method != http.MethodHead) {
		return ""
	}
	return s.Base.Scheme + "://" + s.Base.Host + LocalPath(r.URL.RequestURI())
}

// admit refuses what another site sends (decision 0004). A browser says where a request comes
// from in Sec-Fetch-Site, an older one in Origin; a request that carries a cookie of ours and
// has neither is refused.
func (s *Site) admit(r *http.Request) error {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		// Another site may lead a person here, and nothing else: requests of its images and
		// frames would only count against the person's network.
		h := r.Header
		if h.Get("Sec-Fetch-Site") == "cross-site" && (h.Get("Sec-Fetch-Mode") != "navigate" || h.Get("Sec-Fetch-Dest") != "document") && !s.fromElsewhere(r) {
			return errCrossSite
		}
		return nil
	}
	if r.Host != s.Base.Host {
		return errOtherHost
	}
	if s.fromElsewhere(r) {
		return nil
	}
	site, origin := r.Header.Values("Sec-Fetch-Site"), r.Header.Values("Origin")
	switch {
	case len(site) > 0:
		if len(site) > 1 || (site[0] != "same-origin" && site[0] != "none") {
			return errCrossSite
		}
	case len(origin) > 0:
		if len(origin) > 1 || origin[0] != s.Base.Scheme+"://"+s.Base.Host {
			return errCrossSite
		}
	case slices.ContainsFunc(r.Cookies(), func(c *http.Cookie) bool { return strings.Contains(c.Name, browserCookie) }):
		return errCrossSite
	}
	return nil
}

func (s *Site) visitor(w http.ResponseWriter, r *http.Request) *Visitor {
	v := &Visitor{W: w, R: r, Form: &Form{values: url.Values{}}, site: s, ref: audit.OriginOf(r.Context()).Request, status: http.StatusOK}
	chosen, _ := s.Catalogue.Known(v.cookie(languageCookie))
	v.lang = s.Catalogue.In(s.Catalogue.Match(chosen, r.Header.Get("Accept-Language")))
	return v
}

func (s *Site) serve(h func(*Visitor) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := s.visitor(w, r)
		if err := h(v); err != nil {
			v.fail(err)
		}
	})
}

// ComeBack is when to try again if the database does not work.
const ComeBack = 10 * time.Second

// problem is what the error page shows.
type problem struct {
	Title, Sentence, Reference, Next string
}

// fail is the one place where an error becomes an answer. A fault's sentence is shown; any
// other error is a mistake of ours: it is logged under the reference that the person sees, and
// nothing of it is shown (R-LOG-06).
func (v *Visitor) fail(err error) {
	if to, moved := errors.AsType[movedTo](err); moved {
		http.Redirect(v.W, v.R, string(to), http.StatusTemporaryRedirect)
		return
	}
	kind, key, args := 0, "page.broken", map[string]any(nil)
	faults := faultsIn(err)
	isFault := len(faults) > 0
	var f *fault.Error
	switch {
	case isFault:
		f = faults[0]
		kind, key, args = f.Kind.Status(), f.Key, f.Args
		v.retryAfter(f)
	case errors.Is(err, errNoPage):
		kind, key = http.StatusNotFound, "page.not_found"
	case errors.Is(err, context.Canceled):
		return // nobody waits for an answer
	case db.IsUnavailable(err) || errors.Is(err, context.DeadlineExceeded):
		kind, key = http.StatusServiceUnavailable, "page.unavailable"
		v.W.Header().Set("Retry-After", strconv.Itoa(seconds(ComeBack)))
	default:
		kind = http.StatusInternalServerError
	}
	if !isFault && kind >= 500 {
		v.site.Log.ErrorContext(v.R.Context(), "request failed", "reference", v.ref, "pattern", v.R.Pattern, "error", err.Error())
	}
	v.status = kind
	var pairs []any
	for name, value := range args {
		pairs = append(pairs, name, value)
	}
	if isFault && f.RetryAfter > 0 {
		pairs = append(pairs, "Wait", v.lang.Duration(f.RetryAfter))
	}
	next := "/"
	if v.viewer != nil {
		next = v.viewer.Path("home")
		v.viewer.Company = v.viewer.Company && kind < 500 // what broke may break the switcher too
	}
	v.noForm = true
	if err := v.Render("problem", problem{
		Title: v.Text("page.problem_title"), Sentence: v.Text(key, pairs...), Reference: v.ref, Next: next,
	}); err != nil {
		v.site.Log.ErrorContext(v.R.Context(), "rendering the problem page", "reference", v.ref, "error", err.Error())
		http.Error(v.W, v.ref, http.StatusInternalServerError)
	}
}

// maxReport is how many bytes of a browser's policy report are looked at.
const maxReport = 8 << 10

// cspReport logs that a page tried to load what the policy forbids.
func (s *Site) cspReport(w http.ResponseWriter, r *http.Request) {
	second := s.DB.Now().Unix()
	if s.reported.Swap(second) == second { // one a second is enough to notice, and does not fill a disk
		w.WriteHeader(http.StatusNoContent)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxReport))
	if err == nil {
		s.Log.WarnContext(r.Context(), "content security policy report", "reference", audit.OriginOf(r.Context()).Request, "report", fmt.Sprintf("%q", body))
	}
	w.WriteHeader(http.StatusNoContent)
}
