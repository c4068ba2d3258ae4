package page

import (
	"html/template"
	"testing"

	"parvis/internal/i18n"
)

// Of returns the set of each surface in a language.
func (s *Spoken) Of(c *i18n.Catalogue, tag i18n.Tag) (sets []*template.Template, err error) {
	for i := range s.surfaces {
		set, err := s.parse(tongue{c, tag, i})
		if err != nil {
			return nil, err
		}
		sets = append(sets, set)
	}
	return sets, nil
}

// AssetPath returns the path of one of our files.
func AssetPath(t testing.TB, name string) string {
	t.Helper()
	all, err := loadAssets()
	if err != nil {
		t.Fatal(err)
	}
	return all.names[name]
}
