package web_test

import (
	"bytes"
	"context"
	"image"
	"image/png"
	"net/mail"
	"strings"
	"testing"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/idptest"
	"parvis/internal/picture"
)

// What an organization and a person chose is in the letters that follow, and in no letter of
// another organization.
func TestALetterShowsWhatItsOrganizationAndItsReaderChose(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	org, other := s.Organization(t, "Meridian Freight", "meridian"), s.Organization(t, "Alpha Works", "alpha")
	ana := s.Join(t, org, "ana@meridian.example", "Ana Duarte", directory.Member)
	s.Join(t, other, "bo@alpha.example", "Bo", directory.Member)
	var file bytes.Buffer
	if err := png.Encode(&file, image.NewGray(image.Rect(0, 0, 300, 100))); err != nil {
		t.Fatal(err)
	}
	logo, err := picture.Draw(file.Bytes(), picture.Logo)
	if err != nil {
		t.Fatal(err)
	}
	s.Update(t, func(ctx context.Context, tx *db.Tx) error {
		profile := org.Profile()
		profile.Contact = "help@meridian.example"
		if _, err := directory.ChangeOrganization(ctx, tx, directory.Operator(), org.ID, profile); err != nil {
			return err
		}
		return directory.SetLogo(ctx, tx, directory.Operator(), org.ID, logo)
	})
	idptest.Want(t, ana.Get("/o/meridian/account").Form("main").Fill("time_zone", "Pacific/Kiritimati").Submit(""), idptest.Status(200))

	resetLink(t, s, "ana@meridian.example")
	letter := s.LettersTo(t, "ana@meridian.example")[0]
	from, err := mail.ParseAddress(letter.Header.Get("From"))
	if err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "the sender", *from, mail.Address{Name: "Meridian Freight", Address: idptest.NoReply})
	shown, err := png.DecodeConfig(bytes.NewReader(letter.Inside["logo"]))
	if err != nil || shown.Width <= shown.Height {
		t.Errorf("the logo inside is %+v (%v)", shown, err)
	}
	for _, want := range []string{"(Kiritimati,\u00a0UTC+14)", "help@meridian.example", "ana@meridian.example", "\nMeridian Freight\n"} {
		if !strings.Contains("\n"+letter.Text, want) {
			t.Errorf("the letter lacks %q:\n%s", want, letter.Text)
		}
	}

	resetLink(t, s, "bo@alpha.example")
	letter = s.LettersTo(t, "bo@alpha.example")[0]
	if len(letter.Inside) != 0 || strings.Contains(letter.Header.Get("From")+letter.Text, "eridian") {
		t.Errorf("the letter of another organization shows\n%s%s", letter.Header.Get("From"), letter.Text)
	}
	// Nobody has proved yet that a new address is the person's.
	page := ana.Get("/o/meridian/account/email").Form("main").Fill("email", "ana@new.example").Submit("")
	idptest.Want(t, page, idptest.Status(200))
	if proof := s.LettersTo(t, "ana@new.example")[0]; strings.Contains(proof.Text, "Kiritimati") || strings.Contains(proof.Text, "Ana") {
		t.Errorf("the letter to an address that nobody proved says\n%s", proof.Text)
	}
}
