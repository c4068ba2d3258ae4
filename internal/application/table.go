package application

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"

	"parvis/internal/application/redirect"
	"parvis/internal/fault"
	"parvis/internal/i18n"
	"parvis/internal/naming"
)

// Setting is a row of the table of settings. The forms of the console, the flags of the
// command, the checks of registration and the defaults follow from that table. The value is in
// the field of Settings with the same name in JSON.
type Setting struct {
	Name     string   // in what is stored, and in the audit log
	form     string   // the name in forms and faults, if it differs
	Columns  []string // if the value is a list of entries: the form's fields for the parts of an entry
	Flag     string   // of the command; empty: it has none
	Switches string   // the choice that the flag sets, if the flag takes no value
	Type     Type
	Part     Part
	Seldom   bool            // forms fold it away, because few need it
	Kinds    []Kind          // that have it
	Needed   []Kind          // that must have a value
	Choices  []string        // allowed values of a choice; offered values of a list or an entry
	Times    []time.Duration // the shortest, some to offer, and the longest
	Usual    any             // the value of a choice or a time if none is stored
	Most     int             // characters of a text, or entries
}

// Type is how the value of a setting is written.
type Type string

// The types.
const (
	Text      Type = "text"
	Texts     Type = "texts" // one for each language
	Address   Type = "address"
	Addresses Type = "addresses"
	Words     Type = "words"
	Switch    Type = "switch"
	Choice    Type = "choice"
	Time      Type = "time"
	Document  Type = "document" // JSON
	Entries   Type = "entries"  // of several columns
)

// Part is what a setting is about. Each part is a form.
type Part string

// The parts.
const (
	TilePart   Part = "tile"
	SignInPart Part = "sign-in"
	ClaimsPart Part = "claims"
	TokensPart Part = "tokens"
)

var (
	people  = []Kind{Web, SinglePage, Native}
	asking  = []Kind{Web, SinglePage, Native, Machine}
	keeping = []Kind{Web, Machine} // can keep a secret
	tiled   = []Kind{Web, SinglePage, Native, Link}
)

// Table lists all settings, in the order in which they are shown.
var Table = []Setting{
	{Name: "name", Flag: "name", Type: Text, Part: TilePart, Kinds: Kinds, Needed: Kinds},
	{Name: "titles", form: "title", Columns: []string{"tag[]", "title[]"}, Flag: "title", Type: Texts, Part: TilePart, Seldom: true, Kinds: tiled, Most: mostTitle},
	{Name: "descriptions", form: "description", Columns: []string{"tag[]", "description[]"}, Flag: "description", Type: Texts, Part: TilePart, Seldom: true, Kinds: tiled, Most: mostDescription},
	{Name: "address", Flag: "address", Type: Address, Part: TilePart, Kinds: tiled, Needed: []Kind{Link}},
	{Name: "initiate_uri", Flag: "initiate-uri", Type: Address, Part: TilePart, Seldom: true, Kinds: people},
	{Name: "redirect_uris", Flag: "redirect-uri", Type: Addresses, Part: SignInPart, Kinds: people, Most: MostRedirectURIs},
	{Name: "asks", Flag: "asks", Type: Switch, Part: SignInPart, Kinds: people},
	{Name: "post_logout_uris", Flag: "post-logout-uri", Type: Addresses, Part: SignInPart, Seldom: true, Kinds: people, Most: MostRedirectURIs},
	{Name: "back_channel", Flag: "back-channel-logout", Type: Address, Part: SignInPart, Seldom: true, Kinds: people},
	{Name: "front_channel", Flag: "front-channel-logout", Type: Address, Part: SignInPart, Seldom: true, Kinds: people},
	{Name: "scopes", Flag: "scope", Type: Words, Part: SignInPart, Seldom: true, Kinds: asking, Choices: Scopes[1:], Most: MostLines},
	{Name: "auth", Flag: "auth", Type: Choice, Part: SignInPart, Seldom: true, Kinds: keeping, Choices: []string{string(Secret), string(PrivateKey), string(NoAuth)}},
	{Name: "keys", Flag: "keys", Type: Document, Part: SignInPart, Seldom: true, Kinds: keeping},
	{Name: "keys_url", Flag: "keys-url", Type: Address, Part: SignInPart, Seldom: true, Kinds: keeping},
	{Name: "code_protection", Flag: "code-protection", Type: Choice, Part: SignInPart, Seldom: true, Kinds: []Kind{Web}, Choices: []string{string(PKCE), string(PKCEOrNonce), string(NoProtection)}, Usual: PKCE},
	{Name: "claims", Columns: []string{"claim[]", "source[]", "value[]"}, Flag: "claim", Type: Entries, Part: ClaimsPart, Kinds: people, Choices: Sources, Most: MostLines},
	{Name: "roles", Columns: []string{"role_group[]", "role[]"}, Type: Entries, Part: ClaimsPart, Kinds: people, Most: MostLines},
	{Name: "access_for", Flag: "access-for", Type: Time, Part: TokensPart, Kinds: asking, Usual: AccessLasts, Times: []time.Duration{ShortestAccess, 2 * time.Minute, AccessLasts, LongestAccess}},
	{Name: "id_token_for", Flag: "id-token-for", Type: Time, Part: TokensPart, Kinds: people, Usual: IDTokenLasts, Times: []time.Duration{ShortestIDToken, 5 * time.Minute, IDTokenLasts, 30 * time.Minute, LongestIDToken}},
	{Name: "refresh_for", Flag: "refresh-for", Type: Time, Part: TokensPart, Kinds: people, Usual: RefreshLasts, Times: []time.Duration{ShortestRefresh, 8 * time.Hour, day, 7 * day, RefreshLasts, LongestRefresh}},
	{Name: "refreshes", Flag: "refresh", Type: Switch, Part: TokensPart, Kinds: people},
	{Name: "in_id_token", Flag: "in-id-token", Type: Switch, Part: TokensPart, Kinds: people},
	{Name: "pairwise", Flag: "pairwise", Type: Switch, Part: TokensPart, Kinds: people},
	{Name: "signs_info", Flag: "signed-userinfo", Type: Switch, Part: TokensPart, Kinds: people},
	{Name: "devices", Flag: "device", Type: Switch, Part: TokensPart, Kinds: people},
	{Name: "own_behalf", Flag: "own-behalf", Type: Switch, Part: TokensPart, Kinds: []Kind{Web}},
	{Name: "opaque", Flag: "opaque", Type: Switch, Part: TokensPart, Kinds: asking},
	{Name: "bound_only", Flag: "dpop-only", Type: Switch, Part: TokensPart, Kinds: asking},
	{Name: "pushed_only", Flag: "pushed-only", Type: Switch, Part: TokensPart, Kinds: people},
	{Name: "algorithm", Flag: "rs256", Switches: string(RS256), Type: Choice, Part: TokensPart, Kinds: asking, Choices: []string{string(ES256), string(RS256)}, Usual: ES256},
	{Name: "audience", form: "audience_claim", Flag: "audience", Type: Text, Part: TokensPart, Kinds: asking},
}

