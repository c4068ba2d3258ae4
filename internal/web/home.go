package web

import (
	"slices"
	"strings"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/naming"
	"parvis/internal/op/ask"
	"parvis/internal/page"
	"parvis/internal/signin"
)

const (
	searchFrom = 9 // tiles from which the home page has a search field
	lately     = 3 // applications that it shows as opened lately, if there are more in all
)

// homePage is where everybody arrives.
type homePage struct {
	Greeting       string // a catalogue key
	Name           string
	Administration bool
	Restored       string // that the database was, for an owner; empty otherwise
	RestoredPath   string
	Waits          waits
	Lately         []ask.Tile
	Tiles          []ask.Tile
	Search         bool
	Query          string
}

// waits is the one thing that a person is reminded of; the zero value is nothing.
type waits struct {
	SecondStep bool
	From       time.Time // when the second step is required; zero if the next sign-in asks for it
	Email      string    // the new address, which is not proved yet
	Codes      reminder
}

func (s account) home(v *page.Viewer) error {
	due, err := s.waits(v)
	if err != nil {
		return err
	}
	restored, err := s.restored(v)
	if err != nil {
		return err
	}
	tiles, err := s.ask.Tiles(v.R.Context(), v.Visit, v.Language())
	if err != nil {
		return err
	}
	p := homePage{
		Greeting: greeting(v.Clock(s.site.DB.Now())), Name: v.User.Name, Administration: v.User.Role.ReadsConsole(), Waits: due,
		Tiles: tiles, Search: len(tiles) >= searchFrom,
	}
	if !restored.At.IsZero() {
		p.Restored, p.RestoredPath = restored.Text(v), restored.Path(v)
	}
	if p.Search {
		p.Query = strings.TrimSpace(v.R.URL.Query().Get("q"))
	}
	if p.Query == "" {
		p.Lately = openedLately(tiles)
		return v.Render("home", p)
	}
	key := strings.TrimSpace(naming.SearchKey(p.Query, ""))
	p.Tiles = slices.DeleteFunc(p.Tiles, func(t ask.Tile) bool { return !strings.Contains(naming.SearchKey(t.Title, t.Description), key) })
	return v.Render("home", p)
}

// restored returns when and by whom the database was restored lately, for an owner. Nothing is read for
// anybody else, nor later.
func (s account) restored(v *page.Viewer) (r page.Restored, err error) {
	d := s.site.DB
	if !v.ToldOfRestore(d.Restored, d.Now()) {
		return r, nil
	}
	err = d.View(v.R.Context(), func(tx *db.Tx) error {
		e, err := audit.Restored(v.R.Context(), tx)
		r = page.Restored{At: e.At, MadeAt: e.MadeAt, By: e.By}
		return err
	})
	return r, err
}

// greeting returns the catalogue key of what a person is greeted with at a time of day. Where
// nobody knows what their clock shows, it is the same all day.
func greeting(clock time.Time, known bool) string {
	switch hour := clock.Hour(); {
	case !known:
		return "web.home.greeting"
	case hour < 5 || hour >= 23:
		return "web.home.night"
	case hour < 12:
		return "web.home.morning"
	case hour < 18:
		return "web.home.afternoon"
	default:
		return "web.home.evening"
	}
}

// openedLately returns the applications that were opened last, the last first. Among few
// applications nobody looks for one.
func openedLately(all []ask.Tile) []ask.Tile {
	if len(all) <= lately {
		return nil
	}
	opened := slices.DeleteFunc(slices.Clone(all), func(t ask.Tile) bool { return t.UsedAt.IsZero() || !t.Connected })
	slices.SortStableFunc(opened, func(a, b ask.Tile) int { return b.UsedAt.Compare(a.UsedAt) })
	return opened[:min(lately, len(opened))]
}

// waits returns what is most urgent of what waits for the viewer.
func (s account) waits(v *page.Viewer) (waits, error) {
	ctx, now := v.R.Context(), s.site.DB.Now()
	w, err := signin.WaitingFor(ctx, s.site.DB, v.User, now)
	if err != nil {
		return waits{}, err
	}
	if lacks, from := w.SecondStep(v.User.Role, now); lacks {
		return waits{SecondStep: true, From: from}, nil
	}
	if w.Email {
		change, err := directory.PendingEmail(ctx, s.site.DB, v.User, now)
		if err != nil {
			return waits{}, err
		}
		if change != nil {
			return waits{Email: change.Email}, nil
		}
	}
	return waits{Codes: remind(w.Owns, w.Codes)}, nil
}
