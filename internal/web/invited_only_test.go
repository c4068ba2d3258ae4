package web_test

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/i18n"
	"parvis/internal/idptest"
)

// An invitation says how its reader will sign in: where single sign-on is the only way, there
// is nothing to choose. A later letter says what is true when it is sent.
func TestAnInvitationSaysWhatIsTrueOfTheOnlyWayIn(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org := s.Organization(t, "Alpha Works", "alpha")
	owner := s.Join(t, org, "ana@alpha.example", "Ana", directory.Owner)
	catalogue, err := i18n.Load()
	if err != nil {
		t.Fatal(err)
	}
	says := func(email, language, want string) {
		t.Helper()
		newest := s.LettersTo(t, email)[0]
		for _, key := range []string{"mail.invitation.purpose", "mail.invitation.purpose_federated"} {
			if text := catalogue.In(i18n.Tag(language)).Text(key); strings.Contains(newest.Text, text) != (key == want) {
				t.Errorf("the letter to %s has %s: %t", email, key, key != want)
			}
		}
	}
	invite := func(email, language string) {
		t.Helper()
		idptest.Want(t, owner.Post("/o/alpha/admin/people/invite", url.Values{
			"email": {email}, "name": {""}, "role": {"member"}, "invited_language": {language},
		}), idptest.Status(200))
	}
	invite("bo@alpha.example", "en")
	says("bo@alpha.example", "en", "mail.invitation.purpose")
	s.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return directory.SetFederatedOnly(ctx, tx, directory.Operator(), org.ID, nil)
	})
	invite("cy@alpha.example", "en")
	says("cy@alpha.example", "en", "mail.invitation.purpose_federated")
	invite("dominique@alpha.example", "fr")
	says("dominique@alpha.example", "fr", "mail.invitation.purpose_federated")
	link := s.Link(t, "bo@alpha.example", "/invitation/")
	s.Clock.Advance(8 * 24 * time.Hour)
	s.Browser(t).Get(link).Form("main").Submit("renew")
	says("bo@alpha.example", "en", "mail.invitation.purpose_federated")
	s.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return directory.EndFederatedOnly(ctx, tx, directory.Operator(), org.ID, "requested")
	})
	link = s.Link(t, "cy@alpha.example", "/invitation/")
	s.Clock.Advance(8 * 24 * time.Hour)
	s.Browser(t).Get(link).Form("main").Submit("renew")
	says("cy@alpha.example", "en", "mail.invitation.purpose")
}
