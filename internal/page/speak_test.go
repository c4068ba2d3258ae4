package page

import (
	"bytes"
	"html/template"
	"strings"
	"testing"
	"text/template/parse"

	"parvis/internal/expect"
	"parvis/internal/i18n"
)

// spoken parses a template with the name "page", and speaks it in a language.
func spoken(t *testing.T, text string, tag i18n.Tag) (set *template.Template, p speaker) {
	t.Helper()
	catalogue, err := i18n.Load()
	if err != nil {
		t.Fatal(err)
	}
	files, err := loadAssets()
	if err != nil {
		t.Fatal(err)
	}
	set = template.Must(template.New("").Option("missingkey=error").Parse(text))
	v := &Visitor{site: &Site{Settings: Settings{Catalogue: catalogue}, assets: files}, lang: catalogue.In(tag), Form: &Form{}}
	return set, speaker{set: set, frame: Frame{v: v}}
}

// Whatever stands around a sentence, a page is the same as without speaking; and what may become
// text does.
func TestSpokenTemplatesWriteTheSameBytes(t *testing.T) {
	tests := map[string]struct {
		template string
		becomes  int // actions that are left
	}{
		"between tags":                {`<p>{{$.T "page.cross_site"}}</p>`, 0},
		"two":                         {`<p>{{$.T "page.cross_site"}} {{$.T "page.help"}}</p>`, 0},
		"in a title":                  {`<title>{{$.T "page.cross_site"}}</title>`, 0},
		"in an attribute of words":    {`<p title="{{$.T "page.cross_site"}}" data-text="a {{$.T "page.help"}}">`, 0},
		"of another attribute":        {`<p class="{{$.T "page.cross_site"}}">`, 1},
		"in an address":               {`<a href="/{{$.T "page.cross_site"}}">x</a>`, 1},
		"as an address":               {`<a href="{{$.T "page.cross_site"}}">x</a>`, 1},
		"in an address of data":       {`<p data-url="{{$.T "page.cross_site"}}">x</p>`, 1},
		"without quotation marks":     {`<p title={{$.T "page.help"}}>x</p>`, 1},
		"in a script":                 {`<script>var a = {{$.T "page.cross_site"}}</script>`, 1},
		"in a style":                  {`<style>p { color: {{$.T "page.help"}} }</style>`, 1},
		"in an event":                 {`<p onclick="f({{$.T "page.cross_site"}})">x</p>`, 1},
		"after a script":              {`<script src="a.js"></script><p>{{$.T "page.help"}}</p>`, 0},
		"behind a sign in a quote":    {`<a href="/>{{$.T "page.cross_site"}}">x</a>`, 1},
		"between single quotes":       {`<a title='"' href='/{{$.T "page.help"}}'>x</a>`, 1},
		"as the name of an element":   {`<p {{$.T "page.help"}}="x">x</p>`, 1},
		"in a branch":                 {`<p>{{if true}}{{$.T "page.cross_site"}}{{else}}<b>{{$.T "page.help"}}{{end}}</p>`, 0},
		"after a branch":              {`<p{{if true}} class="a"{{end}}>{{$.T "page.cross_site"}}</p>`, 0},
		"at the beginning":            {`{{$.T "page.cross_site"}}`, 1},
		"language and direction":      {`<html lang="{{$.Lang}}" dir="{{$.Dir}}">`, 0},
		"a file":                      {`<link href="{{$.Asset "parvis.css"}}"><script src="{{$.Asset "parvis.js"}}"></script>`, 0},
		"with a value":                {`<p>{{$.T "page.region_hint" "Region" "<b>"}}</p>`, 1},
		"of a key that is chosen":     {`<p>{{$.T (print "page." "help")}}</p>`, 1},
		"as an argument":              {`<p>{{print ($.T "page.cross_site") "<b>"}}</p>`, 1},
		"as a part of an argument":    {`<p>{{($.Why "a" ($.T "page.help") ($.T "page.cross_site")).Text}}</p>`, 1},
		"a template that is a text":   {`{{define "a"}}<b>x</b>{{end}}<p>{{template "a"}} {{template "a" $}}</p>`, 0},
		"a key that does not exist":   {`<p>{{$.T "page.<none>"}}</p>`, 0},
		"the list of languages":       {`{{define "languages"}}{{range $.Languages}}<option value="{{.Tag}}"{{if eq .Tag $.Lang}} selected{{end}}>{{.Name}}</option>{{end}}{{end}}<p>{{template "languages" $}}</p>`, 0},
		"a comparison":                {`<p>{{if eq $.Lang "fr"}}a{{else}}b{{end}}</p>`, 0},
		"a sentence that is compared": {`<p>{{if eq ($.T "page.help") "Help"}}a{{else}}b{{end}}</p>`, 0},
	}
	for name, tt := range tests {
		for _, tag := range []i18n.Tag{"en", "fr"} {
			t.Run(name+" in "+string(tag), func(t *testing.T) {
				plain, p := spoken(t, tt.template, tag)
				var want, got bytes.Buffer
				wantErr := plain.Execute(&want, p.frame)
				set, p := spoken(t, tt.template, tag)
				p.speak(t)
				expect.Equal(t, "actions that are left", actions(set.Tree.Root), tt.becomes)
				gotErr := set.Execute(&got, p.frame)
				expect.Equal(t, "what is written", got.String(), want.String())
				expect.Equal(t, "an error", gotErr != nil, wantErr != nil)
			})
		}
	}
}

