package web

import (
	"context"
	"errors"
	"net/url"
	"regexp"
	"time"

	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/edge"
	"parvis/internal/fault"
	"parvis/internal/federation"
	"parvis/internal/page"
	"parvis/internal/signin"
)

var (
	addFields           = page.Fields{"device", "kind", "code", "response"}
	authenticatorFields = page.Fields{"device"}
	recoveryCodesFields = page.Fields{"set", "next"}
	linkFields          = page.Fields{"link"}
)

// authenticator is an authenticator app or a passkey, as its owner sees it.
type authenticator struct {
	ID        string
	Name      string
	Passkey   bool
	Model     string // model of a passkey's authenticator, where it is known
	Synced    bool   // a passkey that may live on several devices
	CreatedAt time.Time
	UsedAt    time.Time // zero before the first use
}

// authenticators returns the authenticators of a user, the oldest of each kind first.
func authenticators(f credential.Factors) []authenticator {
	var all []authenticator
	for _, a := range f.Apps {
		all = append(all, authenticator{ID: a.ID, Name: a.Name, CreatedAt: a.CreatedAt, UsedAt: a.UsedAt})
	}
	for _, k := range f.Passkeys {
		all = append(all, authenticator{
			ID: k.ID, Name: k.Name, Passkey: true, Model: k.Model(), Synced: k.Synced(), CreatedAt: k.CreatedAt, UsedAt: k.UsedAt,
		})
	}
	return all
}

// few is the number of recovery codes at which the person is reminded.
const few = 2

// reminder says that recovery codes are missing or few; the zero value says nothing.
type reminder struct {
	Due  bool
	Left int
}

func remind(owns bool, codes int) reminder { return reminder{owns && codes <= few, codes} }

func owner(v *page.Viewer) credential.Owner {
	return credential.Owner{OrgID: v.User.OrgID, UserID: v.User.ID}
}

// securityPage shows what a person signs in with: authenticators, recovery codes and password.
type securityPage struct {
	Devices      []authenticator
	Required     bool // a second step is required
	Passkeys     bool // this installation accepts them
	Codes        int  // recovery codes that still work
	Reminder     reminder
	PasswordAt   time.Time // when the password was set; zero where there is none
	Alone        bool      // a passkey alone signs in
	Passwordless bool      // the password may be removed
	Did          string    // what was just done; empty where nothing was
	Accepted     string    // for the browser: the passkeys that are of use
	Removed      string    // for the browser: one that no longer is
	Links        []federation.Link
	There        bool // people sign in only by a provider, which answers for its own factors
}

// did says what each deed did that the page's address may name, and what it brought with it.
var did = map[string][2]string{
	"added":            {"web.security.did_added", ""},
	"renamed":          {"web.security.did_renamed", ""},
	"removed":          {"web.security.did_removed", "web.change.ended"},
	"unlinked":         {"console.links.undone", ""},
	"password-removed": {"web.security.did_password_removed", "web.security.did_passkeys"},
	"password-created": {"web.security.did_password_created", "web.change.ended"},
}

// DidKey returns the key of what was just done.
func (p securityPage) DidKey() string { return did[p.Did][0] }

// DidToo returns the key of what that brought with it; empty where it brought nothing.
func (p securityPage) DidToo() string { return did[p.Did][1] }

func (s account) showSecurity(v *page.Viewer) error {
	ctx := v.R.Context()
	factors, err := s.signIn.Authenticators.FactorsOf(ctx, s.site.DB, owner(v))
	if err != nil {
		return err
	}
	rules, err := signin.SecondStepRulesOf(ctx, s.site.DB, v.User.OrgID)
	if err != nil {
		return err
	}
	password, err := credential.StoredPassword(ctx, s.site.DB, owner(v))
	if err != nil {
		return err
	}
	p := securityPage{
		Devices: authenticators(factors), Required: rules.RequiredOf(v.User.Role, s.site.DB.Now()), Passkeys: s.signIn.Passkeys != nil,
		Codes: factors.Recovery, Reminder: remind(factors.Any(), factors.Recovery), PasswordAt: password.SetAt,
		Alone: s.signIn.Passkeys != nil && rules.Passwordless && factors.OpenAlone(),
	}
	p.Passwordless = p.Alone && factors.Passwordless() && password.Exists()
	if p.Links, err = federation.LinksOf(ctx, s.site.DB, v.User.OrgID, v.User.ID); err != nil {
		return err
	}
	p.There = v.Organization.FederatedOnly() || len(p.Links) > 0 && !password.Exists() && !p.Alone
	for deed := range did {
		if v.Just(deed) {
			p.Did = deed
		}
	}
	if s.signIn.Passkeys != nil {
		p.Accepted = s.signIn.Passkeys.Accepted(factors.Passkeys)
		if p.Removed, err = s.removedPasskey(v); err != nil {
			return err
		}
	}
	v.NoForm() // its forms are buttons
	return v.Render("account-security", p)
}

