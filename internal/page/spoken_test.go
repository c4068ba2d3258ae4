package page_test

import (
	"html/template"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/template/parse"

	"parvis/internal/api"
	"parvis/internal/console"
	"parvis/internal/expect"
	"parvis/internal/federation"
	"parvis/internal/i18n"
	"parvis/internal/op/ask"
	"parvis/internal/page"
	"parvis/internal/web"
)

// Every template of the program is, once html/template has escaped it, the same whether it was
// spoken before or not, in every language: what became text is what the action would have written,
// escaped as html/template decided for that very place. So no data need be tried.
func TestSpokenTemplatesAreThoseThatHTMLTemplateEscapes(t *testing.T) {
	t.Parallel()
	catalogue, err := i18n.Load()
	if err != nil {
		t.Fatal(err)
	}
	all := page.Templates(api.Templates, ask.Templates, federation.Templates, web.Templates, console.Templates)
	for _, language := range catalogue.Languages() {
		spoken, err := all.Of(catalogue, language.Tag)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := all.Unspoken().Of(catalogue, language.Tag)
		if err != nil {
			t.Fatal(err)
		}
		compared, before, after := 0, 0, 0
		for i := range spoken {
			derived := map[string]bool{}
			for _, name := range escaped(t, plain[i]) {
				derivedIn(plain[i].Lookup(name).Tree.Root, derived)
			}
			for _, name := range escaped(t, plain[i]) {
				w := writer{t: t, catalogue: catalogue, tag: language.Tag, languages: spoken[i].Lookup("languages").Tree.Root.String()}
				want := w.written(plain[i], plain[i].Lookup(name).Tree.Root)
				left, all := actions(spoken[i].Lookup(name).Tree.Root), actions(plain[i].Lookup(name).Tree.Root)
				after, before = after+left, before+all
				if derived[name] { // html/template keeps what it makes of it there for itself
					expect.Equal(t, "actions of "+name, left, all)
				}
				if name == "languages" {
					continue
				}
				_ = spoken[i].ExecuteTemplate(io.Discard, name, nil)
				got := w.written(spoken[i], spoken[i].Lookup(name).Tree.Root)
				if got != want {
					t.Errorf("%s in %s is\n%s\nwant\n%s", name, language.Tag, got, want)
				}
				compared++
			}
		}
		t.Logf("%s: %d templates, %d actions, %d when spoken", language.Tag, compared, before, after)
		expect.Equal(t, "enough is compared", compared > 200, true)
		expect.Equal(t, "much of it is spoken", 3*after < 2*before, true)
	}
}

// inContext stands in the name of a template that html/template makes of another, to be called
// elsewhere than between tags.
const inContext = "$htmltemplate_"

// derivedIn notes which templates are called where a sentence may have to be escaped otherwise than
// between tags. In a title it is not.
func derivedIn(l *parse.ListNode, names map[string]bool) {
	each(l, func(n parse.Node) {
		if called, ok := n.(*parse.TemplateNode); ok {
			if name, context, derived := strings.Cut(called.Name, inContext); derived && context != "stateRCDATA_elementTitle" {
				names[name] = true
			}
		}
	})
}

// actions counts the actions of a template.
func actions(l *parse.ListNode) (n int) {
	each(l, func(node parse.Node) {
		if _, ok := node.(*parse.ActionNode); ok {
			n++
		}
	})
	return n
}

// each visits the nodes of a list and of its branches.
func each(l *parse.ListNode, visit func(parse.Node)) {
	if l == nil {
		return
	}
	for _, n := range l.Nodes {
		visit(n)
		switch n := n.(type) {
		case *parse.IfNode:
			each(n.List, visit)
			each(n.ElseList, visit)
		case *parse.WithNode:
			each(n.List, visit)
			each(n.ElseList, visit)
		case *parse.RangeNode:
			each(n.List, visit)
			each(n.ElseList, visit)
		}
	}
}

