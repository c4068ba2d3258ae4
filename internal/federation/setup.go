package federation

import (
	"context"
	"errors"
	"fmt"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/i18n"
	"parvis/internal/mail"
	"parvis/internal/naming"
	"parvis/internal/secret"
)

// SetupLinkLifetime is how long a setup link works.
const SetupLinkLifetime = 7 * 24 * time.Hour

// ErrLinkOver says that a link does not work. It does not say whether it ever did: only
// the sender sees that.
var ErrLinkOver = fault.New(fault.NotFound, "federation.link_over")

// ErrLetterLanguage answers a language that does not exist.
var ErrLetterLanguage = fault.Field("letter_language", "directory.language_unknown")

// SetupLink opens one connection's pages to anybody who has it, without an account here.
// It can neither turn the connection on nor change it while it is on.
type SetupLink struct {
	OrgID        directory.OrgID
	ID           string
	ConnectionID string
	Email        string
	Language     i18n.Tag // of its letter
	CreatedAt    time.Time
	ExpiresAt    time.Time
	OpenedAt     time.Time // when a form behind it was first sent: mail scanners only fetch

	Letter mail.Delivery
	By     directory.Asker

	letterID string
}

const setupLinkColumns = `k.org_id, k.id, k.connection_id, k.email, k.letter_id, k.created_at, k.expires_at, k.opened_at, l.language, ` + mail.DeliveryColumns + `,
	k.created_by, k.asked_kind, k.asked_right, u.role, u.deactivated_at`

func (l *SetupLink) targets() []any {
	return append(db.Into(&l.OrgID, &l.ID, &l.ConnectionID, &l.Email, &l.letterID, (*db.Time)(&l.CreatedAt), (*db.Time)(&l.ExpiresAt), (*db.Time)(&l.OpenedAt), (*db.Text)(&l.Language)),
		append(l.Letter.Targets(), l.By.Targets()...)...)
}

// Lapsed reports whether the sender of the link may no longer change connections.
func (l SetupLink) Lapsed() bool { return !l.By.StillGoverns(directory.Administrator) }

// Editor returns the holder of the link.
func (l SetupLink) Editor() Editor {
	return Editor{Actor: directory.Actor{Kind: directory.KindToken, OrgID: l.OrgID, ID: l.ID, Name: "setup link to " + l.Email}, link: l.ID}
}

// SetupLinkOf returns the open link of a connection, if it has one. A link whose letter
// was refused, or that lapsed, is returned but opens nothing.
func SetupLinkOf(ctx context.Context, r db.Reader, org directory.OrgID, connection string) (SetupLink, bool, error) {
	var l SetupLink
	found, err := r.One(ctx, l.targets(), `
		select `+setupLinkColumns+`
		from setup_links k
		left join letters l on l.org_id = k.org_id and l.id = k.letter_id
		left join users u on u.org_id = k.org_id and u.id = k.created_by
		where k.org_id = $1 and k.connection_id = $2 and k.withdrawn_at is null and k.expires_at > $3`,
		string(org), connection, db.Time(r.Now()))
	return l, found, err
}

// SetupLinkByToken returns what a link opens, or ErrLinkOver if it opens nothing.
func SetupLinkByToken(ctx context.Context, r db.Reader, token secret.Token) (SetupLink, Connection, directory.Organization, error) {
	var l SetupLink
	found, err := r.One(ctx, l.targets(), `
		select `+setupLinkColumns+`
		from letters l
		join setup_links k on k.org_id = l.org_id and k.letter_id = l.id
		left join users u on u.org_id = k.org_id and u.id = k.created_by
		where k.token_hash = $1 and k.withdrawn_at is null and k.expires_at > $2 and l.bounced_at is null`,
		token.Hash(secret.SetupLink), db.Time(r.Now()))
	if err == nil && (!found || l.Lapsed()) {
		err = ErrLinkOver
	}
	if err != nil {
		return SetupLink{}, Connection{}, directory.Organization{}, err
	}
	audit.Admitted(ctx, audit.Admission{Actor: l.ID, Method: audit.ByLink})
	c, org, err := connectionByID(ctx, r, l.ConnectionID)
	return l, c, org, err
}

// deadLinkEvery is how often the log has that one setup link was used which no longer works.
const deadLinkEvery = time.Hour

// RecordDeadLink records that somebody sent a form of a setup link that no longer works; nothing is known
// of one that never was.
func RecordDeadLink(ctx context.Context, d *db.DB, spared *audit.Sparing, token secret.Token) error {
	var id, org, connection, email, state string
	found, err := d.One(ctx, db.Into(&id, &org, &connection, &email, &state), `
		select k.id, k.org_id, k.connection_id, k.email, case when k.withdrawn_at is not null then 'withdrawn' when k.expires_at <= $1 then 'expired' else 'void' end
		from setup_links k
		where k.token_hash = $2`, db.Time(d.Now()), token.Hash(secret.SetupLink))
	if err != nil || !found {
		return err
	}
	return spared.Record(ctx, d, id+" "+state, deadLinkEvery, func(tx *db.Tx) (audit.Event, error) {
		c, err := connectionOf(ctx, tx, directory.OrgID(org), connection) // of a suspended organization too
		return audit.Event{
			OrgID: org, Actor: audit.Anonymous, ActorName: audit.Anonymous, Action: "connection.link_refused", Result: audit.Refused,
			Target: c.ID, TargetName: c.Name, After: audit.Fields{"email": email, "state": state},
		}, err
	})
}

