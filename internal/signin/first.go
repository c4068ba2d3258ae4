package signin

import (
	"context"
	"errors"
	"time"

	"parvis/internal/audit"
	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/i18n"
	"parvis/internal/limit"
	"parvis/internal/naming"
	"parvis/internal/secret"
	"parvis/internal/session"
)

// PerLinkNetwork limits what a network may do with links of any kind: guessing is hopeless at
// 256 bits, but each attempt costs a hash or a letter.
var PerLinkNetwork = limit.Policy{Name: "link-network", Free: 60, First: time.Second, Most: time.Minute, Forget: time.Hour}

// FirstCredential is what the page behind a first link sends.
type FirstCredential struct {
	Browser    session.Browser
	Remembered RememberedBrowser
	Token      secret.Token
	Language   i18n.Tag // language of the page on which it was sent; it becomes the user's
	TimeZone   string   // time zone of the browser, if it named one
	Name       string
	Password   string
	Repetition string
}

// PerNetworkUpstream limits how often a network may begin at identity providers and how often
// their answers are taken: each costs a signature. A whole company may be one network, and
// arrive in the same quarter of an hour.
var PerNetworkUpstream = limit.Policy{Name: "upstream-network", Free: 6000, First: time.Second, Most: time.Minute, Forget: 15 * time.Minute}

// TakeUpstream counts an answer or a message of a provider before it is read.
func (s *Service) TakeUpstream(ctx context.Context) error {
	_, err := s.take(ctx, s.Limits.Key(PerNetworkUpstream, network(ctx)))
	return err
}

// Accept turns an invitation into a user with a password, or gives the password to the user whom
// the invitation is to, and signs that user in. The link is
// claimed in the transaction that stores the credential, and other people who are signed in to
// this browser stay signed in (decision 0007).
func (s *Service) Accept(ctx context.Context, f FirstCredential) (Opened, error) {
	if err := s.TakeLink(ctx); err != nil {
		return Opened{}, err
	}
	inv, org, err := directory.InvitationByToken(ctx, s.DB, f.Token)
	if err != nil {
		return Opened{}, err
	}
	opened, err := s.accept(ctx, f, inv, org)
	if errors.Is(err, directory.ErrInvitationUsed) {
		if opened, err = s.repeat(ctx, f.Token.Hash(secret.Invitation), f.repetition(), err); err != nil {
			err = errors.Join(err, s.recordDeadLink(ctx, inv))
		}
	}
	return opened, err
}

func (s *Service) accept(ctx context.Context, f FirstCredential, inv directory.Invitation, org directory.Organization) (Opened, error) {
	if err := inv.Usable(s.DB.Now()); errors.Is(err, directory.ErrInvitationUsed) {
		return Opened{}, err
	} else if err != nil {
		return Opened{}, errors.Join(err, s.recordDeadLink(ctx, inv))
	}
	user := directory.User{OrgID: org.ID, ID: directory.NewUserID(), Email: inv.Email, Name: f.Name, Language: f.Language, TimeZone: f.TimeZone}
	if inv.UserID != "" { // who is somebody here already keeps their name
		named, err := directory.UserByID(ctx, s.DB, org.ID, inv.UserID)
		if err != nil {
			return Opened{}, err
		}
		user.ID, f.Name = named.ID, named.Name
	}
	audit.Admitted(ctx, audit.Admission{Actor: string(user.ID), Method: audit.ByLink})
	hashed, err := s.firstPassword(ctx, f, org, user)
	if err != nil {
		// 'Opened' means here that the form was sent, a refused password included.
		return Opened{}, errors.Join(err, s.DB.Update(ctx, func(tx *db.Tx) error {
			return directory.OpenInvitation(ctx, tx, inv)
		}))
	}
	var opened Opened
	err = s.DB.Update(ctx, func(tx *db.Tx) error {
		u, org, err := directory.AcceptInvitation(ctx, tx, f.Token, user)
		if err != nil {
			return err
		}
		if err := credential.Set(ctx, tx, hashed); err != nil {
			return err
		}
		opened, err = s.goOn(ctx, tx, f.Browser, f.Remembered, Attempt{
			OrgID: u.OrgID, UserID: u.ID, Generation: u.Generation, deed: f.Token.Hash(secret.Invitation),
			Evidence: []Evidence{{Invitation, tx.Now()}, {Password, tx.Now()}},
		}, directory.Candidate{User: u, Organization: org})
		return err
	})
	return opened, err
}

func (f FirstCredential) repetition() Repetition {
	return Repetition{Browser: f.Browser, Remembered: f.Remembered, Password: f.Password}
}

// recordDeadLink records that a link was used that no longer works.
func (s *Service) recordDeadLink(ctx context.Context, inv directory.Invitation) error {
	return s.DB.Update(ctx, func(tx *db.Tx) error {
		return audit.Record(ctx, tx, audit.Event{
			OrgID: string(inv.OrgID), Actor: audit.Anonymous, Action: "invitation.refused", Result: audit.Refused,
			Target: inv.ID, TargetName: inv.Email, After: audit.Fields{"state": inv.State(tx.Now())},
		})
	})
}

// deadLinkEvery is how often the log has that one link was used which no longer works.
const deadLinkEvery = time.Hour

// recordDead records that somebody used a link of a letter that no longer works; nothing is known of
// one that never was.
func (s *Service) recordDead(ctx context.Context, l directory.DeadLink, found bool, err error) error {
	if err != nil || !found {
		return err
	}
	return s.dead.Record(ctx, s.DB, l.Kind+" "+string(l.UserID)+" "+l.State, deadLinkEvery, func(*db.Tx) (audit.Event, error) {
		return audit.Event{
			OrgID: string(l.OrgID), Actor: audit.Anonymous, ActorName: audit.Anonymous, Action: "user.link_refused", Result: audit.Refused,
			Target: string(l.UserID), TargetName: l.Name, After: audit.Fields{"kind": l.Kind, "state": l.State},
		}, nil
	})
}

