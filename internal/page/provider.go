package page

import (
	"net/http"
	"net/url"
	"strings"
	"time"
)

// CrossSite mounts what other sites' pages, frames and servers send to us: an identity
// provider's answers, and its word that somebody signed out there. No cookie comes
// with it, and whoever handles it believes nothing but what it says itself.
func (s *Site) CrossSite(pattern string, h func(*Visitor) error) {
	s.foreign[pattern] = true
	s.handle(pattern, "another site", s.serve(h))
}

// fromElsewhere tells that a request goes where other sites may post to.
func (s *Site) fromElsewhere(r *http.Request) bool {
	_, pattern := s.mux.Handler(r)
	return s.foreign[pattern]
}

// Reference is what log, error page and explanation of this request share.
func (v *Visitor) Reference() string { return v.ref }

// going is the page that leads to an identity provider.
type going struct{ Provider, Address string }

// GoTo answers a form with a page that leads to an identity provider, because no
// redirect that follows a form leaves our origin (decision 0003). Who calls made the
// address of a connection's settings.
func (v *Visitor) GoTo(provider, address string) error {
	v.NoForm()
	return v.Render("going", going{provider, address})
}

// Posted is a form that the browser carries to an identity provider or an application.
type Posted struct {
	To, Address string // what it is called, and where the form goes
	Fields      url.Values
}

// PostOut answers with a page whose form goes to another origin, by script at once and by
// its button without. That page holds this one form, and may send it anywhere that is
// encrypted: Chromium judges by form-action where the receiver redirects on to as well,
// which nobody here knows. An address on loopback is named beside (R-WEB-01).
func (v *Visitor) PostOut(p Posted) error {
	to, err := url.Parse(p.Address)
	if err != nil {
		return err
	}
	may := "form-action https:"
	if to.Scheme != "https" {
		may += " " + to.Scheme + "://" + to.Host
	}
	now := v.W.Header().Get("Content-Security-Policy") // frames may stand in it
	v.W.Header().Set("Content-Security-Policy", strings.Replace(now, "form-action 'self'", may, 1))
	v.NoForm()
	return v.Render("post-out", p)
}

// Load has the page to come load addresses of applications in frames that nobody sees:
// so a browser tells them that it signed out (OIDC Front-Channel Logout §3). That page
// alone may frame, and those origins alone.
func (v *Visitor) Load(frames []string) {
	var origins []string
	for _, address := range frames {
		if u, err := url.Parse(address); err == nil && u.Host != "" {
			origins = append(origins, u.Scheme+"://"+u.Host)
			v.frames = append(v.frames, address)
		}
	}
	if len(v.frames) > 0 {
		v.W.Header().Set("Content-Security-Policy", policy+"; frame-src "+strings.Join(origins, " "))
	}
}

// ResponseLasts is how long what a provider's page had posted waits for the browser
// to come back with its cookies (decision 0031).
const ResponseLasts = 2 * time.Minute

// KeepResponse lets the browser find what was posted from another site, for which it
// brought no cookies.
func (v *Visitor) KeepResponse(token string) { v.setCookie(responseCookie, token, ResponseLasts) }

// Response is what KeepResponse kept; it is given once.
func (v *Visitor) Response() string {
	token := v.cookie(responseCookie)
	if token != "" {
		v.clearCookie(responseCookie)
	}
	return token
}