// SendSetupLink sends a link to a company's IT. A connection has at most one open link,
// so it ends an older one.
func (h *Hub) SendSetupLink(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.Organization, id, email string, language i18n.Tag) error {
	c, err := changeable(ctx, tx, actor, org.ID, id)
	if err != nil {
		return err
	}
	if c.State == On {
		return ErrOn
	}
	address, err := naming.ParseAddress(email)
	if !i18n.Known(language) {
		err = errors.Join(err, ErrLetterLanguage)
	}
	if err != nil {
		return err
	}
	if err := h.endSetupLink(ctx, tx, c); err != nil {
		return err
	}
	token, expires := secret.NewToken(), tx.Now().Add(SetupLinkLifetime)
	letter, err := h.Outbox.Put(ctx, tx, mail.Letter{
		OrgID: string(org.ID), Recipient: address.Text, Language: language,
		Parameters: mail.ConnectionSetupParameters{
			Organization: org.DisplayName, Inviter: actor.Name, Connection: c.Name, Expires: expires,
			Link: h.Base + "/connection-setup/" + token.Reveal(),
		},
	})
	if err != nil {
		return err
	}
	l, by := SetupLink{ID: secret.NewID(setupPrefix)}, actor.Asker()
	if _, err := tx.Exec(ctx, `
		insert into setup_links (org_id, id, connection_id, token_hash, email, letter_id, created_by, asked_kind, asked_right, created_at, expires_at)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
		string(org.ID), l.ID, c.ID, token.Hash(secret.SetupLink), address.Text, letter,
		string(by.UserID), string(by.Kind), db.Text(by.Right), db.Time(tx.Now()), db.Time(expires)); err != nil {
		return fmt.Errorf("inserting the setup link %s: %w", l.ID, err)
	}
	e := ByActor(actor).event(c, "connection.link_sent")
	e.After = audit.Fields{"email": address.Text}
	return audit.Record(ctx, tx, e)
}

// WithdrawSetupLink ends the open link of a connection.
func (h *Hub) WithdrawSetupLink(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, id string) error {
	c, err := changeable(ctx, tx, actor, org, id)
	if err != nil {
		return err
	}
	l, found, err := SetupLinkOf(ctx, tx, org, id)
	if err != nil || !found {
		return err
	}
	if err := h.endSetupLink(ctx, tx, c); err != nil {
		return err
	}
	e := ByActor(actor).event(c, "connection.link_withdrawn")
	e.Before = audit.Fields{"email": l.Email}
	return audit.Record(ctx, tx, e)
}

// EndRight ends the setup links whose sender acted by a right that has ended, as
// directory.EndRight ends what else waits.
func EndRight(ctx context.Context, tx *db.Tx, org directory.OrgID, right string) error {
	_, err := tx.Exec(ctx, `
		update setup_links set withdrawn_at = $1
		where org_id = $2 and asked_right = $3 and withdrawn_at is null`, db.Time(tx.Now()), string(org), right)
	return err
}

// endSetupLink ends the open link, and withdraws its letter if it is unsent.
func (h *Hub) endSetupLink(ctx context.Context, tx *db.Tx, c Connection) error {
	l, found, err := SetupLinkOf(ctx, tx, c.OrgID, c.ID)
	if err != nil || !found {
		return err
	}
	if _, err := tx.Exec(ctx, `update setup_links set withdrawn_at = $1 where org_id = $2 and id = $3`,
		db.Time(tx.Now()), string(l.OrgID), l.ID); err != nil {
		return fmt.Errorf("ending the setup link %s: %w", l.ID, err)
	}
	return h.Outbox.Withdraw(ctx, tx, string(l.OrgID), l.letterID)
}

// open records the first use of the link.
func (l SetupLink) open(ctx context.Context, tx *db.Tx) error {
	n, err := tx.Exec(ctx, `update setup_links set opened_at = $1 where org_id = $2 and id = $3 and opened_at is null`,
		db.Time(tx.Now()), string(l.OrgID), l.ID)
	if err != nil || n == 0 {
		return err
	}
	c, err := connectionOf(ctx, tx, l.OrgID, l.ConnectionID)
	if err != nil {
		return err
	}
	e := l.Editor().event(c, "connection.link_opened")
	e.After = audit.Fields{"email": l.Email}
	return audit.Record(ctx, tx, e)
}

// MayTest returns the connection that an editor may test, or what waits beside it. For
// the holder of a setup link it records that the link is in use.
func (h *Hub) MayTest(ctx context.Context, by Editor, org directory.OrgID, id string, beside bool) (c Connection, err error) {
	err = h.DB.Update(ctx, func(tx *db.Tx) error {
		if c, err = connectionOf(ctx, tx, org, id); err != nil {
			return err
		}
		if err := by.mayChange(ctx, tx, c); err != nil {
			return err
		}
		if beside {
			w, waiting, err := Waiting(ctx, tx, c)
			if err == nil && !waiting {
				err = directory.ErrNotFound
			}
			if err != nil {
				return err
			}
			c = w.Connection
		}
		if !c.Complete() {
			return ErrIncomplete
		}
		return nil
	})
	return c, err
}

// SweepSetupLinks deletes links that ended long ago.
func SweepSetupLinks(ctx context.Context, d *db.DB) error {
	return d.Update(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(ctx, `delete from setup_links where expires_at < $1`, db.Time(tx.Now().Add(-SetupLinkLifetime)))
		return err
	})
}
