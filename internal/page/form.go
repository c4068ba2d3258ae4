package page

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"parvis/internal/fault"
)

// maxForm is how many bytes a form may have. A longer one is refused before anything is parsed,
// so that a password of 100 MB costs nothing (R-RES-01).
const maxForm = 64 << 10

// The faults of a form as a whole.
var (
	errTooLarge  = fault.New(fault.TooLarge, "page.form_too_large")
	errMalformed = fault.New(fault.Malformed, "page.form_malformed")
	errNoCookies = fault.New(fault.Invalid, "page.cookies_off")
)

// Fields names what a form may send; anything else is refused, not ignored (R-TEN-03). A field
// whose name ends in [] may come many times, every other once.
type Fields []string

// tickMark begins the name of a checkbox in Fields; no name on a form begins with it.
const tickMark = "tick:"

// ticked is what a checkbox sends. Empty means not ticked, and anything else is refused: a
// script that sends "no" must not be read as yes.
const ticked = "yes"

// Tick names a checkbox.
func Tick(name string) string { return tickMark + name }

// Every form of ours may send these besides its own fields: the language list at the foot of
// the page belongs to the same form (decision 0005).
const (
	doField       = "do"
	languageField = "language"
	pageField     = "page"  // the page on our origin to which a button leads
	askedField    = "asked" // the button that a page asks about, since its own may be the language list's
)

// confirmedField is sent by the button of a page that asks.
const confirmedField = "confirmed"

// Form is what somebody typed, with what is wrong with it.
type Form struct {
	values   url.Values
	faults   []*fault.Error
	returned bool // brought back after fresh proof, not sent yet
	file     upload
}

// Get returns the value of a field, as typed.
func (f *Form) Get(name string) string { return f.values.Get(name) }

// All returns the values of a field whose name ends in [].
func (f *Form) All(name string) []string { return f.values[name] }

// Refused reports whether the form is shown again because something is wrong with it.
func (f *Form) Refused() bool { return len(f.faults) > 0 }

// Has reports whether a field came with the form, empty or not.
func (f *Form) Has(name string) bool { return f.values.Has(name) }

// Ticked reports whether a field made by Tick is ticked.
func (f *Form) Ticked(name string) bool { return f.values.Get(name) == ticked }

// Do returns the button that was pressed, where the form has several.
func (f *Form) Do() string { return f.values.Get(doField) }

// Asked returns the button that this form is about: the one that was pressed, unless that chose a
// language, or the one pressed before a page asked about it or before fresh proof.
func (f *Form) Asked() string {
	if do := f.Do(); do != "" && do != languageField {
		return do
	}
	return f.values.Get(askedField)
}

// Confirmed reports whether the form came from a page that asked first.
func (f *Form) Confirmed() bool { return f.Ticked(confirmedField) }

// Returned reports whether the form was brought back after fresh proof and was not sent since.
func (f *Form) Returned() bool { return f.returned }

// FaultIn reports whether something is wrong with a field.
func (f *Form) FaultIn(name string) bool {
	return slices.ContainsFunc(f.faults, func(fa *fault.Error) bool { return fa.Field == name })
}

// Pair is one value of a field.
type Pair struct{ Name, Value string }

// Again returns what was sent, for a page that asks before it is sent again, without secrets and
// without the fields that the page has itself.
func (f *Form) Again(except ...string) (all []Pair) {
	kept := f.withoutSecrets()
	for _, name := range slices.Sorted(maps.Keys(kept)) {
		if name != languageField && name != askedField && name != confirmedField && !slices.Contains(except, name) {
			for _, value := range kept[name] {
				all = append(all, Pair{name, value})
			}
		}
	}
	return all
}

// Detail returns the detail of this name in a fault of the form, or an empty text.
func (f *Form) Detail(name string) string {
	for _, fa := range f.faults {
		if text, ok := fa.Args[name].(string); ok {
			return text
		}
	}
	return ""
}

// Filled reports whether there is something typed to show, empty or not: the form was sent and
// is shown again, or was brought back after fresh proof.
func (f *Form) Filled() bool { return len(f.values) > 0 }

