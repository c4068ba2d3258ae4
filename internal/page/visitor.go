package page

import (
	"cmp"
	"context"
	"net/http"
	"strings"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/edge"
	"parvis/internal/i18n"
	"parvis/internal/secret"
	"parvis/internal/session"
	"parvis/internal/signin"
)

// The cookies beside the browser's token.
const (
	languageCookie   = "parvis-language" // the language that was chosen here
	zoneCookie       = "parvis-zone"     // the browser's time zone, which the script writes
	probeCookie      = "parvis-on"       // shows that the browser accepts cookies, and tells browsers without a token apart
	rememberedCookie = "parvis-device"   // which organization belongs to which address here, sealed
	responseCookie   = "parvis-answer"   // what an identity provider made this browser post
	ceremonyCookie   = "parvis-passkey"  // the passkey dialogue that a page waits for, sealed
)

// browserCookieAge outlives every session: the server decides when a session ends, not the
// cookie (SES-4).
const browserCookieAge = 400 * 24 * time.Hour

// Visitor is one request, by anybody.
type Visitor struct {
	*edge.Request
	Form *Form // never nil

	site    *Site
	lang    i18n.Localizer
	status  int
	viewer  *Viewer
	zone    *time.Location // used by local
	token   secret.Token   // the browser's, where this request made it known
	frames  []string       // addresses of applications that the next page loads
	hasForm bool           // mounted as a form
	noForm  bool           // but shows none this time
}

// Viewer is one request by somebody who is signed in to the organization in its path.
type Viewer struct {
	*Visitor
	session.Visit
}

// Language returns the language of this page.
func (v *Visitor) Language() i18n.Tag { return v.lang.Tag() }

// TimeZone returns the browser's own time zone, where its script named one of our list; new
// people begin with it.
func (v *Visitor) TimeZone() string {
	named := v.Cookie(zoneCookie)
	if _, known := i18n.Zone(named); !known {
		return ""
	}
	return named
}

// Clock returns what the clock of the viewer shows at an instant, by the time zone that the
// person chose or else the browser's, and whether there is any.
func (v *Viewer) Clock(at time.Time) (time.Time, bool) {
	name := cmp.Or(v.User.TimeZone, v.TimeZone())
	zone, known := i18n.Zone(name)
	if !known || name == "" {
		return at, false
	}
	return at.In(zone), true
}

// Text returns a sentence in the language of this page.
func (v *Visitor) Text(key string, pairs ...any) string { return v.lang.Text(key, pairs...) }

// Duration writes a length of time in words, in the language of this page.
func (v *Visitor) Duration(d time.Duration) string { return v.lang.Duration(d) }

// DateTime writes an instant as Frame.DateTime does.
func (v *Visitor) DateTime(t time.Time) string { return v.local().DateTime(t) }

// Date writes an instant like Frame.Date.
func (v *Visitor) Date(t time.Time) string { return v.local().Date(t) }

// DayOfYear writes the day in UTC that begins at t, without its year.
func (v *Visitor) DayOfYear(t time.Time) string { return v.lang.In(time.UTC).DayOfYear(t) }

// Just reports whether this page follows a deed of that name, which redirected here, and no
// form was sent from here since.
func (v *Visitor) Just(deed string) bool {
	return v.R.Method != http.MethodPost && v.R.URL.Query().Has(deed)
}

// Prefer makes this page speak the first known of the given languages, each a list of tags
// separated by spaces, unless a language was chosen in this browser. It is not remembered: what
// one application asks for by ui_locales (OIDC Core §3.1.2.1) must not change the pages that
// another one leads to.
func (v *Visitor) Prefer(languages ...string) {
	if _, chosen := v.site.Catalogue.Known(v.Cookie(languageCookie)); chosen {
		return
	}
	for _, locale := range strings.Fields(strings.Join(languages, " ")) {
		base, _, _ := strings.Cut(strings.ToLower(locale), "-")
		for _, tag := range []string{locale, base} {
			if tag, ok := v.site.Catalogue.Known(tag); ok {
				v.lang = v.site.Catalogue.In(tag)
				return
			}
		}
	}
}

// Used notes that the user of a visit did something, if a person made this request: an
// application's sign-in counts as use (journeys 3.2).
func (v *Visitor) Used(visit session.Visit) (session.Visit, error) {
	if !v.PersonActs() {
		return visit, nil
	}
	return v.site.Sessions.Touch(v.R.Context(), v.site.DB, visit)
}

// Redirect sends the browser to another page of ours.
func (v *Visitor) Redirect(path string) error {
	v.Request.Redirect(path, http.StatusSeeOther)
	return nil
}

// Do does what a form asks for in one transaction and leads to another page. What is refused is
// shown with the form.
func (v *Visitor) Do(deed func(context.Context, *db.Tx) error, next string) error {
	ctx := v.R.Context()
	return v.Done(v.site.DB.Update(ctx, func(tx *db.Tx) error { return deed(ctx, tx) }), next)
}

// Done leads to another page after a deed that has its own transactions, unless it was refused.
func (v *Visitor) Done(err error, next string) error {
	if err != nil {
		return err
	}
	return v.Redirect(next)
}

