package page

import (
	"slices"

	"parvis/internal/directory"
)

// Console mounts a page of the administration for the roles that may read it. A session whose
// proof is too old proves a factor again first.
func (s *Site) Console(may func(directory.Role) bool, pattern string, h func(*Viewer) error) {
	s.Handle(pattern, "console", s.serve(func(v *Visitor) error { return s.withReader(v, may, h) }))
}

// ConsoleForm mounts a form of the administration. Sending it needs a proof within ten minutes;
// an older session asks for proof first and does nothing by it. What is not easily undone is asked
// for by ask, which shows who is affected and reports whether it had to ask; submit is called once
// that page's button was pressed. A form without an ask comes back from the proof filled in.
func (s *Site) ConsoleForm(read, change func(directory.Role) bool, path string, fields Fields, show, submit func(*Viewer) error, ask ...Ask) {
	if len(ask) > 0 {
		fields = append(slices.Clone(fields), Tick(confirmedField))
	}
	shown := func(v *Viewer) error {
		if change(v.User.Role) && (v.Form.Returned() || v.Form.Confirmed()) {
			if asked, err := askFirst(v, ask); asked || err != nil {
				return v.refused(err, func() error { return show(v) })
			}
		}
		return show(v)
	}
	proved := s.proved(func(v *Viewer) error {
		if !v.Form.Confirmed() {
			if asked, err := askFirst(v, ask); asked || err != nil {
				return err
			}
		}
		return submit(v)
	})
	s.ReadingForm(read, path, fields, shown, func(v *Viewer) error {
		if !change(v.User.Role) {
			return errNotForRole
		}
		return proved(v)
	})
}

// Ask shows what a form is about to do and to whom, with one button that does it, and reports
// whether it did: harmless deeds need no asking. It changes nothing.
type Ask func(*Viewer) (bool, error)

func askFirst(v *Viewer, ask []Ask) (bool, error) {
	for _, a := range ask {
		if asked, err := a(v); asked || err != nil {
			return asked, err
		}
	}
	return false, nil
}

// ReadingForm mounts a form of the administration that changes nothing, for the roles that may
// read it. Its handler asks for a fresh proof where one is needed.
func (s *Site) ReadingForm(read func(directory.Role) bool, path string, fields Fields, show, submit func(*Viewer) error) {
	s.Console(read, "GET "+path, s.showTyped(show))
	s.Handle("POST "+path, "console", s.serve(func(v *Visitor) error {
		reader := func(v *Visitor, h func(*Viewer) error) error { return s.withReader(v, read, h) }
		return v.withForm(fields, reader, func(v *Viewer) error {
			return v.post(func() error { return show(v) }, func() error { return submit(v) })
		})
	}))
}

// withReader calls h for people who may read the administration and who proved a factor recently
// enough.
func (s *Site) withReader(v *Visitor, may func(directory.Role) bool, h func(*Viewer) error) error {
	return s.withViewer(v, func(v *Viewer) error {
		if !may(v.User.Role) {
			return errNotForRole
		}
		if !v.Proved(consoleProof, s.DB.Now()) || v.Rested(s.DB.Now()) {
			return v.stepUp(consoleProof)
		}
		return h(v)
	})
}
