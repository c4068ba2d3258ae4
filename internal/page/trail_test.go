package page

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"parvis/internal/directory"
	"parvis/internal/edge"
	"parvis/internal/i18n"
)

// at returns the frame of a page at a path of an organization.
func at(t *testing.T, path string) Frame {
	t.Helper()
	catalogue, err := i18n.Load()
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://parvis.example/o/alpha/"+path, nil)
	v := &Visitor{Request: &edge.Request{R: r}, lang: catalogue.In("en")}
	v.viewer = &Viewer{Visitor: v}
	v.viewer.Organization = directory.Organization{ShortName: "alpha"}
	return Frame{v: v}
}

func TestTheMenuNamesTheNearestPage(t *testing.T) {
	for path, want := range map[string]string{
		"admin":                   "Overview",
		"admin/people":            "People",
		"admin/people/usr_1":      "People",
		"admin/invitations/inv_1": "People",
		"admin/peoples":           "Overview",
		"admin/audit":             "Overview", // without the right, its line is not there
		"account":                 "Room",
	} {
		f := at(t, path).Room("admin", "Room", "admin", "Overview", "admin/people admin/invitations", "People", false, "Audit log")
		if got := f.InMenu(); got != want {
			t.Errorf("at %s the menu names %q, want %q", path, got, want)
		}
		if got := len(f.Menu()); got != 2 {
			t.Errorf("at %s the menu has %d lines", path, got)
		}
	}
}

func TestATrailMakesHeadingTitleAndCrumbs(t *testing.T) {
	f := at(t, "admin/people/usr_1").Trail("admin/people", "People", "Ben Ortiz").Room("admin", "Administration")
	crumbs := f.Crumbs()
	if len(crumbs) != 3 || crumbs[1] != (Crumb{"People", "/o/alpha/admin/people"}) || crumbs[2] != (Crumb{Name: "Ben Ortiz"}) {
		t.Errorf("the way is %v", crumbs)
	}
	if got, want := f.Title(), "Ben Ortiz · People · Administration · Parvis"; got != want || f.Heading() != "Ben Ortiz" || f.Done() {
		t.Errorf("title %q, want %q; heading %q", got, want, f.Heading())
	}
	f = f.Did("Done")
	if got, want := f.Title(), "Done · Ben Ortiz · People · Administration · Parvis"; got != want || f.Heading() != "Done" {
		t.Errorf("after a deed: title %q, want %q; heading %q", got, want, f.Heading())
	}
	if f = f.Did(false); f.Done() || f.Heading() != "Ben Ortiz" {
		t.Errorf("after no deed: heading %q", f.Heading())
	}
}

func TestLongWordsBreakWhereTheyMayBeRead(t *testing.T) {
	for text, want := range map[string]string{
		"":                          "",
		"Ben Ortiz":                 "Ben Ortiz",
		"ana@meridian.example":      "ana|@meridian|.example",
		"https://a.example/x?y=<z>": "https://|a|.example/|x|?y|=&lt;z&gt;",
		"to a@b.c.":                 "to a|@b|.c.",
		"at 10:00. so?":             "at 10:00. so?",
		"<wbr>":                     "&lt;wbr&gt;",
		"https://127.0.0.1:8080/x":  "https://127.0.0.1:8080/|x",
		"usr_abc":                   "usr_abc",
	} {
		if got := strings.ReplaceAll(string(Frame{}.Breaks(text)), "<wbr>", "|"); got != want {
			t.Errorf("%q is written %q, want %q", text, got, want)
		}
	}
}
