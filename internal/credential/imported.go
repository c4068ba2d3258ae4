package credential

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"parvis/internal/credential/foreign"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/secret"
)

// importedPrefix begins what is stored of a hash that another system made. Its cost follows in
// clear, for the snapshot of costs; the hash itself is sealed under a key that is kept outside the
// database, for its owner alone. So the rows alone do not let anybody try passwords, as with our own
// hashes, and exchanging rows gains nothing (decision 0082).
const importedPrefix = "$imported$v=1$"

// importedRow is what an imported hash is sealed for.
func importedRow(o Owner) string { return "passwords " + string(o.OrgID) + " " + string(o.UserID) }

// storedImport returns what is stored of an imported hash.
func (s *Store) storedImport(o Owner, h foreign.Hash) string {
	return importedPrefix + h.Cost().String() + ",form=" + string(typed) + "$" + s.imported.Seal([]byte(h.String()), importedRow(o))
}

// read reads a stored hash of o: one of ours, or an imported one.
func (s *Store) read(o Owner, stored string) (hash, error) {
	rest, imported := strings.CutPrefix(stored, importedPrefix)
	if !imported {
		return parseHash(stored)
	}
	_, sealed, _ := strings.Cut(rest, "$")
	pepper, _, _ := strings.Cut(sealed, ".")
	if _, ok := s.pepper.ByID(pepper); !ok {
		return hash{form: typed, pepper: pepper}, nil // compared, it says what is missing, as one of ours does
	}
	text, err := s.imported.Open(sealed, importedRow(o))
	if err != nil {
		return hash{}, fmt.Errorf("opening the imported password of %s: %w", o.UserID, err)
	}
	h, err := foreign.Parse(string(text))
	if err != nil {
		return hash{}, errors.New("an imported password hash cannot be read")
	}
	return hash{cost: Cost{imported: h.Cost()}, form: typed, pepper: pepper, imported: h}, nil
}

// SealImportedAgain seals again, under the pepper that writes, the hashes of other systems that an earlier
// one sealed, a few in a transaction.
func (s *Store) SealImportedAgain(ctx context.Context, d *db.DB, pepper string) error {
	for _, table := range []string{"passwords", "password_history"} {
		// A part begins behind the one before, so that no row is read again in a pass. What a pass passed
		// over, such as the history of a person that a part ended in, is for the next one.
		for found := true; found; {
			found = false
			for last := (Owner{}); ; found = true {
				var part []Owner
				if err := d.Update(ctx, func(tx *db.Tx) (err error) {
					part, err = s.sealSomeImported(ctx, tx, table, pepper, last)
					return err
				}); err != nil {
					return err
				}
				if len(part) == 0 {
					break
				}
				last = part[len(part)-1]
			}
		}
	}
	return nil
}

// sealSomeImported seals some rows of a table again, of people behind last, and returns whose they were.
func (s *Store) sealSomeImported(ctx context.Context, tx *db.Tx, table, pepper string, last Owner) (part []Owner, err error) {
	rows, err := tx.Texts(ctx, table, []string{"org_id", "user_id", "hash"},
		"hash like '"+importedUnder(pepper)+"' and (org_id, user_id) > ($1, $2) order by org_id, user_id", string(last.OrgID), string(last.UserID))
	for _, row := range rows {
		if err != nil {
			break
		}
		o := Owner{directory.OrgID(row[0]), directory.UserID(row[1])}
		part = append(part, o)
		var h hash
		if h, err = s.read(o, row[2]); err == nil {
			err = tx.SetText(ctx, db.Resealed{
				Table: table, Column: "hash", Row: []string{"org_id", "user_id"}, Named: row[:2], From: row[2], To: s.storedImport(o, h.imported),
			})
		}
	}
	return part, err
}

// importedUnder matches what is stored of hashes that a pepper sealed.
func importedUnder(pepper string) string { return importedPrefix + "%$" + pepper + ".%" }

// ImportedPassword is a password of which another system made the hash.
type ImportedPassword struct {
	Owner
	Hash   foreign.Hash
	Change bool // the next sign-in creates a new one
}

// ImportPasswords stores the passwords of users whom the caller made in this transaction. The first
// sign-in renews each to a hash of ours.
func (s *Store) ImportPasswords(ctx context.Context, tx *db.Tx, all []ImportedPassword) error {
	rows := make([][]any, len(all))
	for i, p := range all {
		var change db.Time
		if p.Change {
			change = db.Time(tx.Now())
		}
		rows[i] = []any{string(p.OrgID), string(p.UserID), s.storedImport(p.Owner, p.Hash), db.Time(tx.Now()), 0, change}
	}
	return tx.Insert(ctx, `insert into passwords (org_id, user_id, hash, set_at, failures, change_at) values `, rows, ``)
}

// ImportedApp is an authenticator app that was enrolled with another system.
type ImportedApp struct {
	Owner
	Name string
	Seed []byte
}

// LeastSeed is how many bytes a seed has at least that comes from elsewhere (RFC 4226 §4 R6).
const LeastSeed = 16

// ImportApps stores the authenticator apps of users whom the caller made in this transaction, with
// SecondStep as it is then.
func (a *Authenticators) ImportApps(ctx context.Context, tx *db.Tx, all []ImportedApp) error {
	rows, ids := make([][]any, len(all)), secret.NewIDs("app", len(all))
	for i, app := range all {
		id := ids[i]
		rows[i] = []any{
			string(app.OrgID), id, string(app.UserID), app.Name, a.seeds.Seal(app.Seed, seedRow(app.Owner, id)), "", 0,
			db.Time(tx.Now()), db.Time(tx.Now()),
		}
	}
	return tx.Insert(ctx, `insert into totp_seeds (org_id, id, user_id, name, seed, bound_to, last_step, created_at, confirmed_at) values `, rows, ``)
}
