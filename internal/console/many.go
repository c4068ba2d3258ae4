package console

import (
	"errors"
	"hash/fnv"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"parvis/internal/administration"
	"parvis/internal/administration/sheet"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/i18n"
	"parvis/internal/naming"
	"parvis/internal/number"
	"parvis/internal/page"
)

// A file is shown as text, which can be corrected. The form that invites says which text was
// previewed, and which of its lines would be invited.
var manyFields = page.Fields{"people", page.File("people_file"), "previewed", "lines"}

// longestShown is how many characters of a cell the preview shows.
const longestShown = 60

// manyPage asks for people to invite, shows what would become of each line, and afterwards what
// became of it.
type manyPage struct {
	Fates     []administration.LineFate // those that are left out come first; none before a preview
	Over      bool                      // it was done
	Ready     int                       // how many are invited
	LeftOut   int
	Ignored   string // columns that are not read
	Text      string
	Previewed string // which text the fates are of
	Languages []i18n.Language
}

// Most returns how many people one file invites.
func (manyPage) Most() int { return sheet.Most }

// Short returns what is shown of a cell.
func (manyPage) Short(cell string) string {
	if utf8.RuneCountInString(cell) <= longestShown {
		return cell
	}
	return string([]rune(cell)[:longestShown]) + "…"
}

// Language returns the name of a language, or what was written where there is none.
func (p manyPage) Language(tag i18n.Tag) string {
	for _, l := range p.Languages {
		if l.Tag == tag {
			return l.Name
		}
	}
	return p.Short(string(tag))
}

// Lines returns the numbers of the lines whose people are invited.
func (p manyPage) Lines() string {
	var numbers []string
	for _, f := range p.Fates {
		if f.Invited() {
			numbers = append(numbers, strconv.Itoa(f.Number))
		}
	}
	return strings.Join(numbers, " ")
}

func (s *Server) showMany(v *page.Viewer) error {
	text := v.Form.Get("people")
	if v.Form.Refused() || strings.TrimSpace(text) == "" {
		return manyPage{Text: text}.render(v, s.site.Catalogue.Languages())
	}
	// Back from the proof, or in another language: the preview stands there again.
	err := s.preview(v)
	if wrong, ok := errors.AsType[*fault.Error](err); ok && wrong.BelongsToForm() {
		v.Form.Refuse("people", text, wrong)
		return manyPage{Text: text}.render(v, s.site.Catalogue.Languages())
	}
	return err
}

func (s *Server) preview(v *page.Viewer) error {
	file, err := readFile(v, s.words())
	if err != nil {
		return err
	}
	fates, err := s.site.Administration.PreviewFile(v.R.Context(), v.User.AsActor(), v.Organization, file)
	if err != nil {
		return err
	}
	text := v.Form.Get("people")
	return manyPage{Fates: fates, Ignored: strings.Join(file.Ignored, ", "), Text: text, Previewed: mark(text)}.render(v, s.site.Catalogue.Languages())
}

// inviteMany shows the preview, or invites if the form says that this text was previewed.
func (s *Server) inviteMany(v *page.Viewer) error {
	if v.Form.Do() != "invite" || v.Form.Get("previewed") != mark(v.Form.Get("people")) {
		return s.preview(v)
	}
	file, err := readFile(v, s.words())
	if err != nil {
		return err
	}
	var numbers []int
	for text := range strings.FieldsSeq(v.Form.Get("lines")) {
		if n, ok := number.Parse(text); ok {
			numbers = append(numbers, n)
		}
	}
	fates, err := s.site.Administration.InviteFile(v.R.Context(), v.User.AsActor(), v.Organization, file, numbers)
	if err != nil {
		return err
	}
	p := manyPage{Fates: fates, Over: true}
	var rest []sheet.Line
	for _, f := range fates {
		if !f.Invited() {
			rest = append(rest, f.Line)
		}
	}
	if len(rest) > 0 {
		if p.Text, err = file.Text(rest); err != nil {
			return err
		}
	}
	return p.render(v, s.site.Catalogue.Languages())
}

// readFile reads the text of the form, or a file that is none.
func readFile(v *page.Viewer, words sheet.Words) (sheet.File, error) {
	content := v.Form.File()
	if len(content) == 0 {
		content = []byte(v.Form.Get("people"))
	}
	return sheet.Read(content, words)
}

func (p manyPage) render(v *page.Viewer, languages []i18n.Language) error {
	p.Languages = languages
	for _, f := range p.Fates {
		if f.Invited() {
			p.Ready++
		}
	}
	p.LeftOut = len(p.Fates) - p.Ready
	if len(p.Fates) > 0 && p.Ready == 0 {
		v.Status(fault.Invalid)
	}
	slices.SortStableFunc(p.Fates, func(a, b administration.LineFate) int { return min(len(b.Reasons), 1) - min(len(a.Reasons), 1) })
	return v.Render("console-many", p)
}

// mark names a text, whatever a browser did to the ends of its lines. It protects nothing: it only
// finds out whether somebody corrected the text and then pressed the other button.
func mark(text string) string {
	h := fnv.New64a()
	_, _ = io.WriteString(h, strings.TrimSpace(strings.ReplaceAll(text, "\r", ""))) // a hash never fails
	return strconv.FormatUint(h.Sum64(), 36)
}

// wordsOf returns what pages in any language call the columns, roles and languages of a file.
func wordsOf(catalogue *i18n.Catalogue) sheet.Words {
	words := sheet.Words{"e-mail": "email", "mail": "email"}
	for _, l := range catalogue.Languages() {
		page := catalogue.In(l.Tag)
		words[naming.Fold(l.Name)] = string(l.Tag)
		for column, key := range map[string]string{
			"email": "console.column.email", "name": "console.column.name", "role": "console.column.role", "language": "console.column.language",
		} {
			words[naming.Fold(page.Text(key))] = column
		}
		for _, role := range directory.Roles {
			words[naming.Fold(page.Text("console.role."+string(role)))] = string(role)
		}
	}
	return words
}

// sample answers with a file to begin from.
func sample(v *page.Viewer) error {
	return v.Download("parvis-invitations.csv", csvMedia, func(w io.Writer) error {
		t := sheet.NewTable(w, separator(v))
		return t.Rows([]string{"email", "name", "role", "language"}, []string{"ana@example.org", "Ana Duarte", "member", "en"}, []string{"lin@example.org", "Lin Wei", "helpdesk", "fr"})
	})
}