// undoLink removes one of the viewer's own links to a provider.
func (s account) undoLink(v *page.Viewer) error {
	return v.Do(func(ctx context.Context, tx *db.Tx) error {
		return s.hub.Unlink(ctx, tx, v.User.AsActor(), v.User.OrgID, v.User.ID, v.Form.Get("link"))
	}, v.Path("account/security")+"?unlinked")
}

// credentialID matches the ids by which browsers know passkeys.
var credentialID = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// removedPasskey returns the passkey that the address names as just removed, for the browser to
// forget, unless somebody has it: no link can make a browser forget a passkey in use.
func (s account) removedPasskey(v *page.Viewer) (string, error) {
	id := v.R.URL.Query().Get("removed")
	if !credentialID.MatchString(id) {
		return "", nil
	}
	unknown, err := credential.PasskeyUnknown(v.R.Context(), s.site.DB, id)
	if err != nil || !unknown {
		return "", err
	}
	return s.signIn.Passkeys.Removed(id), nil
}

// authenticatorPage shows one authenticator, to rename and to remove.
type authenticatorPage struct {
	authenticator
	Stays *fault.Error // why it cannot be removed, if so
	Codes bool         // the recovery codes are removed with it
}

// theAuthenticator returns the authenticator that the path names, if it is the viewer's own: other
// people's authenticators are not found.
func (s account) theAuthenticator(v *page.Viewer) (authenticator, credential.Factors, error) {
	factors, err := s.signIn.Authenticators.FactorsOf(v.R.Context(), s.site.DB, owner(v))
	if err != nil {
		return authenticator{}, factors, err
	}
	for _, d := range authenticators(factors) {
		if d.ID == v.R.PathValue("device") {
			return d, factors, nil
		}
	}
	return authenticator{}, factors, credential.ErrAuthenticatorGone
}

func (s account) showAuthenticator(v *page.Viewer) error {
	d, factors, err := s.theAuthenticator(v)
	if err != nil {
		return err
	}
	p := authenticatorPage{authenticator: d, Codes: factors.Recovery > 0 && !factors.Without(d.ID).Any()}
	if err := s.signIn.MayRemove(v.R.Context(), v.Visit, factors, d.ID); err != nil && !errors.As(err, &p.Stays) {
		return err
	}
	return v.Render("account-device", p)
}

func (s account) changeAuthenticator(v *page.Viewer) error {
	ctx := v.R.Context()
	d, factors, err := s.theAuthenticator(v)
	if err != nil {
		return err
	}
	security := v.Path("account/security")
	if v.Form.Do() != "remove" {
		return v.Done(s.signIn.RenameAuthenticator(ctx, v.Visit, d.ID, v.Form.Get("device")), security+"?renamed")
	}
	return v.Done(s.signIn.RemoveAuthenticator(ctx, v.Visit, d.ID), security+"?"+url.Values{"removed": {credentialOf(factors, d.ID)}}.Encode())
}

// credentialOf returns the id by which the browser knows a passkey; empty for an app.
func credentialOf(f credential.Factors, id string) string {
	for _, k := range f.Passkeys {
		if k.ID == id {
			return k.CredentialID()
		}
	}
	return ""
}

// recoveryCodesPage makes recovery codes and shows them, once.
type recoveryCodesPage struct {
	Left  int
	Set   string   // names the current set
	Codes []string // set right after they were made
	Next  string   // where to continue
	First bool     // shown as a step of signing in
	File  string   // name of the file to keep them in
}

func (s account) recoveryCodesPage(v *page.Viewer) (recoveryCodesPage, error) {
	ctx := v.R.Context()
	p := recoveryCodesPage{Next: v.Path("account/security"), File: "parvis-" + v.Organization.ShortName + ".txt"}
	next := v.R.URL.Query().Get("next")
	if v.Form.Has("next") {
		next = v.Form.Get("next")
	}
	if next != "" {
		p.Next, p.First = edge.LocalPath(next), true
	}
	var err error
	if p.Left, err = credential.RecoveryCodesLeft(ctx, s.site.DB, owner(v)); err != nil {
		return p, err
	}
	p.Set, err = credential.RecoverySetID(ctx, s.site.DB, owner(v))
	return p, err
}

func (s account) showRecoveryCodes(v *page.Viewer) error {
	owns, err := s.signIn.OwnsSecondStep(v.R.Context(), v.Visit)
	if err != nil {
		return err
	}
	switch {
	case !owns && v.Form.Refused():
		return signin.ErrNoAuthenticator
	case !owns: // codes stand in for an authenticator, and there is none
		return v.Redirect(v.Path("account/security"))
	}
	p, err := s.recoveryCodesPage(v)
	if err != nil {
		return err
	}
	return v.Render("account-codes", p)
}

// makeRecoveryCodes answers with the codes themselves: no other page ever shows them. A form
// sent again, by a reload, makes no others.
func (s account) makeRecoveryCodes(v *page.Viewer) error {
	codes, err := s.signIn.NewRecoveryCodes(v.R.Context(), v.Visit, v.Remembered(), v.Form.Get("set"))
	if err != nil {
		return err
	}
	p, err := s.recoveryCodesPage(v)
	if err != nil {
		return err
	}
	p.Codes = codes
	v.NoForm()
	return v.Render("account-codes", p)
}
