package api

import (
	"context"
	"time"

	"parvis/internal/api/form"
	"parvis/internal/db"
	"parvis/internal/federation"
	"parvis/internal/upstream"
)

func (x *call) ofConnection(ctx context.Context, r db.Reader, c federation.Connection, place int) (form.Connection, error) {
	_, waits, err := federation.Waiting(ctx, r, c)
	if err != nil {
		return form.Connection{}, err
	}
	out := form.Connection{
		ID: c.ID, Provider: string(c.Provider), Protocol: string(c.Protocol), State: string(c.State), ConnectionSettings: commonOf(c, place),
		Complete: c.Complete(), Tested: c.Tested(), Confirmed: !c.ConfirmedAt.IsZero(), HasLogo: c.Logo != "", Waits: waits,
		CreatedAt: c.CreatedAt.UTC(), ChangedAt: c.ChangedAt.UTC(), TestedAt: moment(c.TestedAt), ConfirmedAt: moment(c.ConfirmedAt),
	}
	if c.Protocol == federation.OIDC {
		out.OpenID = x.ofOpenID(c)
		return out, nil
	}
	out.SAML, err = x.ofSAML(c)
	return out, err
}

func (x *call) ofOpenID(c federation.Connection) *form.OpenID {
	base, there := x.server.Base, c.Found.Provider
	return &form.OpenID{
		OpenIDSettings: openIDOf(c), HasSecret: c.HasSecret, Authorization: there.Authorization, Token: there.Token, UserInfo: there.UserInfo, EndSession: there.EndSession,
		TheirKeys: there.Keys, TheirKeysAt: moment(c.Found.Keys.FetchedAt),
		RedirectURI: c.Callback(base), SignedOutURI: c.SignedOut(base), LogoutURI: c.Logout(base), StartURI: c.Start(base), OurKeys: federation.KeySet(base),
	}
}

func (x *call) ofSAML(c federation.Connection) (*form.SAML, error) {
	base := x.server.Base
	out := &form.SAML{
		SAMLSettings: samlOf(c), TheirEntityID: c.SAML.EntityID, TheirSSO: c.SAML.SSO.Location, TheirSLO: c.SAML.SLO.Location, TheirCertificates: []form.Certificate{},
		RenewedAt: moment(c.RenewedAt), EntityID: c.EntityID(base), ACS: c.ACS(base), SLO: c.SLO(base), Start: c.Start(base), Metadata: c.Metadata(base),
	}
	if c.Renewal != "" {
		why := x.lang.Text(c.Renewal)
		out.Renewal = &why
	}
	all, err := c.Certificates()
	for _, one := range all {
		out.TheirCertificates = append(out.TheirCertificates, form.Certificate{Subject: one.Subject, Fingerprint: one.Fingerprint, From: one.From.UTC(), Until: one.Until.UTC()})
	}
	return out, err
}

type listedAttempts struct {
	ID     string `path:"id"`
	Limit  int    `query:"limit"`
	Cursor string `query:"cursor"`
}

// listAttempts lists what became of sign-ins by a connection, the newest first.
func listAttempts(ctx context.Context, r db.Reader, x *call, in listedAttempts) (form.Page[form.SignInAttempt], error) {
	c, err := federation.ConnectionOf(ctx, r, x.Actor, x.org(), in.ID)
	if err != nil {
		return form.Page[form.SignInAttempt]{}, err
	}
	var before time.Time
	most, err := x.begin(listing{Limit: in.Limit, Cursor: in.Cursor}, &before)
	if err != nil {
		return form.Page[form.SignInAttempt]{}, err
	}
	all, err := federation.TracesOf(ctx, r, federation.TraceQuery{OrgID: x.org(), Connection: c.ID, Before: before, Most: most})
	if err != nil {
		return form.Page[form.SignInAttempt]{}, err
	}
	out := short(all, func(t federation.Trace) form.SignInAttempt { return x.ofAttempt(c, t) })
	if len(all) == most {
		out.Next = x.next(all[len(all)-1].At)
	}
	return out, nil
}

func (x *call) ofAttempt(c federation.Connection, t federation.Trace) form.SignInAttempt {
	out := form.SignInAttempt{
		ID: t.ID, At: t.At.UTC(), Test: t.Test, Passed: t.Refused == "", UserID: optional(string(t.UserID)), Who: t.Who, Network: t.Network, Check: optional(t.Refused),
	}
	if out.Passed {
		return out
	}
	seen := upstream.Trace{Checks: t.Checks}
	check, _ := seen.Failed()
	out.Detail, out.Advice = optional(x.lang.Text("federation.check."+t.Refused)), optional(x.lang.Text(federation.Advice(c.Protocol, check)))
	out.Expected, out.Found = optional(check.Expected), optional(check.Found)
	return out
}
