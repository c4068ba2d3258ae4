package web

import (
	"embed"
	"io/fs"
	"regexp"
	"slices"
	"testing"
	"time"

	"parvis/internal/application"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/federation"
	"parvis/internal/op"
	"parvis/internal/op/ask"
	"parvis/internal/page"
	"parvis/internal/session"
)

// asked has what the pages of op/ask, and a few of federation and page, are filled in with
// there, under the same names.
type asked struct {
	Title, Client, Address, Host, Request, Code, Next, Path, Back, Provider, Reference string

	Seconds                           int
	Scopes                            []string
	Lasts                             time.Duration
	Visit                             session.Visit
	Visits, Others                    []session.Visit
	Organization                      directory.Organization
	Connection                        federation.Connection
	Forbidden, Device, None, Done, No bool
	Acts                              bool
	Network                           string
	sentence                          string
}

func (asked) ScopeKey(scope string) string { return application.ScopeKey(scope) }

func (a asked) Sentence(f page.Frame) string { return f.T(a.sentence) }

func (a asked) Sent() any { return a.Address }

func (a asked) Shown() string { return a.Code }

// askSamples are the pages between applications and people, and those on the way to a provider.
func askSamples(visits []session.Visit) []sample {
	scopes := []string{"openid", "profile", "email", "groups", "roles", "offline"}
	consent := asked{Title: "Wiki", Scopes: scopes, Visit: visits[0], Host: "wiki.example"}
	lasting, device, devices := consent, consent, consent
	lasting.Lasts, device.Device, device.Code, device.Visits = 30*24*time.Hour, true, "AAAA-BBBB", visits[:1]
	visits = slices.Clone(visits)
	visits[0].Session.ID, visits[1].Session.ID = "ses_1", "ses_2"
	devices.Device, devices.Code, devices.Visits = true, "AAAA-BBBB", visits
	acting, nothing := lasting, lasting
	acting.Acts, acting.Scopes = true, []string{"parvis.people.read", "parvis.people.write", "parvis.audit.read"}
	nothing.Acts, nothing.Scopes = true, nil
	actingDevice := device
	actingDevice.Acts, actingDevice.Scopes, actingDevice.Network = true, acting.Scopes[:1], "203.0.113.7"
	denied := asked{Title: "Wiki", Visit: visits[0], Organization: visits[0].Organization, Others: visits[1:], Request: "AAAA"}
	forbidden := denied
	forbidden.Forbidden = true
	wiki := given{op.Given{Client: application.Application{Settings: application.Settings{Name: "Wiki", Asks: true}}, Scope: scopes, GivenAt: dbtest.Start, UsedAt: dbtest.Start, Open: true}}
	books := given{op.Given{Client: application.Application{Settings: application.Settings{Name: "Books"}}, Scope: scopes[:3], UsedAt: dbtest.Start}}
	return []sample{
		{name: "application-mismatch", template: "op-mismatch", page: asked{Client: "Wiki", Address: "https://parvis.example/o/meridian", sentence: "op.request_gone"}, plain: true},
		{name: "application-going", template: "op-going", page: asked{Title: "Wiki", Address: "https://wiki.example/"}, plain: true},
		{name: "application-waiting", template: "op-waiting", page: asked{Title: "Wiki", Address: "/authorize", Seconds: 2}, plain: true},
		{name: "application-gone", template: "op-gone", page: "https://wiki.example/", plain: true},
		{name: "application-consent", template: "op-consent", page: consent},
		{name: "application-consent-lasting", template: "op-consent", page: lasting},
		{name: "command-consent", template: "op-consent", page: acting},
		{name: "command-consent-to-nothing", template: "op-consent", page: nothing},
		{name: "command-device", template: "op-device", page: actingDevice},
		{name: "application-choose", template: "op-choose", page: asked{Title: "Wiki", Visits: visits}},
		{name: "application-denied", template: "op-denied", page: denied},
		{name: "application-forbidden", template: "op-denied", page: forbidden},
		{name: "device-code", template: "op-device", page: asked{}},
		{name: "device-ask", template: "op-device", page: device},
		{name: "device-ask-as", template: "op-device", page: devices},
		{name: "device-not-here", template: "op-device", page: asked{Title: "Wiki", None: true, Code: "AAAA-BBBB"}},
		{name: "device-done", template: "op-device", page: asked{Done: true}, plain: true},
		{name: "device-refused", template: "op-device", page: asked{No: true}, plain: true},
		{name: "application-sign-out", template: "op-sign-out", page: asked{Title: "Wiki", Visits: visits}},
		{name: "application-signed-out", template: "op-signed-out", page: asked{Next: "https://wiki.example/"}, plain: true},
		{name: "application-switch", template: "op-switch", page: asked{Title: "Wiki", Path: "/o/meridian", Back: "/o/meridian"}, inside: true},
		{name: "applications", template: "account-applications", page: applicationsPage{Given: []given{wiki, books}}, inside: true},
		{name: "applications-none", template: "account-applications", page: applicationsPage{Withdrawn: true}, inside: true, plain: true},
		{name: "going-to-provider", template: "going", page: asked{Provider: "Lumen Health", Address: "https://parvis.example"}, plain: true},
		{name: "provider-refused", template: "federation-refused", page: asked{
			Organization: visits[0].Organization, Connection: federation.Connection{Name: "Lumen Health"}, Reference: "req_0123456789",
		}, plain: true},
	}
}

// The picture book has each page that these packages show; the console's are in its own.
func TestEveryPageHasASample(t *testing.T) {
	t.Parallel()
	drawn := map[string]bool{}
	for _, s := range samples() {
		drawn[s.template] = true
	}
	page := regexp.MustCompile(`{{define "([^"]+)"}}{{template "head"`)
	for _, files := range []embed.FS{Templates, ask.Templates, federation.Templates} {
		all, err := fs.Glob(files, "templates/*.html")
		if err != nil || len(all) == 0 {
			t.Fatal(all, err)
		}
		for _, file := range slices.Sorted(slices.Values(all)) {
			text, err := files.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range page.FindAllSubmatch(text, -1) {
				if !drawn[string(m[1])] {
					t.Errorf("%s of %s has no sample", m[1], file)
				}
			}
		}
	}
}
