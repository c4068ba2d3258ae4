package directory

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/mail"
	"parvis/internal/picture"
	"parvis/internal/secret"
)

// SetLogo gives an organization another logo; a zero logo removes it.
func SetLogo(ctx context.Context, tx *db.Tx, actor Actor, id OrgID, logo picture.PNG) error {
	if err := actor.MaySetRules(ctx, tx, id); err != nil {
		return err
	}
	org, err := OrganizationByID(ctx, tx, id)
	if err != nil || org.Logo == "" && logo.IsZero() {
		return err
	}
	now, err := ReplaceImage(ctx, tx, org.ID, org.Logo, logo)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `update organizations set logo = $1 where id = $2`, db.Text(now), string(org.ID)); err != nil {
		return fmt.Errorf("setting the logo of %s: %w", org.ID, err)
	}
	e := actor.Event(org.ID, "organization.logo_changed")
	e.Target, e.TargetName = string(org.ID), org.DisplayName
	e.Before, e.After = audit.Fields{"logo": org.Logo}, audit.Fields{"logo": now}
	return audit.Record(ctx, tx, e)
}

// SetPicture gives a user another picture; a zero portrait removes it.
func SetPicture(ctx context.Context, tx *db.Tx, org OrgID, id UserID, portrait picture.PNG) error {
	user, err := UserByID(ctx, tx, org, id) // another tab may have changed the picture since the session was read
	if err != nil || user.Picture == "" && portrait.IsZero() {
		return err
	}
	now, err := ReplaceImage(ctx, tx, user.OrgID, user.Picture, portrait)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `update users set picture = $1 where org_id = $2 and id = $3`,
		db.Text(now), string(user.OrgID), string(user.ID)); err != nil {
		return fmt.Errorf("setting the picture of %s: %w", user.ID, err)
	}
	e := user.AsActor().Event(user.OrgID, "user.picture_changed")
	e.Target, e.TargetName = string(user.ID), user.Name
	e.Before, e.After = audit.Fields{"picture": user.Picture}, audit.Fields{"picture": now}
	return audit.Record(ctx, tx, e)
}

// ReplaceImage stores an image in place of another, which is deleted, and returns its id. Each
// image has its own id, so that browsers may keep it.
func ReplaceImage(ctx context.Context, tx *db.Tx, org OrgID, old string, p picture.PNG) (string, error) {
	if _, err := tx.Exec(ctx, `delete from images where org_id = $1 and id = $2`, string(org), old); err != nil {
		return "", fmt.Errorf("deleting image %s: %w", old, err)
	}
	if p.IsZero() {
		return "", nil
	}
	id := secret.NewID("img")
	_, err := tx.Exec(ctx, `
		insert into images (org_id, id, content, created_at)
		values ($1, $2, $3, $4)`,
		string(org), id, base64.StdEncoding.EncodeToString(p.Bytes()), db.Time(tx.Now()))
	return id, err
}

// validImage keeps malformed ids in paths from the database.
var validImage = regexp.MustCompile(`^img_[a-z2-7]{26}$`)

// Image returns the PNG of an organization's image, or ErrNotFound.
func Image(ctx context.Context, r db.Reader, org OrgID, id string) ([]byte, error) {
	if !validImage.MatchString(id) {
		return nil, ErrNotFound
	}
	var content string
	found, err := r.One(ctx, db.Into(&content), `select content from images where org_id = $1 and id = $2`, string(org), id)
	if err == nil && !found {
		err = ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return base64.StdEncoding.DecodeString(content)
}

// Letterhead returns what the letters of an organization have in common.
func Letterhead(ctx context.Context, r db.Reader, id string) (mail.Letterhead, error) {
	org, err := OrganizationByID(ctx, r, OrgID(id))
	if err == nil && !org.DeletedAt.IsZero() {
		err = mail.ErrNoLetters
	}
	if err != nil {
		return mail.Letterhead{}, err
	}
	l := mail.Letterhead{Organization: org.DisplayName, Contact: org.Contact}
	if org.Logo == "" {
		return l, nil
	}
	l.Logo, err = Image(ctx, r, org.ID, org.Logo)
	if errors.Is(err, ErrNotFound) {
		return l, nil // it was replaced a moment ago, and a letter can do without
	}
	return l, err
}

// LogoPath returns where the organization's logo is shown; empty if it has none.
func (o Organization) LogoPath() string {
	if o.Logo == "" {
		return ""
	}
	return o.Path("logo", o.Logo)
}

// PicturePath returns where a user's picture is shown; empty if the user has none.
func (o Organization) PicturePath(u User) string {
	if u.Picture == "" {
		return ""
	}
	return o.Path("picture", u.Picture)
}
