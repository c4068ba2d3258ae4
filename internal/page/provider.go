package page

import (
	"net/url"
	"strings"
	"time"

	"parvis/internal/edge"
)

// CrossSite mounts a page for what other sites' pages, frames and servers send to us: an
// identity provider's answers, and its messages that somebody signed out there. They bring no
// cookie, and the handler trusts only what the message itself proves.
func (s *Site) CrossSite(pattern string, h func(*Visitor) error) {
	s.HandleForeign(pattern, s.serve(h))
}

// going is the page that leads to an identity provider.
type going struct{ Provider, Address string }

// GoTo answers a form with a page that leads to an identity provider, because a redirect after a
// form may not leave our origin (decision 0003). The caller has made the address from the settings
// of a connection.
func (v *Visitor) GoTo(provider, address string) error {
	v.NoForm()
	return v.Render("going", going{provider, address})
}

// Posted is a form that the browser takes to an identity provider or an application.
type Posted struct {
	To, Address string // the receiver's name, and where the form is sent
	Fields      url.Values
}

// PostOut answers with a page whose form is sent to another origin, by script at once and by
// its button without script. That page has this one form, and may send it to any encrypted
// address: Chromium also applies form-action to where the receiver redirects, which nobody here
// knows. An address on loopback is named in addition (R-WEB-01).
func (v *Visitor) PostOut(p Posted) error {
	to, err := url.Parse(p.Address)
	if err != nil {
		return err
	}
	may := "form-action https:"
	if to.Scheme != "https" {
		may += " " + to.Scheme + "://" + to.Host
	}
	now := v.W.Header().Get("Content-Security-Policy") // it may already allow frames
	v.W.Header().Set("Content-Security-Policy", strings.Replace(now, "form-action 'self'", may, 1))
	v.NoForm()
	return v.Render("post-out", p)
}

// Load makes the next page load addresses of applications in invisible frames, by which the
// browser tells them that it signed out (OIDC Front-Channel Logout §3). Only that page may have
// frames, and only from those origins.
func (v *Visitor) Load(frames []string) {
	var origins []string
	for _, address := range frames {
		if u, err := url.Parse(address); err == nil && u.Host != "" {
			origins = append(origins, u.Scheme+"://"+u.Host)
			v.frames = append(v.frames, address)
		}
	}
	if len(v.frames) > 0 {
		v.W.Header().Set("Content-Security-Policy", edge.Policy+"; frame-src "+strings.Join(origins, " "))
	}
}

// ResponseLasts is how long something posted by a provider's page waits for the browser to come
// back with its cookies (decision 0031).
const ResponseLasts = 2 * time.Minute

// KeepResponse lets the browser find what was posted from another site without its cookies.
func (v *Visitor) KeepResponse(token string) { v.SetCookie(responseCookie, token, ResponseLasts) }

// Response returns what KeepResponse kept, once.
func (v *Visitor) Response() string {
	token := v.Cookie(responseCookie)
	if token != "" {
		v.ClearCookie(responseCookie)
	}
	return token
}