// Field returns the name of the setting in forms and faults.
func (t Setting) Field() string { return cmp.Or(t.form, t.Name) }

// Fields returns the names of the form's fields for the value. Well-known scopes are
// checkboxes, and all others are in one text.
func (t Setting) Fields() []string {
	switch {
	case t.Columns != nil:
		return t.Columns
	case t.Type == Words:
		return []string{"scope[]", t.Field()}
	}
	return []string{t.Field()}
}

// Fits reports whether applications of a kind have the setting.
func (t Setting) Fits(k Kind) bool { return slices.Contains(t.Kinds, k) }

// stored maps names in JSON to the indexes of the fields of Settings.
var stored = func() map[string]int {
	all := map[string]int{}
	for i, fields := 0, reflect.TypeFor[Settings](); i < fields.NumField(); i++ {
		name, _, _ := strings.Cut(fields.Field(i).Tag.Get("json"), ",")
		all[name] = i
	}
	return all
}()

// value returns the setting's field of s.
func (t Setting) value(s *Settings) reflect.Value {
	return reflect.ValueOf(s).Elem().Field(stored[t.Name])
}

// Get returns the value as texts. If the setting has Columns, the parts of all entries follow
// each other. A switch is the text true, or no text.
func (t Setting) Get(s Settings) (texts []string) {
	value := t.value(&s)
	if value.IsZero() {
		return nil
	}
	switch v := value.Interface().(type) {
	case map[i18n.Tag]string:
		for _, tag := range slices.Sorted(maps.Keys(v)) {
			texts = append(texts, string(tag), v[tag])
		}
	case []string:
		return v
	case json.RawMessage:
		return []string{string(v)}
	case []Claim, []RoleOf:
		for i := range value.Len() * len(t.Columns) {
			texts = append(texts, value.Index(i/len(t.Columns)).Field(i%len(t.Columns)).String())
		}
	default:
		return []string{fmt.Sprint(v)}
	}
	return texts
}

// Now returns the value in force: the stored one, or else the usual one.
func (t Setting) Now(s Settings) any {
	if value := t.value(&s); t.Usual == nil || !value.IsZero() {
		return value.Interface()
	}
	return t.Usual
}

