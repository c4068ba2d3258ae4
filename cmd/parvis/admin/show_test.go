package admin

import (
	"encoding/json"
	"testing"

	"parvis/internal/expect"
)

// What others typed cannot move the cursor, colour the rest or turn it round.
func TestNamesOfOthersDoNotCommandTheTerminal(t *testing.T) {
	t.Parallel()
	for typed, want := range map[string]string{
		"Renée 李": "Renée 李", "\x1b[31mred": "\uFFFD[31mred", "a\rb": "a\uFFFDb", "a\u009b2Jb": "a\uFFFD2Jb", "a\u202Eb": "a\uFFFDb",
	} {
		expect.Equal(expect.Case(t, "%q", typed), "what is printed", printable(typed), want)
	}
}

func TestValuesOfRulesAreJSON(t *testing.T) {
	t.Parallel()
	for typed, want := range map[string]string{
		"12": "12", "true": "true", "null": "null", "modern": `"modern"`, "2026-12-01T00:00:00Z": `"2026-12-01T00:00:00Z"`, `{"a":1}`: `"{\"a\":1}"`, "": `""`, "1 2": `"1 2"`,
	} {
		expect.Equal(expect.Case(t, "%q", typed), "what is sent", string(literal(typed)), want)
	}
}

func TestTokensGoOnlyWhereNobodyReadsThem(t *testing.T) {
	t.Parallel()
	for typed, want := range map[string]string{
		"https://Id.your-company.com/": "https://id.your-company.com", "http://localhost:8080": "http://localhost:8080", "http://us.localhost:8081": "http://us.localhost:8081",
		"http://[::1]:8080": "http://[::1]:8080", "http://id.your-company.com": "", "http://localhost.evil.example": "", "http://127.0.0.1@evil.example": "",
		"ftp://localhost": "", "id.your-company.com": "", "https://id.your-company.com/o/x": "", "https://id.your-company.com?x": "",
	} {
		got, err := parseAddress(typed)
		of := expect.Case(t, "%q", typed)
		expect.Equal(of, "address", got, want)
		expect.Equal(of, "refused", err != nil, want == "")
	}
}

// What is named once for each value is a list, and what has a dot is a part; the rest is as it was.
func TestValuesAreListsAndParts(t *testing.T) {
	t.Parallel()
	all := map[string]json.RawMessage{"kind": json.RawMessage(`"web"`)}
	g := given{Values: []string{"redirect_uris=https://a.example", "redirect_uris=https://b.example", "scopes=openid", "titles.fr=Portail", "titles.en=null", "asks=true", "post_logout_uris=null", "address=https://a.example/?x=1"}}
	if err := g.over(&Terminal{}, all); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"kind": `"web"`, "redirect_uris": `["https://a.example","https://b.example"]`, "scopes": `["openid"]`, "titles": `{"en":null,"fr":"Portail"}`, "asks": "true",
		"post_logout_uris": "null", "address": `"https://a.example/?x=1"`,
	} {
		expect.Equal(t, name, string(all[name]), want)
	}
}
