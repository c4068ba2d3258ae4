package rotation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"parvis/internal/audit"
	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/federation"
	"parvis/internal/mail"
	"parvis/internal/op"
	"parvis/internal/secret"
	"parvis/internal/webhook"
)

// Sealed are the columns with values that are sealed and kept. Each is declared by the package whose
// rows they are.
var Sealed = slices.Concat(credential.Sealed, mail.Sealed, federation.Sealed, op.Sealed, audit.Sealed, webhook.Sealed)

// Passing lists the purposes of boxes whose values end by themselves before Overlap is over, or do
// nothing more than remember, and so are not sealed again.
var Passing = map[string]string{
	"signin forms":       "attempts.form: what was typed when fresh proof was asked for, an hour at most",
	"signin devices":     "a cookie: sealed again at each sign-in; without it the browser is a stranger, and counted as one",
	"passkey ceremonies": "what a browser holds between the question and the answer of a passkey, minutes",
	"op access tokens":   "in the hands of applications, an hour at most",
	"places in lists":    "where the next page of a list begins",
	"api places":         "as places in lists",
	"scim places":        "as places in lists",
	"imported passwords": "sealed with the pepper, inside passwords.hash and password_history.hash: credential seals them again",
}

// Need is something that a key is still needed for.
type Need struct {
	What string // a column, or people
	N    int64
}

// Needs counts what the database still needs a key for. Where nothing is left, it is nil.
func Needs(ctx context.Context, r *db.DB, ring, id string) (all []Need, err error) {
	err = r.View(ctx, func(tx *db.Tx) error {
		all, err = needs(ctx, tx, ring, id)
		return err
	})
	return all, err
}

func needs(ctx context.Context, tx *db.Tx, ring, id string) (all []Need, err error) {
	add := func(what string, n int64, failed error) {
		if err = errors.Join(err, failed); n > 0 {
			all = append(all, Need{what, n})
		}
	}
	switch ring {
	case "sealing":
		for _, c := range Sealed {
			n, failed := tx.Count(ctx, c.Table, c.Name+" like '"+id+".%'")
			add(c.Table+"."+c.Name, n, failed)
		}
		n, failed := tx.Count(ctx, "installation", "name = '"+audit.EpochNote+"' and value like '%\""+id+".%'")
		add("epoch of the audit log", n, failed)
		n, failed = tx.Count(ctx, "installation", audit.EndedBy(id))
		add("ends of audit logs of organizations that are gone", n, failed)
		n, failed = tx.Count(ctx, "audit_seals", "")
		add("audit log from before this version, which a running server takes over", n, failed)
	case "pepper":
		p, failed := credential.UnderPepper(ctx, tx, id)
		add("passwords of people who have not signed in since", p.Passwords, failed)
		add("people with recovery codes", p.Codes, nil)
		add("passwords moved in, of people who have not signed in", p.Imported, nil)
	}
	return all, err
}

// errUnopened is returned for a value that none of our keys opens: sealing it again is impossible.
var errUnopened = errors.New("a value does not open")

// sealAgain seals everything again that an earlier key sealed, a few rows in a transaction.
func sealAgain(ctx context.Context, d *db.DB, keys secret.Keys, id string, each func(n int)) error {
	ctx = db.AfterPeople(ctx)
	for _, c := range Sealed {
		box := secret.NewBox(keys.Sealing, c.Purpose)
		for n := db.Part; n == db.Part; each(n) {
			if err := d.Update(ctx, func(tx *db.Tx) (err error) {
				n, err = sealSome(ctx, tx, c, box, id)
				return err
			}); err != nil {
				return fmt.Errorf("%s.%s: %w", c.Table, c.Name, err)
			}
		}
	}
	for n := db.Part; n == db.Part; each(n) {
		if err := d.Update(ctx, func(tx *db.Tx) (err error) {
			n, err = audit.ProveEnded(ctx, tx, keys.Sealing, id)
			return err
		}); err != nil {
			return err
		}
	}
	return d.Update(ctx, func(tx *db.Tx) error { return audit.ProveEpoch(ctx, tx, keys.Sealing) })
}

// sealSome seals values again in some rows of a column, and returns how many there were.
func sealSome(ctx context.Context, tx *db.Tx, c secret.Column, box secret.Box, id string) (int, error) {
	rows, err := tx.Texts(ctx, c.Table, append(slices.Clone(c.Row), c.Name), c.Name+" like '"+id+".%'")
	if err != nil {
		return 0, err
	}
	for _, row := range rows {
		names, sealed := row[:len(c.Row)], row[len(c.Row)]
		plain, err := box.Open(sealed, c.For(names))
		if err != nil {
			return 0, fmt.Errorf("%w: %s", errUnopened, strings.Join(names, " "))
		}
		change := db.Resealed{Table: c.Table, Column: c.Name, Row: c.Row, Named: names, From: sealed, To: box.Seal(plain, c.For(names))}
		if err := tx.SetText(ctx, change); err != nil {
			return 0, err
		}
	}
	return len(rows), nil
}
