package web

import (
	"slices"
	"strings"

	"parvis/internal/naming"
	"parvis/internal/op/ask"
	"parvis/internal/page"
)

// searchFrom is the number of tiles from which the home page has a search field.
const searchFrom = 9

// homePage is where everybody arrives.
type homePage struct {
	Name           string
	Administration bool
	Reminder       reminder
	Tiles          []ask.Tile
	Search         bool
	Query          string
}

func (s account) home(v *page.Viewer) error {
	due, err := s.reminder(v)
	if err != nil {
		return err
	}
	tiles, err := s.ask.Tiles(v.R.Context(), v.Visit, v.Language())
	if err != nil {
		return err
	}
	p := homePage{v.User.Name, v.User.Role.ReadsConsole(), due, tiles, len(tiles) >= searchFrom, strings.TrimSpace(v.R.URL.Query().Get("q"))}
	if key := naming.SearchKey(p.Query, ""); p.Query != "" && p.Search {
		p.Tiles = slices.DeleteFunc(p.Tiles, func(t ask.Tile) bool {
			return !strings.Contains(naming.SearchKey(t.Title, t.Description), strings.TrimSpace(key))
		})
	}
	return v.Render("home", p)
}