// speak is what Spoken.parse does with a set.
func (p speaker) speak(t *testing.T) {
	t.Helper()
	for _, one := range p.set.Templates() {
		p.list(one.Tree.Root, "")
	}
	if err := p.listLanguages(); err != nil {
		t.Fatal(err)
	}
	for _, one := range p.set.Templates() {
		p.inline(one.Tree.Root)
	}
}

func actions(l *parse.ListNode) (n int) {
	if l == nil {
		return 0
	}
	for _, node := range l.Nodes {
		switch node := node.(type) {
		case *parse.ActionNode, *parse.TemplateNode:
			n++
		case *parse.IfNode:
			n += actions(node.List) + actions(node.ElseList)
		}
	}
	return n
}

// Between tags, in a title and in each attribute of words, html/template writes a sentence in the
// same way. If that changes, sentences can no longer become text there.
func TestSentencesAreEscapedAlikeWhereTheyBecomeText(t *testing.T) {
	sentence := "a&b <i> \"c\" 'd' + = ` é \u00a0 \x00 &amp; </title> --> //"
	var want bytes.Buffer
	if err := asText.Execute(&want, sentence); err != nil {
		t.Fatal(err)
	}
	places := []string{`<p>%</p>`, `<title>%</title>`, `<textarea>%</textarea>`, `<select><option>%</option></select>`}
	for _, name := range words {
		places = append(places, `<p `+name+`="%">`)
	}
	for _, place := range places {
		var got bytes.Buffer
		if err := template.Must(template.New("").Parse(strings.Replace(place, "%", "{{.}}", 1))).Execute(&got, sentence); err != nil {
			t.Fatal(err)
		}
		expect.Equal(t, place, got.String(), strings.Replace(place, "%", want.String(), 1))
		// And a template that has this text writes it as it is.
		got.Reset()
		text := strings.Replace(place, "%", want.String(), 1)
		if err := template.Must(template.New("").Parse(text)).Execute(&got, nil); err != nil {
			t.Fatal(err)
		}
		expect.Equal(t, place+" as text", got.String(), text)
	}
}

// Each of the kit's templates is parsed and escaped without an error, and a second language does
// not disturb the first.
func TestEachLanguageHasItsOwnTemplates(t *testing.T) {
	catalogue, err := i18n.Load()
	if err != nil {
		t.Fatal(err)
	}
	all := Templates()
	for _, tag := range []i18n.Tag{"en", "fr", "en"} {
		set, err := all.with("problem", catalogue, tag)
		if err != nil {
			t.Fatal(err)
		}
		text := set.Lookup("foot").Tree.Root.String()
		for _, other := range []i18n.Tag{"en", "fr"} {
			expect.Equal(t, string(tag)+" speaks "+string(other), strings.Contains(text, ">"+catalogue.In(other).Text("page.language_change")+"<"), other == tag)
		}
	}
	expect.Equal(t, "sets", len(all.sets), 2)
	expect.Equal(t, "sets of the unspoken", len(all.Unspoken().sets), 0)
}
