package credential

import (
	"log/slog"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/secure/precis"
	"golang.org/x/text/unicode/norm"
)

// longest is the most code points a password may have under any rules.
const longest = 400

// longestBytes is how many bytes a text may have before anything is computed. A code point of a
// prepared password may be typed as up to twelve bytes, decomposed.
const longestBytes = 12 * longest

// form is how a text was prepared, so that one text typed on two systems is one password: as
// RFC 8265 OpaqueString or, if that refuses, in NFC alone. OpaqueString knows no character
// newer than its Unicode version and refuses joined emoji. The hash names its form, because
// with a later Unicode version the same text may be prepared in another.
type form string

const (
	opaque form = "opaque"
	nfc    form = "nfc"
	typed  form = "typed" // of imported hashes: as it was typed, since nobody knows how it was prepared
)

// Password is a new password that obeys the rules: only Check makes one. It cannot be printed
// by accident.
type Password struct {
	text string
	form form
}

const redacted = "[secret]"

func (p Password) String() string       { return redacted }
func (p Password) GoString() string     { return redacted }
func (p Password) LogValue() slog.Value { return slog.StringValue(redacted) }

// prepare brings a typed text into the form that is compared. If the text cannot be a password,
// it returns the key of the reason instead. Nothing is trimmed, cut or folded (R-PWD-02).
func prepare(text string) (p Password, reason string) {
	switch {
	case len(text) > longestBytes:
		return Password{}, reasonTooLong
	case !utf8.ValidString(text) || strings.ContainsRune(text, utf8.RuneError):
		// A lone surrogate in JSON arrives here as the replacement character.
		return Password{}, reasonUnreadable
	case strings.ContainsFunc(text, unicode.IsControl):
		return Password{}, reasonControl
	}
	p.form = opaque
	var ok bool
	if p.text, ok = p.form.of(text); !ok {
		p.form = nfc
		p.text, _ = p.form.of(text)
	}
	if utf8.RuneCountInString(p.text) > longest {
		return Password{}, reasonTooLong
	}
	return p, ""
}

// Same reports whether two typed texts are one password: systems differ in how they write an
// accented letter, and what would be stored is compared.
func Same(a, b string) bool {
	p, refused := prepare(a)
	q, alsoRefused := prepare(b)
	if refused != "" || alsoRefused != "" {
		return a == b
	}
	return p == q
}

// of prepares text in the form f, if f has one for it.
func (f form) of(text string) (string, bool) {
	switch f {
	case nfc:
		return norm.NFC.String(text), true
	case typed:
		return text, true
	case opaque:
	}
	prepared, err := precis.OpaqueString.String(text)
	return prepared, err == nil
}