// Founding is what the page behind the very first link sends.
type Founding struct {
	FirstCredential
	Organization string
	ShortName    string
	Email        string
}

// Found makes the first organization and its owner from a bootstrap link, which no longer works
// afterwards (R-AUT-03).
func (s *Service) Found(ctx context.Context, f Founding) (Opened, error) {
	if err := s.TakeLink(ctx); err != nil {
		return Opened{}, err
	}
	opened, err := s.found(ctx, f)
	if errors.Is(err, directory.ErrBootstrapDead) {
		if opened, err = s.repeat(ctx, f.Token.Hash(secret.Bootstrap), f.repetition(), err); err != nil {
			err = errors.Join(err, s.recordDeadBootstrap(ctx, f.Token))
		}
	}
	return opened, err
}

// recordDeadBootstrap is recordDead for the first link, in the log of the installation.
func (s *Service) recordDeadBootstrap(ctx context.Context, token secret.Token) error {
	id, state, found, err := directory.DeadBootstrap(ctx, s.DB, token)
	if err != nil || !found {
		return err
	}
	return s.dead.Record(ctx, s.DB, id+" "+state, deadLinkEvery, func(*db.Tx) (audit.Event, error) {
		return audit.Event{
			Actor: audit.Anonymous, ActorName: audit.Anonymous, Action: "bootstrap.refused", Result: audit.Refused,
			Target: id, After: audit.Fields{"state": state},
		}, nil
	})
}

func (s *Service) found(ctx context.Context, f Founding) (Opened, error) {
	if err := directory.BootstrapUsable(ctx, s.DB, f.Token, s.DB.Now()); err != nil {
		return Opened{}, err
	}
	org := directory.Organization{ID: directory.NewOrgID(), DisplayName: f.Organization, ShortName: f.ShortName}
	user := directory.User{OrgID: org.ID, ID: directory.NewUserID(), Email: f.Email, Name: f.Name, Language: f.Language, TimeZone: f.TimeZone}
	for _, actor := range []string{audit.Operator, string(user.ID)} { // who holds the first link is both
		audit.Admitted(ctx, audit.Admission{Actor: actor, Method: audit.ByLink})
	}
	_, wrongOrganization := naming.CleanName(f.Organization, "organization")
	_, wrongShortName := naming.ParseShortName(f.ShortName)
	_, wrongAddress := naming.ParseAddress(f.Email)
	hashed, err := s.firstPassword(ctx, f.FirstCredential, org, user)
	if err := errors.Join(wrongOrganization, wrongShortName, wrongAddress, err); err != nil {
		return Opened{}, err
	}
	var opened Opened
	err = s.DB.Update(ctx, func(tx *db.Tx) error {
		if err := directory.UseBootstrap(ctx, tx, f.Token); err != nil {
			return err
		}
		org, err := directory.CreateOrganization(ctx, tx, directory.Operator(), directory.NewOrganization{
			ID: org.ID, DisplayName: f.Organization, ShortName: f.ShortName, Language: f.Language,
		})
		if err != nil {
			return err
		}
		u, err := directory.CreateFirstOwner(ctx, tx, user)
		if err != nil {
			return err
		}
		if err := credential.Set(ctx, tx, hashed); err != nil {
			return err
		}
		opened, err = s.goOn(ctx, tx, f.Browser, f.Remembered, Attempt{
			OrgID: u.OrgID, UserID: u.ID, Generation: u.Generation, deed: f.Token.Hash(secret.Bootstrap),
			Evidence: []Evidence{{Invitation, tx.Now()}, {Password, tx.Now()}},
		}, directory.Candidate{User: u, Organization: org})
		return err
	})
	return opened, err
}

// Renew sends a new letter for an expired invitation.
func (s *Service) Renew(ctx context.Context, token secret.Token) (directory.Invitation, error) {
	if err := s.TakeLink(ctx); err != nil {
		return directory.Invitation{}, err
	}
	var inv directory.Invitation
	err := s.DB.Update(ctx, func(tx *db.Tx) (err error) {
		inv, err = s.Invites.Renew(ctx, tx, token)
		return err
	})
	return inv, err
}

// firstPassword checks name and password by the organization's rules, names everything that is
// wrong at once, and hashes, outside any transaction.
func (s *Service) firstPassword(ctx context.Context, f FirstCredential, org directory.Organization, user directory.User) (credential.Hashed, error) {
	rules, err := credential.RulesOf(ctx, s.DB, org.ID)
	if err != nil {
		return credential.Hashed{}, err
	}
	_, wrongName := naming.CleanName(f.Name, "name")
	password, refused := s.Passwords.Check(rules, credential.Context{
		Organization: []string{org.DisplayName, org.ShortName}, Name: f.Name, Email: user.Email,
	}, f.Password)
	var repetition error
	if refused == nil && !credential.Same(f.Password, f.Repetition) {
		repetition = ErrRepetition
	}
	if err := errors.Join(wrongName, refused, repetition); err != nil {
		return credential.Hashed{}, err
	}
	owner := credential.Owner{OrgID: user.OrgID, UserID: user.ID}
	return s.Passwords.Hash(ctx, source(ctx, f.Remembered, user.OrgID), credential.History{Owner: owner}, password)
}

// TakeLink counts every use of a link, whoever uses it.
func (s *Service) TakeLink(ctx context.Context) error {
	_, err := s.take(ctx, s.Limits.Key(PerLinkNetwork, network(ctx)))
	return err
}
