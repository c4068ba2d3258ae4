package op

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"parvis/internal/access"
	"parvis/internal/application"
	"parvis/internal/application/redirect"
	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/secret"
	"parvis/internal/session"
)

// Grant is what one authorization gave to one client.
type Grant struct {
	OrgID     directory.OrgID
	ID        string
	ClientID  application.ID
	UserID    directory.UserID // empty for a machine
	SessionID string
	Scope     []string
	Details   Details
	CodeUsed  time.Time
	CreatedAt time.Time
	EndsAt    time.Time
	EndedAt   time.Time

	refresh, previous string // hashes
	previousUntil     time.Time
}

// Details are what tokens say about the sign-in, and what the code is bound to, as they were
// when the code was issued.
type Details struct {
	RedirectURI string   `json:"redirect_uri,omitempty"`
	LeftOut     []string `json:"left_out,omitempty"`   // scopes that were asked for and not registered
	Challenge   string   `json:"challenge,omitempty"`  // PKCE, S256
	Nonce       string   `json:"nonce,omitempty"`      // of the ID token
	AuthTime    int64    `json:"auth_time,omitempty"`  // seconds since 1970
	ACR         string   `json:"acr,omitempty"`        //
	AMR         []string `json:"amr,omitempty"`        //
	Thumbprint  string   `json:"thumbprint,omitempty"` // of the key that its tokens are bound to
	API         bool     `json:"api,omitempty"`        // its tokens are for the administration's API
	Device      bool     `json:"device,omitempty"`     // it began with a device's code
}

// Why a grant ended.
const (
	codeReused    = "code used twice"
	refreshReused = "refresh token used twice"
	revoked       = "revoked by the application"
	withdrawn     = "withdrawn"
	forbidden     = "forbidden"
	sessionEnded  = "session ended"
	switchedAway  = "another organization was chosen"
)

const grantColumns = `g.org_id, g.id, g.client_id, g.user_id, g.session_id, g.scope, g.details, g.code_used_at, g.created_at, g.ends_at, g.ended_at,
	g.refresh_hash, g.previous_hash, g.previous_until`

// targets returns where grantColumns are scanned to.
func (g *Grant) targets() []any {
	return db.Into(&g.OrgID, &g.ID, &g.ClientID, (*db.Text)(&g.UserID), (*db.Text)(&g.SessionID), db.Words(&g.Scope), db.JSON(&g.Details), (*db.Time)(&g.CodeUsed),
		(*db.Time)(&g.CreatedAt), (*db.Time)(&g.EndsAt), (*db.Time)(&g.EndedAt), (*db.Text)(&g.refresh), (*db.Text)(&g.previous), (*db.Time)(&g.previousUntil))
}