// Refuse shows a field with a value and what is wrong with it, as if it had been
// typed: for a value that came in the address.
func (f *Form) Refuse(name, value string, fa *fault.Error) {
	f.values.Set(name, value)
	f.faults = append(f.faults, fa)
}

// secretFields are the secret fields without password in their names. A directory's body, which may
// have a password, is about somebody else than who typed it.
var secretFields = []string{"repetition", "code", "recovery_code", "response", "client_secret", "header_value[]", "scim_body"}

// isSecret reports whether a field is never shown again, kept or logged.
func isSecret(name string) bool {
	return strings.Contains(name, "password") || slices.Contains(secretFields, name)
}

func (f *Form) withoutSecrets() url.Values {
	kept := maps.Clone(f.values)
	maps.DeleteFunc(kept, func(name string, _ []string) bool {
		return isSecret(name) || name == doField || name == pageField // nobody typed these two
	})
	return kept
}

// post answers a form that was read. A choice of language is handled before validation, limits
// and claims: the cookie is set and the same page is shown, with what was typed. So is a choice
// of another region, which leads there. A refused form is shown again with what is wrong.
func (v *Visitor) post(show, submit func() error) error {
	v.hasForm = true
	if v.Form.Do() == languageField {
		if err := v.chooseLanguage(v.Form.Get(languageField)); err != nil {
			return err
		}
		return show()
	}
	if v.Form.Has(regionField) {
		if answered, err := v.chooseRegion(); answered {
			return err
		}
	}
	return v.refused(submit(), show)
}

// refused shows a form again with what is wrong with it, or returns an error that belongs to no
// form.
func (v *Visitor) refused(err error, show func() error) error {
	faults := fault.All(err)
	if len(faults) == 0 || slices.ContainsFunc(faults, func(f *fault.Error) bool { return !f.BelongsToForm() }) {
		return err
	}
	v.Form.faults = faults
	v.status = faults[0].Kind.Status()
	v.RetryAfter(faults[0].RetryAfter)
	return show()
}

// readForm is the only reader of forms. It parses strictly: one value per field except those
// named name[], no field that the form does not have, valid UTF-8 without a zero byte.
func (v *Visitor) readForm(fields Fields) error {
	media, _, _ := strings.Cut(v.R.Header.Get("Content-Type"), ";")
	switch media = strings.TrimSpace(strings.ToLower(media)); {
	case media == "multipart/form-data" && fields.file() != "":
		return v.readUpload(fields)
	case media != "application/x-www-form-urlencoded":
		return errMalformed
	}
	v.R.Body = http.MaxBytesReader(v.W, v.R.Body, maxForm)
	if err := v.R.ParseForm(); err != nil {
		return unread(err)
	}
	for name, values := range v.R.PostForm {
		if err := fields.check(name, values); err != nil {
			return err
		}
	}
	v.Form = &Form{values: v.R.PostForm, file: upload{field: fields.file()}}
	return nil
}

// check refuses a field that the form does not have, and values that no field may have.
func (f Fields) check(name string, values []string) error {
	ours, tick := name == doField || name == languageField || name == askedField, slices.Contains(f, tickMark+name)
	if !ours && !tick && (!slices.Contains(f, name) || strings.HasPrefix(name, fileMark) || strings.HasPrefix(name, tickMark)) {
		return errMalformed.With("Field", name)
	}
	if tick && slices.ContainsFunc(values, func(value string) bool { return value != "" && value != ticked }) {
		return errMalformed.With("Field", name)
	}
	if len(values) != 1 && !strings.HasSuffix(name, "[]") {
		return errMalformed.With("Field", name)
	}
	for _, value := range values {
		if !utf8.ValidString(value) || strings.ContainsRune(value, 0) {
			return errMalformed.With("Field", name)
		}
	}
	return nil
}

// RequireCookies refuses a form whose answer must set a cookie if the browser does not send the
// cookie of the form's page. Otherwise signing in would only lead back to the sign-in page.
func (v *Visitor) RequireCookies() error {
	if len(v.R.Cookies()) == 0 {
		return errNoCookies
	}
	return nil
}
