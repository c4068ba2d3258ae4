package console

import (
	"context"
	"errors"
	"slices"

	"parvis/internal/administration"
	"parvis/internal/db"
	"parvis/internal/page"
)

// confirmation is the one page that asks before something is done that is not easily undone
// (decision 0056): what will happen to whom, one button, and a link back. Its texts are sentences
// in the viewer's language. The button sends the form again as it was sent, with "confirmed".
type confirmation struct {
	Title   string
	First   string   // what to make sure of before
	Affects []string // whom it affects, in numbers
	List    string   // address of the list of these people; empty if there is none
	Follows []string // what follows
	Changes []ruleChange
	Fates   []administration.Fate // whom it affects, one by one; people who are left out come first
	More    int                   // not shown
	Button  string
	Grave   bool   // closes somebody's way in, takes something from them for good, or affects everyone
	Back    string // where the link back leads

	// Light deeds are harmless and undone by another click. They are done without asking, but not
	// by fresh proof alone: after it they are asked about like any other.
	Light bool

	// What the page asks for beside the button.
	Number   int  // of people, to be typed; zero where it is not
	Reason   bool // for the audit log
	Sessions bool // whether sessions end as well

	Send []page.Pair // what the button sends in place of what was sent
	Path string      // where it sends that
	Do   string
}

// The fields that the page has itself.
const (
	numberField   = "number"
	reasonField   = "reason"
	sessionsField = "sessions"
)

// asks describe what forms are about to do, each for the last word of its route in Mount.
type asks struct{ *Server }

// confirm asks, and reports whether it did. A confirmed form that was refused comes back to this
// page if the fault is in one of its fields, and to the form's own page otherwise. What deed would
// refuse is refused before anybody is asked.
func (s asks) confirm(v *page.Viewer, c confirmation, deed ...func(context.Context, *db.Tx) error) (bool, error) {
	var own []string
	for field, asked := range map[string]bool{numberField: c.Number > 0, reasonField: c.Reason, sessionsField: c.Sessions} {
		if asked {
			own = append(own, field)
		}
	}
	if c.Light && !v.Form.Returned() || v.Form.Refused() && !slices.ContainsFunc(own, v.Form.FaultIn) {
		return false, nil
	}
	for _, do := range deed {
		if err := s.wouldDo(v.R.Context(), do); err != nil {
			return false, err
		}
	}
	return true, v.Render("console-confirm", c.at(v, own...))
}

// at returns the page that sends a form again, except the fields that it has itself.
func (c confirmation) at(v *page.Viewer, own ...string) confirmation {
	if c.Send == nil {
		c.Send = v.Form.Again(own...)
	}
	c.Path, c.Do = v.R.URL.EscapedPath(), v.Form.Asked()
	return c
}

var errAsking = errors.New("only asking")

// wouldDo does a deed and rolls it back, and returns what it refuses.
func (s asks) wouldDo(ctx context.Context, deed func(context.Context, *db.Tx) error) error {
	err := s.site.DB.Update(ctx, func(tx *db.Tx) error {
		if err := deed(ctx, tx); err != nil {
			return err
		}
		return errAsking
	})
	if errors.Is(err, errAsking) {
		return nil
	}
	return err
}

// Over reports whether it was done, which is what the list of people says.
func (confirmation) Over() bool { return false }

// EndsSessions reports whether the box is ticked: as it was sent, else it is.
func (confirmation) EndsSessions(f page.Frame) bool {
	return !f.Confirmed() || f.Typed(sessionsField, "") != ""
}