// newGrant stores a grant; codeHash is empty if it begins without a code.
func newGrant(ctx context.Context, tx *db.Tx, g Grant, codeHash string) (Grant, error) {
	g.ID, g.CreatedAt = secret.NewID("gr"), tx.Now()
	details, err := json.Marshal(g.Details)
	if err != nil {
		return Grant{}, err
	}
	_, err = tx.Exec(ctx, `
		insert into grants (org_id, id, client_id, user_id, session_id, scope, details, code_hash, created_at, ends_at)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
		string(g.OrgID), g.ID, string(g.ClientID), db.Text(g.UserID), db.Text(g.SessionID), strings.Join(g.Scope, " "), string(details),
		db.Text(codeHash), db.Time(g.CreatedAt), db.Time(g.EndsAt))
	if err != nil {
		return Grant{}, fmt.Errorf("keeping grant %s: %w", g.ID, err)
	}
	return g, nil
}

// bind stores the key to which the grant's refresh tokens are bound from now on.
func bind(ctx context.Context, tx *db.Tx, g Grant) error {
	details, err := json.Marshal(g.Details)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `
		update grants set details = $1
		where org_id = $2 and id = $3`, string(details), string(g.OrgID), g.ID)
	return err
}

// end ends a grant, and with it all of its tokens, and records why in the audit log.
func end(ctx context.Context, tx *db.Tx, g Grant, why string, result audit.Result) error {
	n, err := tx.Exec(ctx, `
		update grants set ended_at = $1, end_reason = $2
		where org_id = $3 and id = $4 and ended_at is null`,
		db.Time(tx.Now()), why, string(g.OrgID), g.ID)
	if err != nil || n == 0 {
		return err
	}
	return audit.Record(ctx, tx, audit.Event{
		OrgID: string(g.OrgID), Actor: string(g.ClientID), ActorName: string(g.ClientID), Action: "grant.ended", Result: result,
		Target: string(g.UserID), After: audit.Fields{"reason": why, "application": g.ClientID, "grant": g.ID},
	})
}

// holder is a grant with its client, person, placement and groups as they are now.
type holder struct {
	Grant
	client application.Application
	visit  session.Visit // zero for a machine
	place  application.Placement
	groups []string
	right  access.Caller // of a machine's grant for the administration's API
}

// heldJoins find a person's grant unless it has lost what it depends on: its session ended,
// its user was deactivated, its organization was suspended, its application was forbidden
// since, or its browser has switched to another organization since. Because these rows are
// joined, each such end takes effect at once wherever they are read (decision 0011).
const heldJoins = `
	from grants g
	join clients c on c.id = g.client_id
	join sessions s on s.org_id = g.org_id and s.id = g.session_id and s.ended_at is null` + session.VisitJoins + `
	left join client_organizations co on co.org_id = g.org_id and co.client_id = g.client_id
	where (co.forbidden_at is null or co.forbidden_at < g.created_at) and not exists (
		select 1 from sessions x
		where x.browser_id = s.browser_id and x.id <> s.id and x.switched_at >= g.created_at)`

// held returns the person's grant that where selects. found is false if there is none, or if
// it has lost what it depends on. The caller still has to look at EndedAt and EndsAt.
func (p *Provider) held(ctx context.Context, r db.Reader, where string, args ...any) (h holder, found bool, err error) {
	h, found, err = heldRow(ctx, r, p.Sessions, where, args...)
	return h, found && h.visit.Open(p.DB.Now()), err
}

// heldRow is held without what time decides, which may be remembered.
func heldRow(ctx context.Context, r db.Reader, sessions *session.Door, where string, args ...any) (h holder, found bool, err error) {
	var v session.Row
	found, err = r.One(ctx, slices.Concat(h.targets(), h.client.Targets(), v.Targets(), h.place.Targets()), `
		select `+grantColumns+`, `+application.Columns+`, `+session.VisitColumns+`, `+application.PlaceColumns+heldJoins+` and `+where, args...)
	if err != nil || !found {
		return holder{}, false, err
	}
	h.visit = sessions.Joined(v)
	// A scope that was removed from the registration is removed from its grants too.
	h.Scope = slices.DeleteFunc(h.Scope, func(s string) bool { return !h.client.Has(s) })
	if h.place.Audience == application.SomeGroups || h.needsGroups() {
		if h.groups, err = application.GroupIDs(ctx, r, h.OrgID, h.UserID); err != nil {
			return holder{}, false, err
		}
	}
	return h, h.place.Admits(h.groups) == application.Allowed, nil
}

// machine finds a grant that a client has for itself.
func (p *Provider) machine(ctx context.Context, r db.Reader, org directory.OrgID, id string) (h holder, found bool, err error) {
	found, err = r.One(ctx, append(h.targets(), h.client.Targets()...), `
		select `+grantColumns+`, `+application.Columns+`
		from grants g
		join clients c on c.id = g.client_id
		left join organizations o on o.id = g.org_id
		left join client_organizations co on co.org_id = g.org_id and co.client_id = g.client_id
		where g.org_id = $1 and g.id = $2 and g.user_id is null and o.suspended_at is null
			and (co.forbidden_at is null or co.forbidden_at < g.created_at)`, string(org), id)
	if err != nil || !found || !h.client.Settings.OwnBehalf {
		return h, false, err
	}
	may := h.client.Has
	if h.Details.API {
		h.right, err = access.RightOf(ctx, r, org, h.ClientID)
		may = func(s string) bool { return h.right.May(access.Scope(s)) }
	}
	// As of held: what the application may no more, it holds no more.
	h.Scope = slices.DeleteFunc(h.Scope, func(s string) bool { return !may(s) })
	if errors.Is(err, access.ErrUnknown) {
		return h, false, nil
	}
	return h, err == nil, err
}

// over reports whether a grant has ended or expired.
func (g Grant) over(now time.Time) bool { return !g.EndedAt.IsZero() || !now.Before(g.EndsAt) }

var (
	errNotOurs = errors.New("no token of ours")
	// errRetired is errNotOurs for a token whose key is no longer published.
	errRetired = fmt.Errorf("%w any more", errNotOurs)
)

// spend exchanges a code for its grant, once. A second valid attempt ends the grant and all
// its tokens (RFC 6749 §4.1.2). The refusal is not an error, because an error would roll that
// end back.
func (p *Provider) spend(ctx context.Context, tx *db.Tx, c application.Application, s spending) (h holder, refresh string, refused *Error, err error) {
	h, found, err := p.held(ctx, tx, `g.code_hash = $1`, s.code.Hash(secret.Code))
	if err != nil {
		return holder{}, "", nil, err
	}
	now := tx.Now()
	d := h.Details
	switch {
	case s.code.IsZero() || !found || h.ClientID != c.ID:
		return holder{}, "", Wrong(InvalidGrant, "the code is unknown, was issued to another client, or its session has ended"), nil
	case d.RedirectURI != s.redirectURI || !redirect.Match(h.client.Settings.RedirectURIs, s.redirectURI, h.client.Kind == application.Native):
		return holder{}, "", Wrong(InvalidGrant, "redirect_uri is not the one of the authorization request"), nil
	case d.Challenge == "" && s.verifier != "":
		// An application with a verifier had sent a challenge. So an attacker removed it from the
		// request, or made the request (PKCE downgrade, RFC 9700 §2.1.1, §4.8.2).
		return holder{}, "", Wrong(InvalidGrant, "code_verifier came, but the authorization request had no code_challenge"), nil
	case d.Challenge != "" && s.verifier == "":
		return holder{}, "", Wrong(InvalidGrant, "code_verifier is missing"), nil
	case d.Challenge != "" && !verifies(s.verifier, d.Challenge):
		return holder{}, "", Wrong(InvalidGrant, "code_verifier does not fit the code_challenge"), nil
	case d.Thumbprint != "" && d.Thumbprint != s.thumbprint:
		return holder{}, "", Wrong(InvalidGrant, "the DPoP proof is by another key than dpop_jkt named"), nil
	case !h.CodeUsed.IsZero():
		return holder{}, "", Wrong(InvalidGrant, "the code was used before; all that it gave has ended"), end(ctx, tx, h.Grant, codeReused, audit.Refused)
	case !h.EndedAt.IsZero() || !now.Before(h.CreatedAt.Add(p.codeLasts())):
		return holder{}, "", Wrong(InvalidGrant, "the code has expired"), nil
	}
	h.EndsAt = p.endsAt(h, now)
	first := firstRefresh(h.client)
	n, err := tx.Exec(ctx, `
		update grants set code_used_at = $1, ends_at = $2, family_hash = $3, refresh_hash = $4
		where org_id = $5 and id = $6 and code_used_at is null`,
		db.Time(now), db.Time(h.EndsAt), first.familyHash, first.hash, string(h.OrgID), h.ID)
	if err == nil && n == 0 {
		err = errors.New("a code was claimed under a transaction that sees all others")
	}
	return h, first.text, nil, err
}

// endsAt returns when a grant ends whose first tokens are made now.
func (p *Provider) endsAt(h holder, now time.Time) time.Time {
	if h.client.Settings.Refreshes {
		return h.CreatedAt.Add(p.RefreshLasts(h.client.Settings))
	}
	return now.Add(p.accessLasts(h.client.Settings))
}

// spending is a code with the parameters that must fit it.
type spending struct {
	code                              secret.Token
	redirectURI, verifier, thumbprint string
}

// refreshToken returns the text of a refresh token: a part that all tokens of the grant share,
// and a part of its own.
func refreshToken(family, own secret.Token) string { return family.Reveal() + "." + own.Reveal() }

func parseRefresh(text string) (family, own secret.Token) {
	a, b, _ := strings.Cut(text, ".")
	return secret.ParseToken(a), secret.ParseToken(b)
}

// successor returns the own part of the next refresh token, derived from the present one by
// our key. So an honest client whose first answer was lost gets the same token again, though
// only its hash is stored: by the key that writes, unless an earlier one made the token that was given.
func (p *Provider) successor(family, own secret.Token, given string) (next secret.Token) {
	for _, key := range slices.Backward(p.refresh.All()) {
		if next = secret.DeriveToken(key.Bytes, family.Reveal(), own.Reveal()); next.Hash(secret.Refresh) == given {
			break
		}
	}
	return next
}

// begun is the first refresh token of a grant, with the hashes that are stored; empty where its
// client has none.
type begun struct {
	text             string
	familyHash, hash db.Text
}

func firstRefresh(c application.Application) begun {
	if !c.Settings.Refreshes {
		return begun{}
	}
	family, own := secret.NewToken(), secret.NewToken()
	return begun{refreshToken(family, own), db.Text(family.Hash(secret.RefreshFamily)), db.Text(own.Hash(secret.Refresh))}
}

// rotate exchanges a refresh token for the next one. If it was replaced already, longer ago
// than the grace for a retry, two parties have it, and the grant ends (RFC 9700 §4.14.2). The
// refusal is not an error, as in spend.
func (p *Provider) rotate(ctx context.Context, tx *db.Tx, c application.Application, family, own secret.Token, thumbprint string) (h holder, next string, refused *Error, err error) {
	h, found, err := p.held(ctx, tx, `g.family_hash = $1`, family.Hash(secret.RefreshFamily))
	if err != nil {
		return holder{}, "", nil, err
	}
	now, shown := tx.Now(), own.Hash(secret.Refresh)
	switch {
	case family.IsZero() || own.IsZero() || !found || h.ClientID != c.ID || h.over(now) || !c.Settings.Refreshes:
		return holder{}, "", Wrong(InvalidGrant, "the refresh token is unknown, has ended, or belongs to another client"), nil
	case h.Details.Thumbprint != "" && h.Details.Thumbprint != thumbprint && (thumbprint == "" || !c.Confidential()):
		// RFC 9449 §5: a public client's refresh token is bound to the key. A confidential client
		// may change the key, but must still prove one (R-OPR-15).
		return holder{}, "", Wrong(InvalidDPoP, "the refresh token is bound to a key, which must be proved (DPoP)"), nil
	case shown != h.refresh && (shown != h.previous || !now.Before(h.previousUntil)):
		return holder{}, "", Wrong(InvalidGrant, "the refresh token was used before; all that came of it has ended"),
			end(ctx, tx, h.Grant, refreshReused, audit.Refused)
	}
	after := p.successor(family, own, h.refresh)
	if shown != h.refresh && after.Hash(secret.Refresh) != h.refresh {
		// Our key is gone since, so the token that was given first cannot be derived again.
		return holder{}, "", Wrong(InvalidGrant, "the refresh token was used before"), nil
	}
	if shown == h.refresh {
		_, err = tx.Exec(ctx, `
			update grants set refresh_hash = $1, previous_hash = $2, previous_until = $3
			where org_id = $4 and id = $5`,
			after.Hash(secret.Refresh), shown, db.Time(now.Add(p.retryGrace())), string(h.OrgID), h.ID)
	}
	return h, refreshToken(family, after), nil, err
}

// Count returns how many grants are open: what applications hold for people and for themselves.
func Count(ctx context.Context, r db.Reader) (n int, err error) {
	_, err = r.One(ctx, db.Into(&n), `select count(*) from grants where ended_at is null`)
	return n, err
}
