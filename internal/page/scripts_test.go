package page

import (
	"io/fs"
	"regexp"
	"strings"
	"testing"

	"parvis/internal/expect"
)

// R-WEB-07, R-PWD-10: what no script of ours may do. The browser's policy would stop some of it, but only
// where somebody meets it.
var forbiddenInScripts = map[string]*regexp.Regexp{
	"makes code of text":                     regexp.MustCompile(`\beval\b|new Function|set(Timeout|Interval)\(\s*['"` + "`" + `]|javascript:|\bimport\s*\(`),
	"makes markup of text in the page":       regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|srcdoc|setHTMLUnsafe`),
	"loads something from elsewhere":         regexp.MustCompile(`['"` + "`" + `](https?:)?//|createElement\(['"](script|img|iframe|link)|new Image|importScripts|sendBeacon|WebSocket|EventSource`),
	"hears or speaks to other origins":       regexp.MustCompile(`\b(window|parent|opener|top|self)\.postMessage|(^|[^.\w])(window\.)?addEventListener\(['"]message|onmessage`),
	"keeps something in the browser":         regexp.MustCompile(`localStorage|sessionStorage|indexedDB|window\.name`),
	"hinders pasting, dropping or a manager": regexp.MustCompile(`addEventListener\(['"](paste|copy|cut|drop|dragover|dragenter|beforeinput|contextmenu|selectstart)['"]|\bon(paste|drop|beforeinput)\b`),
	"writes into objects by names of others": regexp.MustCompile(`__proto__|\.prototype\b|Object\.assign\(`),
}

func TestScriptsKeepToTheirPage(t *testing.T) {
	t.Parallel()
	names, err := fs.Glob(embeddedAssets, "assets/*.js")
	if err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "how many scripts there are to look at", len(names) >= 3, true)
	for _, name := range names {
		text, err := embeddedAssets.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for what, pattern := range forbiddenInScripts {
			number := 0
			for line := range strings.Lines(string(text)) {
				if number++; pattern.MatchString(line) {
					t.Errorf("%s:%d %s: %s", name, number, what, strings.TrimSpace(line))
				}
			}
		}
	}
}
