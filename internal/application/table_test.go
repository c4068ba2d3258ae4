package application

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"parvis/internal/audit"
	"parvis/internal/i18n"
)

// Each setting has one row. Its name is also the name in JSON, in the audit log, and in the
// sentences of the console and the command.
func TestEverySettingHasARow(t *testing.T) {
	catalogue, err := i18n.Load()
	if err != nil {
		t.Fatal(err)
	}
	fields := reflect.TypeFor[Settings]()
	var inTable, flags, says []string
	for _, s := range Table {
		inTable, flags = append(inTable, s.Name), append(flags, s.Flag)
		says = append(says, "console.setting."+s.Name)
		if s.Type != Texts {
			says = append(says, "console.setting."+s.Name+"_hint")
		}
		if s.Flag != "" {
			says = append(says, "op.setting."+s.Name)
		}
		for _, c := range s.Choices {
			says = append(says, "console.setting."+s.Name+"."+strings.ToLower(c))
		}
		if _, found := stored[s.Name]; !found {
			t.Errorf("%s has a row and is stored nowhere", s.Name)
		}
	}
	for name := range stored {
		if !slices.Contains(inTable, name) {
			t.Errorf("%s is stored and has no row", name)
		}
	}
	if len(inTable) != fields.NumField() {
		t.Errorf("%d rows, %d settings", len(inTable), fields.NumField())
	}
	slices.Sort(flags)
	if unique := slices.Compact(slices.Clone(flags)); len(unique) != len(flags) {
		t.Errorf("a flag stands twice: %q", flags)
	}
	for _, key := range says {
		if text := catalogue.In("en").Text(key); text == "["+key+"]" {
			t.Errorf("there is no sentence %s", key)
		}
	}
	logged := slices.Sorted(slices.Values(append(inTable, "logo")))
	for _, action := range []audit.Action{"application.registered", "application.changed", "application.removed"} {
		if known := slices.Sorted(slices.Values(strings.Fields(audit.Actions[action].Fields))); !slices.Equal(known, logged) {
			t.Errorf("the log of %s may hold %q, settings are %q", action, known, logged)
		}
	}
}

// full has a value in every setting.
var full = Settings{
	Name: "Books", Titles: map[i18n.Tag]string{"en": "Books", "fr": "Livres"}, Descriptions: map[i18n.Tag]string{"fr": "a=b"}, Address: "https://b.example/", InitiateURI: "https://b.example/in",
	RedirectURIs: []string{"https://b.example/cb", "https://b.example/cb2"}, PostLogoutURIs: []string{"https://b.example/out"}, BackChannel: "https://b.example/bc", FrontChannel: "https://b.example/fc",
	Auth: PrivateKey, Protection: PKCEOrNonce, Keys: []byte(`{"keys":[]}`), KeysURL: "https://b.example/keys", Scopes: []string{OpenID, "books:read"}, Audience: "books",
	Refreshes: true, Devices: true, OwnBehalf: true, Algorithm: RS256, SignsInfo: true, Opaque: true, InIDToken: true, Pairwise: true, PushedOnly: true, BoundOnly: true, Asks: true,
	AccessFor: time.Minute, IDTokenFor: time.Hour, RefreshFor: 2 * time.Hour,
	Claims: []Claim{{"mail", "email", ""}, {"site", "fixed", "Porto: north"}}, Roles: []RoleOf{{"grp_1", "editor"}},
}

// For every setting, Set stores what Get returned, and changes no value that is shared.
func TestSettingsAreWrittenAndReadAsTexts(t *testing.T) {
	before := fmt.Sprintf("%#v", full)
	again := Settings{}
	for _, s := range Table {
		texts := s.Get(full)
		if len(texts) == 0 {
			t.Errorf("%s has no text", s.Name)
		}
		s.Set(&again, texts...)
		copied := full
		s.Set(&copied)
		for range 2 {
			s.Set(&copied, append(slices.Clone(texts), "  x ", "y", "z")...)
		}
	}
	if !reflect.DeepEqual(again, full) {
		t.Errorf("%#v became %#v", full, again)
	}
	if after := fmt.Sprintf("%#v", full); after != before {
		t.Errorf("others read %s now, it was %s", after, before)
	}
}

// A value is stored in one form, however it was registered.
func TestValuesAreTidiedWhereTheyAreStored(t *testing.T) {
	typed := Settings{
		Titles: map[i18n.Tag]string{"en": "  Bo\u0301oks ", "fr": " "}, Address: " https://b.example/ ", RedirectURIs: []string{" https://b.example/cb", "", "https://b.example/cb "},
		Scopes: []string{EmailInfo, EmailInfo}, Protection: PKCE, Algorithm: ES256, AccessFor: AccessLasts, IDTokenFor: IDTokenLasts, RefreshFor: RefreshLasts,
		Claims: []Claim{{" mail ", "email", ""}, {"", "name", " "}}, Roles: []RoleOf{{"", " "}},
	}
	want := Settings{
		Titles: map[i18n.Tag]string{"en": "B\u00f3oks"}, Address: "https://b.example/", RedirectURIs: []string{"https://b.example/cb"}, Scopes: []string{OpenID, EmailInfo}, Auth: Secret,
		Claims: []Claim{{"mail", "email", ""}},
	}
	got := typed.tidied(Web)
	for _, s := range Table {
		if a, b := s.Get(got), s.Get(want); !slices.Equal(a, b) {
			t.Errorf("%s is stored as %q, want %q", s.Name, a, b)
		}
	}
	if typed.RedirectURIs[0] != " https://b.example/cb" {
		t.Error("what was typed was written into")
	}
	for kind, auth := range map[Kind]AuthMethod{Web: Secret, Machine: Secret, SinglePage: NoAuth, Native: NoAuth, Link: NoAuth} {
		if got := (Settings{}).tidied(kind).Auth; got != auth {
			t.Errorf("%s proves itself by %s, want %s", kind, got, auth)
		}
	}
	if got := (Settings{KeysURL: "https://b.example/keys"}).tidied(Web).Auth; got != PrivateKey {
		t.Errorf("with a key it proves itself by %s", got)
	}
	left := full.tidied(Link)
	if left.Address == "" || left.Titles == nil {
		t.Errorf("a link loses its address or its titles: %+v", left)
	}
	if left.KeysURL != "" || left.RedirectURIs != nil || left.Refreshes {
		t.Errorf("a link keeps %#v", left)
	}
}

// An address with a space before it is checked without the space, as it will be stored.
func TestAddressesThatAreCalledAreFoundAsTheyWillBeStored(t *testing.T) {
	if all := calledAddresses(Settings{BackChannel: " https://10.0.0.1/out\n", KeysURL: "ftp://x"}); len(all) != 1 || all["back_channel"] != "https://10.0.0.1/out" {
		t.Errorf("found %v", all)
	}
}
