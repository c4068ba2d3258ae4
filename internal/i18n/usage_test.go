package i18n

import (
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// dynamic lists the beginnings of keys that the code puts together. If such a beginning is
// used, every key of the catalogue that begins with it counts as used.
var dynamic = []string{
	"api.area.",
	"api.operation.",
	"audit.action.",
	"audit.field.",
	"audit.object.",
	"audit.result.",
	"console.role.",
	"console.webhook.area.",
	"console.webhook.kind.",
	"console.webhook.kind_what.",
	"console.webhook.form.",
	"console.webhook.scheme.",
	"console.webhook.why.",
	"console.webhook.span.",
	"console.webhook.off_why.",
	"console.people.state.",
	"console.people.steps.",
	"console.people.way.",
	"console.overview.way.",
	"console.overview.invitation.",
	"language.month.",
	"language.weekday.",
	"language.place.",
	"mail.federation.",
	"mail.source.",
	"provisioning.did.",
	"provisioning.did.waits.",
	"mail.webhook.",
	"webhook.unreachable.",
	"federation.check.",
	"federation.fix.",
	"federation.provider.",
	"federation.guide.",
	"federation.label.",
	"federation.protocol.",
	"federation.method.",
	"federation.signed.",
	"federation.outbound.",
	"access.scope.",
	"access.area.",
	"console.provisioning.provider.",
	"console.provisioning.confirm.",
	"console.provisioning.waits.",
	"console.provisioning.agree.",
	"console.provisioning.follows.",
	"console.provisioning.guide.",
	"console.application.kind.",
	"console.application.kind_what.",
	"console.application.audience.",
	"console.application.audience_what.",
	"console.application.standing.",
	"console.setting.",
	"console.setting.claims.",
	"op.setting.",
	"op.mismatch.redirect_uri.",
	"op.address.",
	"op.scope.",
	"op.field.",
	"op.channel.",
	"op.unreachable.",
}

var (
	// Keys are quoted in Go, and in templates: .T "web.home.title". The keys of an area
	// that is missing here would not be checked.
	usedKey = regexp.MustCompile("[\"`]((?:access|administration|api|audit|console|credential|directory|fault|federation|intake|language|mail|op|page|provisioning|region|scim|session|signin|web|webhook)\\.[a-z0-9_.]+)[\"`]")
	// "page.css" names a file and "web.go" another.
	fileName = regexp.MustCompile(`\.(css|go|html|ico|js|json|mjs|png|sql|svg|txt|woff2)$`)
)

// Keys are plain literals in Go and in templates, so that this test, and somebody who looks
// for a sentence, can find them by searching.
func TestEveryUsedKeyExistsAndEveryKeyIsUsed(t *testing.T) {
	en := load(t).texts[english].every()
	used := keysIn(t, os.DirFS("../.."))
	for key, file := range used {
		// An audit action such as "session.ended" looks like a key, but is only the
		// end of one.
		isKey := slices.ContainsFunc(append(dynamic, ""), func(prefix string) bool {
			_, ok := en[prefix+key]
			return ok || key == prefix
		})
		if !isKey {
			t.Errorf("%s uses %s, which no catalogue has", file, key)
		}
	}
	for key := range en {
		if !usedKey.MatchString(`"` + key + `"`) {
			t.Errorf("the area of %s is not among those that are searched for", key)
		}
		isDynamic := slices.ContainsFunc(dynamic, func(prefix string) bool {
			return strings.HasPrefix(key, prefix) && used[prefix] != ""
		})
		if used[key] == "" && !isDynamic {
			t.Errorf("nothing uses %s", key)
		}
	}
}

// keysIn maps every literal that looks like a key to a file that holds it.
// Tests are left out: a key that only a test uses is not used.
func keysIn(t *testing.T, repository fs.FS) map[string]string {
	used := map[string]string{}
	err := fs.WalkDir(repository, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := e.Name()
		if e.IsDir() {
			if name != "." && (base[0] == '.' || base == "node_modules" || base == "testdata" || base == "tools" || base == "docs") {
				return fs.SkipDir
			}
			return nil
		}
		if !slices.Contains([]string{".go", ".html", ".txt"}, path.Ext(base)) || strings.HasSuffix(base, "_test.go") {
			return nil
		}
		text, err := fs.ReadFile(repository, name)
		if err != nil {
			return err
		}
		for _, m := range usedKey.FindAllStringSubmatch(string(text), -1) {
			if !fileName.MatchString(m[1]) {
				used[m[1]] = name
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return used
}
