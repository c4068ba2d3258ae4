package signin

import (
	"context"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/mail"
	"parvis/internal/secret"
)

// letters tell users what was done to their accounts.
type letters struct {
	outbox *mail.Outbox
	base   string
}

// tell queues a letter to a user.
func (l letters) tell(ctx context.Context, tx *db.Tx, u directory.User, p mail.Parameters) error {
	_, err := l.outbox.Put(ctx, tx, u.Letter(p))
	return err
}

// deed returns what a letter says about something that was done just now, with a link to
// object. authenticator is what that link takes back too, if the letter is about a new one.
func (l letters) deed(ctx context.Context, tx *db.Tx, who directory.Candidate, authenticator string) (mail.Deed, error) {
	letter := mail.NewLetterID()
	var notMe secret.Token
	var err error
	if authenticator == "" {
		notMe, err = directory.NewDisavowal(ctx, tx, who.User, letter)
	} else {
		notMe, err = directory.NewAuthenticatorDisavowal(ctx, tx, who.User, letter, authenticator)
	}
	origin := audit.OriginOf(ctx)
	return mail.Deed{
		ID: letter, Organization: who.Organization.DisplayName, Name: who.User.Name, When: tx.Now(),
		Network: origin.Network, Agent: origin.Agent, NotMe: l.base + "/not-me/" + notMe.Reveal(),
	}, err
}

// tellDeed queues the letter about what was done just now.
func (l letters) tellDeed(ctx context.Context, tx *db.Tx, who directory.Candidate, authenticator string, letter func(mail.Deed) mail.Parameters) error {
	deed, err := l.deed(ctx, tx, who, authenticator)
	if err != nil {
		return err
	}
	return l.tell(ctx, tx, who.User, letter(deed))
}

// tellAdministrators writes to the owners and administrators of an organization.
func (l letters) tellAdministrators(ctx context.Context, tx *db.Tx, org directory.Organization, letter func(directory.User) mail.Parameters) error {
	administrators, err := directory.Administrators(ctx, tx, org.ID)
	if err != nil {
		return err
	}
	return l.tellEach(ctx, tx, administrators, letter)
}

// tellEach writes a letter of their own to each of several users.
func (l letters) tellEach(ctx context.Context, tx *db.Tx, users []directory.User, letter func(directory.User) mail.Parameters) error {
	for _, u := range users {
		if err := l.tell(ctx, tx, u, letter(u)); err != nil {
			return err
		}
	}
	return nil
}
