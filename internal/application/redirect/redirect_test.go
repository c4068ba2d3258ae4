package redirect_test

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"parvis/internal/application/redirect"
	"parvis/internal/expect"
)

func TestAddressesThatApplicationsHave(t *testing.T) {
	for _, address := range []string{
		"https://app.your-company.com/callback", "https://app.your-company.com", "https://app.your-company.com/", "https://app.your-company.com:8443/callback",
		"https://app.your-company.com/callback?tenant=a%20b&x[]=/../&y=@", "https://app.your-company.com?", "https://xn--bcher-kva.example/Callback",
		"https://intranet/callback", "https://192.0.2.1/callback", "https://[2001:db8::1]:8443/callback", "https://a.example/caf%C3%A9/b@c/d;e=1",
		"https://a.example/.well-known/..x/x../...", "https://" + strings.Repeat("a", 63) + ".example/",
		"http://localhost/callback", "http://localhost:3000/callback", "http://app.localhost:3000", "http://127.0.0.1:3000/", "http://[::1]:3000/",
		"https://localhost:3000/", "https://a.example/" + strings.Repeat("a", 1982),
	} {
		for _, native := range []bool{false, true} {
			if err := redirect.Check(address, native); err != nil {
				t.Errorf("%s: %v", address, err)
			}
		}
		if err := redirect.CheckWeb(address); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	for _, address := range []string{"com.example.app:/callback", "com.example.my-app:/", "ch.example:/callback?x=1",
		"com.example.app://callback", "com.example.app://oauthRedirect", "com.example.app://host/callback", "com.example.app://tenant.eu.example/ios/com.example.app/callback"} {
		if err := redirect.Check(address, true); err != nil {
			t.Errorf("%s: %v", address, err)
		}
		for _, err := range []error{redirect.Check(address, false), redirect.CheckWeb(address), redirect.CheckTile(address)} {
			if err != redirect.PrivateScheme { //nolint:errorlint // Nothing is wrapped.
				t.Errorf("%s: %v", address, err)
			}
		}
	}
}

// dangerous addresses are refused for every kind of application and every use; only a tile may have
// a fragment.
var dangerous = map[string]redirect.Reason{
	"": redirect.Missing,
	"https://a.example/" + strings.Repeat("a", 1983): redirect.TooLong,

	"https://*.a.example/callback": redirect.Wildcard, "https://a.example/*": redirect.Wildcard, "https://a.example/?x=*": redirect.Wildcard, "*": redirect.Wildcard,

	" https://a.example/": redirect.Characters, "https://a.example/ ": redirect.Characters, "https://a.example/a b": redirect.Characters,
	"https://a.example/\n": redirect.Characters, "ht\ttps://a.example/": redirect.Characters, "https://a.example/\x00": redirect.Characters,
	"https://a.example\\@evil.test/": redirect.Characters, "https:\\\\a.example/": redirect.Characters, "https://a.example/\\..\\": redirect.Characters,
	"https://bücher.example/": redirect.Characters, "https://a.example/é": redirect.Characters, "https://a。example/": redirect.Characters, "https://аpple.example/": redirect.Characters,
	"https://a.example/\xff": redirect.Characters, "https://a.example/<script>": redirect.Characters, "https://a.example/\"": redirect.Characters,
	"https://a.example/^callback|.+$": redirect.Characters, "https://a.example/{id}": redirect.Characters, "https://a.example/%": redirect.Characters,
	"https://a.example/%4": redirect.Characters, "https://a.example/%zz": redirect.Characters, "https://a.example/?%u0041": redirect.Characters, "https://a.example/%+1": redirect.Characters,

	"a.example/callback": redirect.NoScheme, "/callback": redirect.NoScheme, "//a.example/callback": redirect.NoScheme, "callback": redirect.NoScheme,
	"?https://a.example/": redirect.NoScheme, "://a.example/": redirect.NoScheme, "1https://a.example/": redirect.NoScheme, "@": redirect.NoScheme,

	"javascript:alert(1)": redirect.Scheme, "javascript://a.example/%0Aalert(1)": redirect.Scheme, "data:text/html,hello": redirect.Scheme, "file:///etc/passwd": redirect.Scheme,
	"vbscript:x": redirect.Scheme, "blob:https://a.example/1": redirect.Scheme, "about:blank": redirect.Scheme, "ftp://a.example/": redirect.Scheme, "ws://a.example/": redirect.Scheme,
	"view-source:https://a.example/": redirect.Scheme, "intent:/a": redirect.Scheme, "myapp:/callback": redirect.Scheme, "myapp://callback": redirect.Scheme, "localhost:3000/callback": redirect.Scheme,
	"urn:ietf:wg:oauth:2.0:oob": redirect.Scheme, "tel:+41": redirect.Scheme, "http+unix://a/": redirect.Scheme,

	"http://a.example/callback": redirect.Insecure, "http://localhost.evil.test/": redirect.Insecure, "http://evil-localhost/": redirect.Insecure, "http://127.0.0.2/": redirect.Insecure,
	"http://127.0.0.1.evil.test/": redirect.Insecure, "http://192.168.0.1/": redirect.Insecure, "http://0.0.0.0/": redirect.Insecure, "http://[::]/": redirect.Insecure,

	"https://a@b@c.example/": redirect.UserInfo, "https://a.example@evil.test/": redirect.UserInfo, "https://a.example:443@evil.test/": redirect.UserInfo,
	"https://@a.example/": redirect.UserInfo, "http://localhost@evil.test/": redirect.UserInfo, "https://a.example;@evil.test/": redirect.UserInfo,

	"HTTPS://a.example/": redirect.LetterCase, "https://A.example/": redirect.LetterCase, "https://[2001:DB8::1]/": redirect.LetterCase, "JavaScript:alert(1)": redirect.LetterCase,
	"http://LOCALHOST/": redirect.LetterCase, "Com.example.app:/callback": redirect.LetterCase,

	"https:": redirect.Host, "https://": redirect.Host, "https:///callback": redirect.Host, "https:a.example": redirect.Host, "https:/a.example": redirect.Host, "https://?a.example": redirect.Host,
	"https://a.example./": redirect.Host, "https://.a.example/": redirect.Host, "https://a..example/": redirect.Host, "https://-a.example/": redirect.Host, "https://a-.example/": redirect.Host,
	"https://a_b.example/": redirect.Host, "https://a%2eexample/": redirect.Host, "https://a.example%2f.evil.test/": redirect.Host, "https://a.example%00.evil.test/": redirect.Host,
	"https://2130706433/": redirect.Host, "https://0x7f000001/": redirect.Host, "https://0x7f.1/": redirect.Host, "https://127.1/": redirect.Host, "https://0177.0.0.1/": redirect.Host,
	"https://1.2.3.256/": redirect.Host, "https://a.1/": redirect.Host, "http://127.0.0.01/": redirect.Host, "https://[::1/": redirect.Host, "https://::1/": redirect.Host, "https://[::ffff:127.0.0.1]/": redirect.Host,
	"https://[0:0:0:0:0:0:0:1]/": redirect.Host, "https://[fe80::1%25eth0]/": redirect.Host, "https://[127.0.0.1]/": redirect.Host, "https://[a.example]/": redirect.Host, "https://[]/": redirect.Host,
	"https://" + strings.Repeat("a", 64) + ".example/": redirect.Host, "https://" + strings.Repeat("a.", 124) + "example/": redirect.Host, "https://a.example,evil.test/": redirect.Host,
	"http://a.localhost./": redirect.Host, "https://[::1]evil.test/": redirect.Host, "https://a.example:1:2/": redirect.Host,

	"https://a.example:/": redirect.Port, "https://a.example:0/": redirect.Port, "https://a.example:443/": redirect.Port, "http://localhost:80/": redirect.Port, "https://a.example:65536/": redirect.Port,
	"https://a.example:08443/": redirect.Port, "https://a.example:+1/": redirect.Port, "https://a.example:x/": redirect.Port, "https://a.example:-1/": redirect.Port, "http://[::1]:/": redirect.Port,

	"https://a.example/.": redirect.Path, "https://a.example/..": redirect.Path, "https://a.example/a/../b": redirect.Path, "https://a.example/a/./b": redirect.Path, "https://a.example/..;/b": redirect.Path,
	"https://a.example/a/..;x=1/b": redirect.Path, "https://a.example/.;/b": redirect.Path, "https://a.example/%2e%2e/b": redirect.Path, "https://a.example/.%2E/b": redirect.Path,
	"https://a.example/a%2fb": redirect.Path, "https://a.example/a%2Fb": redirect.Path, "https://a.example/a%5cb": redirect.Path, "https://a.example/%252e": redirect.Path,
	"https://a.example/%00": redirect.Path, "https://a.example/%0d%0ax": redirect.Path, "https://a.example/%7f": redirect.Path,

	"https://a.example/#": redirect.Fragment, "https://a.example/#a": redirect.Fragment, "https://a.example#@evil.test/": redirect.Fragment, "https://a.example/?#": redirect.Fragment,
}

func TestOPR1DangerousAddressesAreNotRegistered(t *testing.T) {
	for address, want := range dangerous {
		for name, err := range map[string]error{"web": redirect.Check(address, false), "native": redirect.Check(address, true), "other": redirect.CheckWeb(address)} {
			if err != want { //nolint:errorlint // Nothing is wrapped.
				t.Errorf("%s, %q: %v, want %v", name, address, err, want)
			}
		}
		if err := redirect.CheckTile(address); want != redirect.Fragment && err != want { //nolint:errorlint // Nothing is wrapped.
			t.Errorf("tile, %q: %v, want %v", address, err, want)
		}
		if _, ok := redirect.Origin(address); ok && want != redirect.Fragment {
			t.Errorf("%q has an origin", address)
		}
	}
	// An own scheme must be a reversed domain name.
	for _, address := range []string{
		"com.example.app:callback", "com.example.app://", "com.example.app:///callback", "com.example.app://me@host/callback", "com.example.app://host:80/callback", "com.example.app://a%2fb/",
		"com.example.app:", "com..app:/a", "com.:/a", "c.example:/a", "x-apple.systempreferences:/a",
		"com.example+x:/a", "a.example:8080/callback", "com3.example:/a",
	} {
		if err := redirect.Check(address, true); err != redirect.PrivateScheme { //nolint:errorlint // Nothing is wrapped.
			t.Errorf("%q: %v", address, err)
		}
	}
	for address, want := range map[string]redirect.Reason{
		"com.example.app:/../a": redirect.Path, "com.example.app:/%2e": redirect.Path, "com.example.app://host/../a": redirect.Path, "com.example.app://host#a": redirect.Fragment, "com.Example.app://host": redirect.LetterCase, "com.example.app:/a#": redirect.Fragment, "com.example.app:/*": redirect.Wildcard,
	} {
		if err := redirect.Check(address, true); err != want { //nolint:errorlint // Nothing is wrapped.
			t.Errorf("%q: %v, want %v", address, err, want)
		}
	}
}

func TestATileMayLeadIntoAPage(t *testing.T) {
	for _, address := range []string{"https://a.example/#", "https://a.example/#/inbox?x=1", "https://a.example#a"} {
		if err := redirect.CheckTile(address); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestOPR1OnlyWhatIsRegisteredMatches(t *testing.T) {
	registered := []string{"https://a.example/callback", "https://a.example/x?y=1", "http://localhost:3000/callback"}
	for _, sent := range registered {
		if !redirect.Match(registered, sent, false) || !redirect.Match(registered, sent, true) {
			t.Errorf("%s does not match", sent)
		}
	}
	for _, sent := range []string{
		"", "https://a.example/callbac", "https://a.example/callback2", "https://a.example/callback/", "https://a.example/callback/../evil", "https://a.example/callback/..;/evil",
		"https://a.example/Callback", "https://A.example/callback", "HTTPS://a.example/callback", "http://a.example/callback", "https://a.example:443/callback", "https://a.example:8443/callback",
		"https://a.example/%63allback", "https://a.example/%2e/callback", "https://a.example/callback?", "https://a.example/callback?x=1", "https://a.example/callback#", "https://a.example/callback#x",
		"https://a.example/x", "https://a.example/x?y=1&z=2", "https://a.example/x?y=2", "https://evil@a.example/callback", "https://a.example@evil.test/callback", "https://a@b@a.example/callback",
		"https://a.example\\@evil.test/callback", "https://a.example.evil.test/callback", "https://evila.example/callback", "https://a.example./callback", "https://aXexample/callback", "https://.*",
		" https://a.example/callback", "https://a.example/callback\n", "https://а.example/callback", "http://localhost:3001/callback", "http://localhost/callback", "http://127.0.0.1:3000/callback",
	} {
		if redirect.Match(registered, sent, false) || redirect.Match(registered, sent, true) {
			t.Errorf("%q matches", sent)
		}
	}
	if redirect.Match(nil, "", false) || redirect.Match(nil, "https://a.example/", true) {
		t.Error("something matches nothing")
	}
}

// RFC 8252 §7.3.
func TestANativeApplicationListensOnAnyLoopbackPort(t *testing.T) {
	registered := []string{"http://127.0.0.1/callback?x=1", "http://[::1]:7000/callback", "http://localhost:7000/callback", "https://127.0.0.1:7000/callback"}
	for _, sent := range []string{"http://127.0.0.1:51004/callback?x=1", "http://127.0.0.1/callback?x=1", "http://[::1]:51004/callback", "http://[::1]/callback", "http://[::1]:65535/callback"} {
		if !redirect.Match(registered, sent, true) {
			t.Errorf("%s does not match", sent)
		}
	}
	for _, sent := range []string{"http://127.0.0.1:51004/callback?x=1", "http://[::1]:51004/callback"} {
		if redirect.Match(registered, sent, false) {
			t.Errorf("%s matches for an application that is not native", sent)
		}
	}
	for _, sent := range []string{
		"http://localhost:51004/callback", "https://127.0.0.1:51004/callback", "http://127.0.0.1:51004/callback", "http://127.0.0.1:51004/callback?x=2", "http://127.0.0.1:51004/callback?x=1#",
		"http://127.0.0.1:51004/other?x=1", "http://127.0.0.1:0/callback?x=1", "http://127.0.0.1:65536/callback?x=1", "http://127.0.0.1:/callback?x=1", "http://127.0.0.1:1@evil.test/callback?x=1",
		"http://127.0.0.1:1:2/callback?x=1", "http://127.0.0.1:x/callback?x=1", "http://127.0.0.1.evil.test:51004/callback?x=1", "http://evil@127.0.0.1:51004/callback?x=1",
		"http://127.0.0.2:51004/callback?x=1", "http://[::1]:51004/callback?x=1", "http://[0:0:0:0:0:0:0:1]:51004/callback", "http:127.0.0.1:51004/callback?x=1",
	} {
		if redirect.Match(registered, sent, true) {
			t.Errorf("%s matches", sent)
		}
	}
}

func TestDifferenceNamesWhatADeveloperHasToMend(t *testing.T) {
	registered := []string{"http://localhost:3000/callback", "https://app.your-company.com/sign-in/callback", "https://app.your-company.com/other?x=1"}
	for sent, want := range map[string]redirect.Mismatch{
		"https://app.your-company.com/sign-in/callback":        {Nearest: 1},
		"http://app.your-company.com/sign-in/callback":         {Nearest: 1, Part: redirect.PartScheme, At: 5},
		"https://app.your-company.org/sign-in/callback":        {Nearest: 1, Part: redirect.PartHost, At: 26},
		"https://me@app.your-company.com/sign-in/callback":     {Nearest: 1, Part: redirect.PartHost, At: 9},
		"https://app.your-company.com:8443/sign-in/callback":   {Nearest: 1, Part: redirect.PartPort, At: 29},
		"http://localhost:3001/callback":                       {Nearest: 0, Part: redirect.PartPort, At: 21},
		"https://app.your-company.com/sign-in/calback":         {Nearest: 1, Part: redirect.PartPath, At: 41},
		"https://app.your-company.com/sign-in/callback/":       {Nearest: 1, Part: redirect.PartTrailingSlash, At: 46},
		"https://app.your-company.com/sign-in/Callback":        {Nearest: 1, Part: redirect.PartLetterCase, At: 38},
		"https://App.your-company.com/sign-in/callback":        {Nearest: 1, Part: redirect.PartLetterCase, At: 9},
		"HTTPS://app.your-company.com/sign-in/callback":        {Nearest: 1, Part: redirect.PartLetterCase, At: 1},
		"https://app.your-company.com/sign-in/callback?":       {Nearest: 1, Part: redirect.PartQuery, At: 46},
		"https://app.your-company.com/sign-in/callback#":       {Nearest: 1, Part: redirect.PartFragment, At: 46},
		"https://app.your-company.com/other":                   {Nearest: 2, Part: redirect.PartQuery, At: 35},
		"https://app.your-company.com/other?x=2":               {Nearest: 2, Part: redirect.PartQuery, At: 38},
		"app.your-company.com/sign-in/callback":                {Nearest: 1, Part: redirect.PartScheme, At: 1},
		"https:app.your-company.com/sign-in/callback":          {Nearest: 1, Part: redirect.PartHost, At: 7},
		"https://app.your-company.com/sign-in/callback\u202eэ": {Nearest: 1, Part: redirect.PartPath, At: 46},
		"": {Nearest: 1, Part: redirect.PartScheme, At: 1},
	} {
		if got := redirect.Difference(registered, sent); got != want {
			t.Errorf("%q: %+v, want %+v", sent, got, want)
		}
	}
	if got := redirect.Difference(nil, "https://a.example/"); got != (redirect.Mismatch{}) {
		t.Errorf("nothing is registered: %+v", got)
	}
}

func TestOrigins(t *testing.T) {
	for address, want := range map[string]string{
		"https://a.example/callback?x#y": "https://a.example", "https://a.example": "https://a.example", "http://localhost:3000/": "http://localhost:3000", "https://[2001:db8::1]:8443/a": "https://[2001:db8::1]:8443",
		"com.example.app:/callback": "", "javascript:alert(1)": "", "null": "", "https://a@b.example/": "",
	} {
		if got, ok := redirect.Origin(address); got != want || ok != (want != "") {
			t.Errorf("%s: %q %v", address, got, ok)
		}
	}
}

// Another parser reads every accepted address in the same way, and writes it the same.
func FuzzCheck(f *testing.F) {
	for address := range dangerous {
		f.Add(address)
	}
	f.Add("https://a.example:8443/caf%C3%A9;x/?y=[]")
	f.Add("com.example.app:/callback")
	f.Add("com.example.app://callback/")
	root, err := url.Parse("https://root.example/a/b")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, address string) {
		if redirect.Check(address, true) != nil {
			return
		}
		u, err := url.Parse(address)
		if err != nil {
			t.Fatalf("%q is no address: %v", address, err)
		}
		if u.User != nil {
			t.Fatalf("%q is read as %q", address, root.ResolveReference(u))
		}
		expect.Equal(t, "Opaque", u.Opaque, "")
		if strings.Contains(address, "#") || root.ResolveReference(u).String() != address && u.Path != "" {
			t.Fatalf("%q is read as %q", address, root.ResolveReference(u))
		}
		origin, web := redirect.Origin(address)
		// An address with an own scheme may have a word in place of the host, and has no origin.
		private := strings.Contains(u.Scheme, ".")
		if web {
			expect.Equal(t, "origin", origin, u.Scheme+"://"+strings.ToLower(u.Host))
			expect.Equal(t, "host", u.Host, strings.ToLower(u.Host))
		} else if u.Host != "" && !private {
			t.Fatalf("%q has no origin", address)
		}
		if port, err := strconv.Atoi(cmp.Or(u.Port(), "1")); err != nil || port < 1 || port > 65535 {
			t.Fatalf("%q has port %s", address, u.Port())
		}
		mine := strings.HasSuffix("."+u.Hostname(), ".localhost") || slices.Contains([]string{"127.0.0.1", "::1"}, u.Hostname())
		if u.Scheme == "http" && !mine {
			t.Fatalf("%q is open to others", address)
		}
	})
}

func FuzzMatch(f *testing.F) {
	f.Add("http://127.0.0.1/callback", "http://127.0.0.1:51004/callback")
	f.Add("http://[::1]:1/callback", "http://[::1]/callback?")
	f.Add("https://a.example/callback", "https://a.example/Callback/")
	f.Add("com.example.app:/a", "com.example.app:///a")
	f.Fuzz(func(t *testing.T, registered, sent string) {
		list := []string{registered}
		m := redirect.Difference(list, sent)
		expect.Equal(t, "no difference", m.Part == "", registered == sent)
		if m.Part != "" && (m.At < 1 || m.At > len(sent)+1) {
			t.Fatalf("%q and %q: %+v", registered, sent, m)
		}
		if redirect.Match(list, sent, false) != (registered == sent) {
			t.Fatalf("%q and %q", registered, sent)
		}
		if redirect.Check(registered, true) != nil || !redirect.Match(list, sent, true) || registered == sent {
			return
		}
		a, err := url.Parse(registered)
		if err != nil {
			t.Fatal(err)
		}
		b, err := url.Parse(sent)
		if err != nil {
			t.Fatal(err)
		}
		expect.Equal(t, "Scheme", b.Scheme, "http")
		expect.Equal(t, "Hostname", a.Hostname(), b.Hostname())
		expect.Equal(t, "RequestURI", a.RequestURI(), b.RequestURI())
		expect.Equal(t, "Fragment", b.Fragment, "")
		if b.Hostname() != "127.0.0.1" && b.Hostname() != "::1" || b.User != nil {
			t.Fatalf("%q matches %q", sent, registered)
		}
	})
}
