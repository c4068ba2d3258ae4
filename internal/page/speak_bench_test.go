package page_test

import (
	"io"
	"runtime"
	"strings"
	"testing"

	"parvis/internal/api"
	"parvis/internal/console"
	"parvis/internal/federation"
	"parvis/internal/i18n"
	"parvis/internal/op/ask"
	"parvis/internal/page"
	"parvis/internal/web"
)

// BenchmarkTemplatesOfALanguage parses, speaks and escapes all templates in one language, and says
// how much memory they keep.
func BenchmarkTemplatesOfALanguage(b *testing.B) {
	catalogue, err := i18n.Load()
	if err != nil {
		b.Fatal(err)
	}
	all := page.Templates(api.Templates, ask.Templates, federation.Templates, web.Templates, console.Templates)
	for name, templates := range map[string]*page.Spoken{"spoken": all, "unspoken": all.Unspoken()} {
		b.Run(name, func(b *testing.B) {
			var before, after runtime.MemStats
			for b.Loop() {
				runtime.GC()
				runtime.ReadMemStats(&before)
				sets, err := templates.Of(catalogue, "en")
				if err != nil {
					b.Fatal(err)
				}
				for _, set := range sets {
					for _, one := range set.Templates() {
						if one.Tree != nil && !strings.HasSuffix(one.Name(), ".html") {
							_ = set.ExecuteTemplate(io.Discard, one.Name(), nil) // which escapes it, and fails without data
						}
					}
				}
				runtime.GC()
				runtime.ReadMemStats(&after)
				runtime.KeepAlive(sets)
			}
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1e6, "MB")
		})
	}
}