// Set replaces the value by texts as Get returns them or as a person typed them, without empty
// lines, repetitions and surrounding spaces. Texts in languages that are not named stay. It
// does not judge the value, which registration does; a text that is not a time becomes a time
// that is too short.
func (t Setting) Set(s *Settings, texts ...string) {
	texts, value, last := slices.Clone(texts), t.value(s), ""
	for i := range texts {
		texts[i] = strings.TrimSpace(texts[i])
		last = texts[i]
	}
	old := value.Interface()
	value.SetZero() // a new value, so that nothing is written into one that others still read
	switch old := old.(type) {
	case bool:
		value.SetBool(last == "true")
	case time.Duration:
		d, err := time.ParseDuration(cmp.Or(last, "0s"))
		if err != nil {
			d = -1
		}
		value.SetInt(int64(d))
	case []string:
		value.Set(reflect.ValueOf(t.lines(texts)))
	case map[i18n.Tag]string:
		all := map[i18n.Tag]string{}
		maps.Copy(all, old)
		for one := range t.entries(texts) {
			if clean, err := naming.CleanLine(one[1], t.Most); err == nil {
				one[1] = clean
			}
			all[i18n.Tag(one[0])] = one[1]
		}
		maps.DeleteFunc(all, func(_ i18n.Tag, text string) bool { return text == "" })
		if len(all) > 0 {
			value.Set(reflect.ValueOf(all))
		}
	case []Claim, []RoleOf:
		for one := range t.entries(texts) {
			if one[0]+one[len(one)-1] == "" { // only the source is there, which a list preselects
				continue
			}
			entry := reflect.New(value.Type().Elem()).Elem()
			for i, text := range one {
				entry.Field(i).SetString(text)
			}
			value.Set(reflect.Append(value, entry))
		}
	case json.RawMessage:
		if last != "" {
			value.SetBytes([]byte(last))
		}
	default:
		value.SetString(last)
	}
}

// lines returns the lines or the words of texts that are not empty, each once.
func (t Setting) lines(texts []string) (all []string) {
	ends := func(r rune) bool { return r == '\n' || t.Type == Words && unicode.IsSpace(r) }
	for _, one := range strings.FieldsFunc(strings.Join(texts, "\n"), ends) {
		if one = strings.TrimSpace(one); one != "" && !slices.Contains(all, one) {
			all = append(all, one)
		}
	}
	return all
}

// entries cuts texts into entries, each with all columns.
func (t Setting) entries(texts []string) iter.Seq[[]string] {
	n := len(t.Columns)
	return slices.Chunk(append(texts, make([]string, (n-len(texts)%n)%n)...), n)
}

// tidied returns s as it is stored. Usual values are left out, so that applications follow when
// the usual value changes.
func (s Settings) tidied(k Kind) Settings {
	for _, t := range Table {
		t.Set(&s, t.Get(s)...)
		if value := t.value(&s); k == Link && !t.Fits(k) || t.Usual != nil && value.Interface() == t.Usual {
			value.SetZero()
		}
	}
	if slices.Contains(people, k) && !slices.Contains(s.Scopes, OpenID) {
		s.Scopes = append([]string{OpenID}, s.Scopes...)
	}
	switch keys := len(s.Keys) > 0 || s.KeysURL != ""; {
	case s.Auth != "": // chosen
	case keys:
		s.Auth = PrivateKey
	case slices.Contains(keeping, k):
		s.Auth = Secret
	default:
		s.Auth = NoAuth
	}
	if s.Auth != PrivateKey {
		s.Keys, s.KeysURL = nil, ""
	}
	return s
}

// judge returns what is wrong with the value, regardless of other settings.
func (t Setting) judge(s Settings, k Kind) error {
	texts, all := t.Get(s), []error(nil)
	wrong := func(key string, pairs ...any) { all = append(all, fault.Field(t.Field(), key).With(pairs...)) }
	if len(texts) == 0 && slices.Contains(t.Needed, k) {
		wrong("op.field." + t.Name + "_missing")
	}
	if t.Most > 0 && t.Type != Texts && len(texts) > t.Most*max(1, len(t.Columns)) {
		wrong("op.field.too_many", "Most", t.Most)
	}
	for i, text := range texts {
		var err error
		switch t.Type {
		case Address:
			if err = redirect.CheckWeb(text); t.Name == "address" {
				err = redirect.CheckTile(text)
			}
		case Addresses:
			err = redirect.Check(text, k == Native)
		case Choice:
			if !slices.Contains(t.Choices, text) {
				wrong("op.field." + t.Name)
			}
		case Time:
			if d := t.value(&s).Interface().(time.Duration); d < t.Times[0] || d > t.Times[len(t.Times)-1] {
				wrong("op.field.lifetime", "Least", t.Times[0], "Most", t.Times[len(t.Times)-1])
			}
		case Texts:
			if i%2 == 0 && !i18n.Known(i18n.Tag(text)) {
				wrong("op.field.language", "Language", text)
			} else if clean, bad := naming.CleanLine(text, t.Most); i%2 == 1 && (bad != nil || clean != text) {
				wrong("op.field."+t.Field(), "Most", t.Most)
			}
		case Text, Words, Switch, Document, Entries: // judged in settings.go, with what they depend on
		}
		if reason, bad := errors.AsType[redirect.Reason](err); bad {
			wrong("op.address."+string(reason), "Address", text)
		} else if err != nil {
			all = append(all, err)
		}
	}
	return errors.Join(all...)
}
