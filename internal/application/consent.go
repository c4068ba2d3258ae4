package application

import (
	"context"
	"slices"
	"strings"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/session"
)

// Consented reports whether the person need not be asked: an administrator approved the
// application for everybody; or no other program can pass for it, and either it asks nobody
// or the person agreed before.
func Consented(ctx context.Context, r db.Reader, c Placed, v session.Visit, redirectURI string, scope []string) (bool, error) {
	if c.Place.Standing == Approved {
		return true, nil
	}
	if !c.Assured(redirectURI) {
		return false, nil
	}
	if !c.Settings.Asks {
		return true, nil
	}
	var given string
	_, err := r.One(ctx, db.Into(&given), `
		select scope from consents
		where org_id = $1 and user_id = $2 and client_id = $3`, string(v.Session.OrgID), string(v.User.ID), string(c.ID))
	had := strings.Fields(given)
	return given != "" && !slices.ContainsFunc(scope, func(s string) bool { return !slices.Contains(had, s) }), err
}

// Agree stores the scopes that a person agreed to, in addition to earlier ones.
func Agree(ctx context.Context, tx *db.Tx, c Application, v session.Visit, scope []string) error {
	var before string
	if _, err := tx.One(ctx, db.Into(&before), `
		select scope from consents
		where org_id = $1 and user_id = $2 and client_id = $3`, string(v.Session.OrgID), string(v.User.ID), string(c.ID)); err != nil {
		return err
	}
	all := strings.Fields(before)
	for _, s := range scope {
		if !slices.Contains(all, s) {
			all = append(all, s) // in the order of the request, as pages list them
		}
	}
	_, err := tx.Exec(ctx, `
		insert into consents (org_id, user_id, client_id, scope, given_at) values ($1, $2, $3, $4, $5)
		on conflict (org_id, user_id, client_id) do update set scope = excluded.scope, given_at = excluded.given_at`,
		string(v.Session.OrgID), string(v.User.ID), string(c.ID), strings.Join(all, " "), db.Time(tx.Now()))
	if err != nil {
		return err
	}
	return audit.Record(ctx, tx, audit.Event{
		OrgID: string(v.Session.OrgID), Actor: string(v.User.ID), ActorName: v.User.Name, Action: "consent.given",
		Target: string(c.ID), TargetName: c.Settings.Name, Before: audit.Fields{"scope": before}, After: audit.Fields{"scope": strings.Join(all, " ")},
	})
}

// TakeBack removes what a person agreed to, and reports whether there was anything.
func TakeBack(ctx context.Context, tx *db.Tx, c Application, v session.Visit) (bool, error) {
	n, err := tx.Exec(ctx, `
		delete from consents
		where org_id = $1 and user_id = $2 and client_id = $3`, string(v.Session.OrgID), string(v.User.ID), string(c.ID))
	return n > 0, err
}

// CountUse counts that a person opened an application.
func CountUse(ctx context.Context, tx *db.Tx, c Application, v session.Visit) error {
	_, err := tx.Exec(ctx, `
		insert into client_uses (org_id, client_id, user_id, uses, used_at) values ($1, $2, $3, 1, $4)
		on conflict (org_id, client_id, user_id) do update set uses = client_uses.uses + 1, used_at = excluded.used_at`,
		string(v.Session.OrgID), string(c.ID), string(v.User.ID), db.Time(tx.Now()))
	return err
}

// ScopeKey returns the catalogue key of the sentence that says what a scope gives; the
// sentence may name the Scope.
func ScopeKey(scope string) string {
	if slices.Contains(Scopes, scope) {
		return "op.scope." + scope
	}
	if name, ours := strings.CutPrefix(scope, ReservedScopes); ours {
		return "access.scope." + name
	}
	return "op.scope.other"
}
