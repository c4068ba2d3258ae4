package web

import (
	"errors"

	"parvis/internal/directory"
	"parvis/internal/page"
	"parvis/internal/secret"
)

// disownPage says what 'this was not me' will do, or has done.
type disownPage struct {
	directory.Candidate
	Done bool
}

// showDisown changes nothing, because mail scanners fetch links.
func (s *Server) showDisown(v *page.Visitor) error {
	who, err := directory.DisavowalByToken(v.R.Context(), s.site.DB, secret.ParseToken(v.R.PathValue("token")), s.site.DB.Now())
	return s.renderDisown(v, disownPage{Candidate: who}, err)
}

// disown needs no sign-in: anybody who reads the person's mail may close the door, and only the
// person's next reset opens it again.
func (s *Server) disown(v *page.Visitor) error {
	who, err := s.signIn.Disown(v.R.Context(), secret.ParseToken(v.R.PathValue("token")))
	if err == nil {
		v.NoForm()
	}
	return s.renderDisown(v, disownPage{Candidate: who, Done: true}, err)
}

func (s *Server) renderDisown(v *page.Visitor, p disownPage, err error) error {
	if errors.Is(err, directory.ErrDisavowalDead) {
		return s.linkDead(v, directory.ErrDisavowalDead)
	}
	if err != nil {
		return err
	}
	return v.Render("disown", p)
}