// escaped has html/template escape all templates of a set, and returns their names.
func escaped(t *testing.T, set *template.Template) (names []string) {
	t.Helper()
	for _, one := range set.Templates() {
		if one.Tree == nil || strings.HasSuffix(one.Name(), ".html") {
			continue
		}
		names = append(names, one.Name())
		// Without data it fails, but not before it is escaped.
		if err := set.ExecuteTemplate(io.Discard, one.Name(), nil); err != nil && strings.Contains(err.Error(), "ends in a non-text context") {
			t.Fatal(err)
		}
	}
	slices.Sort(names)
	return names
}

// writer writes trees such that two of them are the same text if they write the same pages.
type writer struct {
	t         *testing.T
	catalogue *i18n.Catalogue
	tag       i18n.Tag
	languages string // what the list of languages writes
}

var (
	literal   = regexp.MustCompile(`\$\.T ("(?:[^"\\]|\\.)*")([ )]\|?)?`)
	bracketed = regexp.MustCompile(`\(("(?:[^"\\]|\\.)*")\)`)
	constant  = regexp.MustCompile(`^\{\{("(?:[^"\\]|\\.)*") \| _html_template_(?:html|attr|rcdata)escaper\}\}$`)
	asset     = regexp.MustCompile(`^\{\{\$\.Asset "([^"]+)" \| _html_template_urlfilter \| _html_template_urlnormalizer \| _html_template_attrescaper\}\}$`)
)

func (w *writer) written(set *template.Template, l *parse.ListNode) string {
	if l == nil {
		return ""
	}
	var b strings.Builder
	branch := func(what string, n *parse.BranchNode) {
		b.WriteString("{{" + what + " " + w.constants(n.Pipe.String()) + "}}" + w.written(set, n.List) + "{{else}}" + w.written(set, n.ElseList) + "{{end}}")
	}
	for _, n := range l.Nodes {
		switch n := n.(type) {
		case *parse.TextNode:
			b.Write(n.Text)
		case *parse.IfNode:
			branch("if", &n.BranchNode)
		case *parse.WithNode:
			branch("with", &n.BranchNode)
		case *parse.RangeNode:
			branch("range", &n.BranchNode)
		case *parse.TemplateNode:
			b.WriteString(w.called(set, n))
		default:
			b.WriteString(w.action(n.String()))
		}
	}
	return b.String()
}

// constants replaces what $.T says of a key by that as a constant.
func (w *writer) constants(pipe string) string {
	pipe = literal.ReplaceAllStringFunc(pipe, func(call string) string {
		m := literal.FindStringSubmatch(call)
		key, err := strconv.Unquote(m[1])
		if err != nil {
			w.t.Fatal(err)
		}
		if m[2] == " " { // values follow
			return call
		}
		return strconv.Quote(w.catalogue.In(w.tag).Text(key)) + m[2]
	})
	return bracketed.ReplaceAllString(pipe, "$1")
}

// action returns what an action writes if that never differs, else the action.
func (w *writer) action(text string) string {
	text = w.constants(text)
	switch {
	case text == "{{$.Lang | _html_template_attrescaper}}":
		return string(w.tag)
	case text == "{{$.Dir | _html_template_attrescaper}}":
		return "ltr"
	}
	if m := asset.FindStringSubmatch(text); m != nil {
		return w.escape(page.AssetPath(w.t, m[1]))
	}
	if m := constant.FindStringSubmatch(text); m != nil {
		sentence, err := strconv.Unquote(m[1])
		if err != nil {
			w.t.Fatal(err)
		}
		return w.escape(sentence)
	}
	return text
}

func (w *writer) escape(text string) string {
	var b strings.Builder
	if err := template.Must(template.New("").Parse("{{.}}")).Execute(&b, text); err != nil {
		w.t.Fatal(err)
	}
	return b.String()
}

// called returns the call of a template, or what it writes if it is text.
func (w *writer) called(set *template.Template, n *parse.TemplateNode) string {
	if name, _, derived := strings.Cut(n.Name, inContext); derived {
		return "{{template " + name + "}}"
	}
	if n.Name == "languages" { // a test of the kit compares what it writes
		return w.languages
	}
	if inner := w.written(set, set.Lookup(n.Name).Tree.Root); !strings.Contains(inner, "{{") {
		return inner
	}
	pipe := ""
	if n.Pipe != nil {
		pipe = w.constants(n.Pipe.String())
	}
	return "{{template " + n.Name + " " + pipe + "}}"
}
