package document

import (
	"slices"
	"strings"

	"parvis/internal/fault"
)

// Refusal is what is wrong with a request, with the word of RFC 7644 §3.12 for it.
type Refusal struct {
	Type string // scimType
	Why  *fault.Error
}

func (r Refusal) Error() string { return r.Type + ": " + r.Why.Error() }

// Unwrap returns what people are told.
func (r Refusal) Unwrap() error { return r.Why }

// With returns a copy with values for the placeholders of its sentence.
func (r Refusal) With(pairs ...any) Refusal { return Refusal{r.Type, r.Why.With(pairs...)} }

// The words of RFC 7644 §3.12 and RFC 9865 §3.4.
const (
	InvalidFilter = "invalidFilter"
	TooMany       = "tooMany"
	Uniqueness    = "uniqueness"
	Mutability    = "mutability"
	InvalidSyntax = "invalidSyntax"
	InvalidPath   = "invalidPath"
	NoTarget      = "noTarget"
	InvalidValue  = "invalidValue"
	InvalidCursor = "invalidCursor"
	InvalidCount  = "invalidCount"
	ExpiredCursor = "expiredCursor"
)

var (
	errNotJSON    = Refusal{InvalidSyntax, fault.New(fault.Malformed, "scim.not_json")}
	errDeep       = Refusal{InvalidSyntax, fault.New(fault.Malformed, "scim.deep")}
	errMany       = Refusal{InvalidSyntax, fault.New(fault.Malformed, "scim.many")}
	errCharacters = Refusal{InvalidSyntax, fault.New(fault.Malformed, "scim.characters")}
	errNoObject   = Refusal{InvalidSyntax, fault.New(fault.Malformed, "scim.no_object")}
	errTwice      = fault.New(fault.Malformed, "scim.twice")
	errSchema     = fault.New(fault.Malformed, "scim.schema")
	errType       = fault.New(fault.Malformed, "scim.type")
	errLong       = fault.New(fault.Malformed, "scim.long")
	errRequired   = fault.New(fault.Malformed, "scim.required")
	errReadOnly   = fault.New(fault.Malformed, "scim.read_only")
	errKeep       = fault.New(fault.Malformed, "scim.keep")
	errOperation  = fault.New(fault.Malformed, "scim.operation")
	errOperations = Refusal{InvalidSyntax, fault.New(fault.Malformed, "scim.operations")}
	errNoPath     = Refusal{NoTarget, fault.New(fault.Malformed, "scim.no_path")}
	errNoTarget   = fault.New(fault.Malformed, "scim.no_target")
	errPath       = fault.New(fault.Malformed, "scim.path")
	errMembers    = fault.New(fault.Malformed, "scim.members_filter")
	errNested     = fault.New(fault.Malformed, "scim.nested")
	errFilter     = fault.New(fault.Malformed, "scim.filter")
	errFilterLong = Refusal{InvalidFilter, fault.New(fault.Malformed, "scim.filter_long")}
	errOperator   = fault.New(fault.Malformed, "scim.filter_operator")
	errUnknown    = fault.New(fault.Malformed, "scim.filter_attribute")
	errCompare    = fault.New(fault.Malformed, "scim.filter_compare")
	errBoth       = Refusal{InvalidValue, fault.New(fault.Malformed, "scim.attributes_both")}
	errList       = fault.New(fault.Malformed, "scim.attributes_long")
	errSort       = fault.New(fault.Malformed, "scim.sort")
)

// refuse makes a Refusal of a fault about one attribute.
func refuse(scimType string, why *fault.Error, at string) Refusal {
	return Refusal{scimType, why.With("At", short(at))}
}

// short shortens what a request contained, for a sentence about it.
func short(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// Note is something in a request that was taken another way than it was written, for the log of the
// source's calls.
type Note struct {
	Key string // of the catalogue
	At  string
}

// Notes collects the notes of one request.
type Notes struct{ All []Note }

const mostNotes = 20

func (n *Notes) add(key, at string) {
	note := Note{key, short(at)}
	for _, old := range n.All {
		if old == note {
			return
		}
	}
	if len(n.All) < mostNotes {
		n.All = append(n.All, note)
	}
}

// Password reports whether a password was sent, which is ignored.
func (n *Notes) Password() bool {
	return slices.ContainsFunc(n.All, func(note Note) bool { return note.Key == notePassword })
}

// The keys of notes.
const (
	noteUnknown  = "scim.note_unknown"
	noteSchema   = "scim.note_schema"
	noteReadOnly = "scim.note_read_only"
	notePassword = "scim.note_password" //nolint:gosec // The key of a sentence.
	notePrimary  = "scim.note_primary"
	noteNoSchema = "scim.note_no_schema"
	noteTaken    = "scim.note_taken"
)