// RememberedBrowser returns what this browser remembers about the people who signed in with it, and the
// language that was chosen here.
func (v *Visitor) Remembered() signin.RememberedBrowser {
	d := v.site.SignIn.OpenRemembered(v.Cookie(rememberedCookie))
	d.Language, _ = v.site.Catalogue.Known(v.Cookie(languageCookie))
	return d
}

// Enter gives the browser what an attempt opened and leads where the attempt leads.
func (v *Visitor) Enter(opened signin.Opened) error {
	if !opened.Cookie.IsZero() {
		v.SetCookie(edge.BrowserCookie, opened.Cookie.Reveal(), browserCookieAge)
	}
	if opened.Attempt != "" {
		return v.Redirect("/sign-in/" + opened.Attempt)
	}
	v.SetCookie(rememberedCookie, opened.Remembered, browserCookieAge)
	return v.Redirect(cmp.Or(opened.Return, opened.Organization.Path("home")))
}

// neighbours returns who is signed in to this browser, before a page is rendered. It reads them in
// one statement, and only if anybody else is signed in.
func (v *Visitor) neighbours() ([]session.Neighbour, error) {
	switch w := v.viewer; {
	case w == nil:
		return nil, nil
	case !w.Company:
		return []session.Neighbour{{Organization: w.Organization.DisplayName, ShortName: w.Organization.ShortName, User: w.User.Name, Here: true}}, nil
	default:
		return v.site.Sessions.Neighbours(v.R.Context(), v.site.DB, w.Visit, v.site.DB.Now())
	}
}

// KeepCeremony makes the browser keep the passkey dialogue that this page offers until its
// answer comes: the page itself stores nothing (decision 0028).
func (v *Visitor) KeepCeremony(sealed string, age time.Duration) {
	v.SetCookie(ceremonyCookie, sealed, age)
}

// Ceremony returns the dialogue that the latest page of this browser offered.
func (v *Visitor) Ceremony() string { return v.Cookie(ceremonyCookie) }

// Forget clears what this browser keeps of our pages and, if nobody is signed in any longer,
// the cookie.
func (v *Visitor) Forget(nobodyLeft bool) {
	v.W.Header().Set("Clear-Site-Data", `"cache", "storage"`)
	if nobodyLeft {
		v.ClearCookie(edge.BrowserCookie)
	}
}

// probeCookieAge is how long a page with a form may stay open in a browser that has no token
// yet: as long as we keep where an attempt leads.
const probeCookieAge = 24 * time.Hour

// ProbeCookies gives a browser without a token a cookie that opens nothing and is not in the
// database. If it comes back with the form, the browser accepts cookies; it also tells a form that
// was sent twice from the same form of another browser.
func (v *Visitor) ProbeCookies() {
	if v.cookieToken().IsZero() && v.probe().IsZero() {
		v.SetCookie(probeCookie, secret.NewToken().Reveal(), probeCookieAge)
	}
}

func (v *Visitor) probe() secret.Token { return secret.ParseToken(v.Cookie(probeCookie)) }

// Choose returns a language that was chosen for good, and makes this browser remember it.
func (v *Visitor) Choose(typed string) (i18n.Tag, error) {
	tag, ok := v.site.Catalogue.Known(typed)
	if !ok {
		return "", errMalformed.With("Field", languageField)
	}
	v.SetCookie(languageCookie, string(tag), browserCookieAge)
	return tag, nil
}

// chooseLanguage stores a language for this browser and, if somebody is signed in, for that user.
func (v *Visitor) chooseLanguage(typed string) error {
	tag, err := v.Choose(typed)
	if err != nil {
		return err
	}
	v.lang = v.site.Catalogue.In(tag)
	if v.viewer == nil || v.viewer.User.Language == tag {
		return nil
	}
	ctx := v.R.Context()
	return v.site.DB.Update(ctx, func(tx *db.Tx) error { return directory.ChooseLanguage(ctx, tx, v.viewer.User, tag) })
}

// chooseLanguageAndReturn answers the small language form of pages without a form of their own:
// it returns to the page, if that is on our origin.
func (v *Visitor) chooseLanguageAndReturn() error {
	if err := v.readForm(Fields{pageField}); err != nil {
		return err
	}
	if err := v.chooseLanguage(v.Form.Get(languageField)); err != nil {
		return err
	}
	return v.GoOn("")
}

// GoOn leads to the page that a form names, or to otherwise if it names none.
func (v *Visitor) GoOn(otherwise string) error {
	if named := v.Form.Get(pageField); named != "" || otherwise == "" {
		otherwise = edge.LocalPath(named)
	}
	return v.Redirect(otherwise)
}

// syncLanguage sets the language of a page to that of the session's user, and makes the browser
// remember it.
func (v *Visitor) syncLanguage(users i18n.Tag) {
	if _, ok := v.site.Catalogue.Known(string(users)); !ok {
		return
	}
	v.lang = v.site.Catalogue.In(users)
	if c := v.Cookie(languageCookie); c != "" && c != string(users) {
		v.SetCookie(languageCookie, string(users), browserCookieAge)
	}
}
