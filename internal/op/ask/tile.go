package ask

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/i18n"
	"parvis/internal/op"
	"parvis/internal/page"
	"parvis/internal/session"
)

// Tile is an application as a person's home page shows it.
type Tile struct {
	ID          application.ID
	Title       string
	Description string
	Address     string // host to show; empty without one
	Link        bool   // an address that does not use our sign-in
	Connected   bool   // it has an address
	Failed      bool   // that address does not answer
	HasLogo     bool
	Version     string // changes with the logo, which a browser caches
	Uses        int
	UsedAt      time.Time // zero before the first time
}

// Mark returns the name of the drawing for a tile without a logo. Where it has none, initials
// stand.
func (t Tile) Mark() string { return string(t.ID) }

// tints is how many the style sheet has.
const tints = 5

// Tint returns the number of the colour behind the initials, which the title never changes.
func (t Tile) Tint() int {
	sum := 0
	for _, b := range []byte(t.ID) {
		sum += int(b)
	}
	return sum % tints
}

// Tiles returns the applications of a person: the first that is shipped, then the one that they
// used most (decision 0058).
func (p *Pages) Tiles(ctx context.Context, v session.Visit, tag i18n.Tag) ([]Tile, error) {
	var mine []application.Openable
	err := p.DB.View(ctx, func(tx *db.Tx) (err error) {
		mine, err = application.ForPerson(ctx, tx, v.User)
		return err
	})
	var all []Tile
	for _, o := range mine {
		all = append(all, tileOf(o, tag, p.DB.Now()))
	}
	slices.SortFunc(all, func(a, b Tile) int {
		return cmp.Or(first(a)-first(b), b.Uses-a.Uses, shipped(a)-shipped(b), strings.Compare(strings.ToLower(a.Title), strings.ToLower(b.Title)), strings.Compare(string(a.ID), string(b.ID)))
	})
	return all, err
}

// first ranks the application that stands before all others.
func first(t Tile) int { return min(shipped(t), 1) }

// shipped ranks the applications that are shipped, in their order, before all others.
func shipped(t Tile) int {
	if i := slices.Index(application.Shipped, t.ID); i >= 0 {
		return i
	}
	return len(application.Shipped)
}

// tileOf returns the tile of an application. It shows a failure only when a second look, after
// LooksEvery, has failed too.
func tileOf(c application.Openable, tag i18n.Tag, now time.Time) Tile {
	return Tile{
		ID: c.ID, Title: c.Title(tag), Description: c.Description(tag), Address: hostOf(c.Target()), Link: c.Kind == application.Link,
		Connected: c.Connected(), Failed: !c.FailedAt.IsZero() && now.Sub(c.FailedAt) >= application.LooksEvery, HasLogo: c.HasLogo,
		Version: c.Version(), Uses: c.Uses, UsedAt: c.UsedAt,
	}
}

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return cmp.Or(u.Host, u.Scheme)
}

// way returns where a tile leads. An application with an initiate_login_uri also learns our
// issuer and the organization (OIDC Core §4).
func (p *Pages) way(c application.Application, o directory.Organization) string {
	if c.Settings.InitiateURI == "" {
		return c.Settings.Address
	}
	more := url.Values{"iss": {p.Base}, "organization": {o.ShortName}}
	if c.Settings.Address != "" {
		more.Set("target_link_uri", c.Settings.Address)
	}
	return op.WithQuery(c.Settings.InitiateURI, more)
}

// switchPage warns that opening this application closes those of another organization.
type switchPage struct {
	Title string
	Path  string
	Back  string
}

// mine returns the application that the path names, if the viewer may open it.
func (p *Pages) mine(v *page.Viewer) (application.Application, error) {
	ctx := v.R.Context()
	c, err := application.Registered(ctx, p.DB, v.R.PathValue("client"))
	if err != nil {
		return application.Application{}, err
	}
	may, err := application.May(ctx, p.DB, c, v.Visit)
	if err == nil && (may != application.Allowed || c.Target() == "") {
		err = application.ErrUnknown
	}
	return c, err
}

// open leads from a tile to its application. If another organization was chosen later in this
// browser, or has something open here, a page asks the person first, because the application
// could open for that organization.
func (p *Pages) open(v *page.Viewer) error {
	c, err := p.mine(v)
	if err != nil {
		return err
	}
	other, err := p.elsewhere(v)
	if err != nil {
		return err
	}
	if other && c.Kind != application.Link {
		v.NoForm()
		return v.Render("op-switch", switchPage{c.Title(v.Language()), v.R.URL.EscapedPath(), v.Path("home")})
	}
	if c.Kind == application.Link {
		if err := p.DB.Update(v.R.Context(), func(tx *db.Tx) error { return application.CountUse(v.R.Context(), tx, c, v.Visit) }); err != nil {
			return err
		}
	}
	to := p.way(c, v.Organization)
	if len(to) > mostLocation {
		v.NoForm()
		return v.Render("op-going", leadingTo(c.Title(v.Language()), to))
	}
	http.Redirect(v.W, v.R, to, http.StatusSeeOther)
	return nil
}

// switchAndOpen switches to this organization, and leads on to the application.
func (p *Pages) switchAndOpen(v *page.Viewer) error {
	c, err := p.mine(v)
	if err == nil {
		err = p.Switch(v.R.Context(), v.Visit)
	}
	if err != nil {
		return err
	}
	v.NoForm()
	return v.Render("op-going", leadingTo(c.Title(v.Language()), p.way(c, v.Organization)))
}

// elsewhere reports whether another session of this browser was chosen later, or an application
// has an open grant of one.
func (p *Pages) elsewhere(v *page.Viewer) (bool, error) {
	if !v.Company {
		return false, nil
	}
	visits, err := v.Visits(v.R.Context())
	if err != nil {
		return false, err
	}
	if slices.ContainsFunc(visits, func(w session.Visit) bool { return w.Session.ChosenAt().After(v.Session.ChosenAt()) }) {
		return true, nil
	}
	return p.HoldsElsewhere(v.R.Context(), v.Session)
}

// showLogo serves the logo of an application of the installation or of the viewer's own
// organization.
func (p *Pages) showLogo(v *page.Viewer) error {
	ctx := v.R.Context()
	c, err := application.Registered(ctx, p.DB, v.R.PathValue("client"))
	if err == nil && c.OrgID != "" && c.OrgID != v.User.OrgID {
		err = application.ErrUnknown
	}
	if err != nil {
		return err
	}
	content, err := application.Logo(ctx, p.DB, c)
	if err != nil {
		return err
	}
	return v.ShowPicture(content, page.KeptForEver)
}
