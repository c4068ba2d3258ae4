package page

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"text/template/parse"

	"parvis/internal/i18n"
)

// Spoken are the templates of the kit and of its surfaces. What a template says in the same words
// for every reader becomes plain text of it once for each language (decision 0073). That happens
// before html/template escapes the templates, so it escapes all that is left by its context; and
// nothing is known then of any request, so nothing of a person can stay in a template.
type Spoken struct {
	surfaces []embed.FS // each is parsed with the kit's templates, and refers to no other's
	plain    bool

	mutex sync.Mutex
	of    map[string]int // template → its surface
	sets  map[tongue]*template.Template
}

// tongue is what a set of templates is made for.
type tongue struct {
	catalogue *i18n.Catalogue
	tag       i18n.Tag
	surface   int
}

// Templates returns the templates of the kit and of its surfaces, each from its folder templates.
// They are parsed when the first page of their surface is rendered in a language, once for all
// sites of a process.
func Templates(surfaces ...embed.FS) *Spoken {
	return &Spoken{surfaces: append([]embed.FS{ownTemplates}, surfaces...), sets: map[tongue]*template.Template{}}
}

// Unspoken returns the same templates as they are written, for a test that compares their pages.
func (s *Spoken) Unspoken() *Spoken {
	plain := Templates(s.surfaces[1:]...)
	plain.plain = true
	return plain
}

// with returns a set that has a template, as a language speaks it.
func (s *Spoken) with(name string, c *i18n.Catalogue, tag i18n.Tag) (*template.Template, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.of == nil {
		if err := s.index(); err != nil {
			return nil, err
		}
	}
	t := tongue{c, tag, s.of[name]}
	set, err := s.sets[t], error(nil)
	if set == nil {
		if set, err = s.parse(t); err == nil {
			s.sets[t] = set
		}
	}
	return set, err
}

var definition = regexp.MustCompile(`\{\{-? ?define "([^"]+)"`)

// index notes which surface has which template.
func (s *Spoken) index() error {
	of := map[string]int{}
	for i, files := range s.surfaces {
		entries, err := files.ReadDir("templates")
		if err != nil {
			return err
		}
		for _, e := range entries {
			text, err := files.ReadFile("templates/" + e.Name())
			if err != nil {
				return err
			}
			for _, m := range definition.FindAllSubmatch(text, -1) {
				of[string(m[1])] = i
			}
		}
	}
	s.of = of
	return nil
}

// parse reads the kit's templates and those of a surface, and speaks them.
func (s *Spoken) parse(t tongue) (*template.Template, error) {
	set, err := template.New("").Option("missingkey=error"), error(nil)
	for _, i := range slices.Compact([]int{0, t.surface}) {
		if set, err = set.ParseFS(s.surfaces[i], "templates/*.html"); err != nil {
			return nil, fmt.Errorf("parsing templates: %w", err)
		}
	}
	if s.plain {
		return set, nil
	}
	files, err := loadAssets()
	if err != nil {
		return nil, err
	}
	v := &Visitor{site: &Site{Settings: Settings{Catalogue: t.catalogue}, assets: files}, lang: t.catalogue.In(t.tag)}
	p := speaker{set: set, frame: Frame{v: v}}
	for _, one := range set.Templates() {
		if one.Tree != nil {
			p.list(one.Tree.Root, "")
		}
	}
	if err := p.listLanguages(); err != nil {
		return nil, err
	}
	for range 2 { // a template that calls one that is text may be text itself then
		for _, one := range set.Templates() {
			if one.Tree != nil {
				p.inline(one.Tree.Root)
			}
		}
	}
	return set, nil
}

// A speaker changes parsed templates before they are escaped.
type speaker struct {
	set   *template.Template
	frame Frame // of nobody's page in a language
}

// list speaks a list of nodes. Before is what stands in front of it, from the last < on.
func (p speaker) list(l *parse.ListNode, before string) {
	if l == nil {
		return
	}
	for i, n := range l.Nodes {
		switch n := n.(type) {
		case *parse.TextNode:
			before = tail(before + string(n.Text))
		case *parse.ActionNode:
			if text, ok := p.text(n.Pipe, before); ok {
				l.Nodes[i] = &parse.TextNode{NodeType: parse.NodeText, Pos: n.Pos, Text: text}
			} else if constant := p.sentence(n.Pipe); constant != nil {
				n.Pipe.Cmds[0].Args = []parse.Node{constant} // which html/template escapes
			} else {
				p.arguments(n.Pipe)
			}
		case *parse.IfNode:
			p.branches(&n.BranchNode, before)
		case *parse.WithNode:
			p.branches(&n.BranchNode, before)
		case *parse.RangeNode:
			p.branches(&n.BranchNode, before)
		case *parse.TemplateNode:
			p.arguments(n.Pipe)
		}
	}
}

func (p speaker) branches(b *parse.BranchNode, before string) {
	p.arguments(b.Pipe)
	p.list(b.List, before)
	p.list(b.ElseList, before)
}

// arguments speaks the sentences that are arguments of something else.
func (p speaker) arguments(n parse.Node) {
	switch n := n.(type) {
	case *parse.PipeNode:
		if n == nil {
			return
		}
		for _, c := range n.Cmds {
			for i, arg := range c.Args {
				if constant := p.sentence(arg); constant != nil {
					c.Args[i] = constant
				} else {
					p.arguments(arg)
				}
			}
		}
	case *parse.ChainNode:
		p.arguments(n.Node)
	}
}

// tail returns a text from its last < on.
func tail(text string) string { return text[max(strings.LastIndexByte(text, '<'), 0):] }

// call returns the method of $ that a pipeline calls, and its argument; nothing for other pipelines,
// and if the argument is no literal.
func call(n parse.Node) (method, argument string) {
	pipe, ok := n.(*parse.PipeNode)
	if !ok || pipe == nil || len(pipe.Decl) > 0 || len(pipe.Cmds) != 1 || len(pipe.Cmds[0].Args) > 2 {
		return "", ""
	}
	args := pipe.Cmds[0].Args
	root, ok := args[0].(*parse.VariableNode)
	if !ok || len(root.Ident) != 2 || root.Ident[0] != "$" {
		return "", ""
	}
	if len(args) == 2 {
		literal, ok := args[1].(*parse.StringNode)
		if !ok {
			return "", ""
		}
		argument = literal.Text
	}
	return root.Ident[1], argument
}

// sentence returns the sentence of {{$.T "key"}} as a constant, nil for anything else.
func (p speaker) sentence(n parse.Node) *parse.StringNode {
	method, key := call(n)
	if method != "T" || key == "" {
		return nil
	}
	text := p.frame.T(key)
	return &parse.StringNode{NodeType: parse.NodeString, Pos: n.Position(), Quoted: strconv.Quote(text), Text: text}
}

// text returns what an action always writes, as it is written; false if that may differ, or if
// only html/template knows how it is written there.
func (p speaker) text(n parse.Node, before string) ([]byte, bool) {
	method, argument := call(n)
	var text string
	switch {
	case method == "T" && argument != "" && inWords(before):
		text = p.frame.T(argument)
	case method == "Lang" && argument == "" && before != "":
		text = p.frame.Lang()
	case method == "Dir" && argument == "" && before != "":
		text = p.frame.Dir()
	case method == "Asset" && argument != "" && before != "":
		path, err := p.frame.Asset(argument)
		if err != nil || strings.Trim(path, unescaped) != "" {
			return nil, false
		}
		text = path
	default:
		return nil, false
	}
	var b bytes.Buffer
	if err := asText.Execute(&b, text); err != nil {
		return nil, false
	}
	return b.Bytes(), true
}

// unescaped are bytes that stand for themselves in an address and in every attribute.
const unescaped = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/.-_"

// asText escapes a text as html/template does between tags, and likewise in an attribute of words.
var asText = template.Must(template.New("text").Parse("{{.}}"))

// words are attributes whose values html/template escapes like a text, because they are neither
// addresses nor programs. Their values stand in quotation marks.
var words = []string{"alt", "aria-label", "data-done", "data-final", "data-hide", "data-over", "data-show", "data-text", "data-warning", "placeholder", "title"}

// inWords reports whether what follows stands between tags, or in such an attribute. Where it is in
// doubt it does not.
func inWords(before string) bool {
	tag, open := strings.CutPrefix(before, "<")
	if !open || strings.HasPrefix(tag, "script") || strings.HasPrefix(tag, "style") {
		return false
	}
	quoted := false
	for _, c := range tag {
		switch {
		case c == '"':
			quoted = !quoted
		case c == '\'':
			return false
		case c == '>' && !quoted:
			return true
		}
	}
	at := strings.LastIndex(tag, `="`)
	return quoted && at >= 0 && !strings.Contains(tag[at+2:], `"`) && slices.Contains(words, tag[strings.LastIndexAny(tag[:at], " \n")+1:at])
}

// listLanguages replaces the list of languages by what it always is in this one.
func (p speaker) listLanguages() error {
	list := p.set.Lookup("languages")
	if list == nil {
		return nil
	}
	alone, err := template.New("languages").AddParseTree("languages", list.Tree.Copy())
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := alone.Execute(&b, p.frame); err != nil {
		return fmt.Errorf("listing the languages: %w", err)
	}
	list.Tree.Root.Nodes = []parse.Node{&parse.TextNode{NodeType: parse.NodeText, Text: b.Bytes()}}
	return nil
}

// inline puts templates that are nothing but text where they are called, and joins texts.
func (p speaker) inline(l *parse.ListNode) {
	if l == nil {
		return
	}
	var all []parse.Node
	for _, n := range l.Nodes {
		switch n := n.(type) {
		case *parse.IfNode:
			p.inline(n.List)
			p.inline(n.ElseList)
		case *parse.WithNode:
			p.inline(n.List)
			p.inline(n.ElseList)
		case *parse.RangeNode:
			p.inline(n.List)
			p.inline(n.ElseList)
		}
		text := p.textOf(n)
		last, follows := (*parse.TextNode)(nil), len(all) > 0
		if follows {
			last, follows = all[len(all)-1].(*parse.TextNode)
		}
		switch {
		case text == nil:
			all = append(all, n)
		case follows:
			last.Text = append(slices.Clip(last.Text), text.Text...)
		default:
			all = append(all, &parse.TextNode{NodeType: parse.NodeText, Pos: text.Pos, Text: text.Text})
		}
	}
	l.Nodes = all
}

// textOf returns a node that is text, or calls a template that is; nil for any other.
func (p speaker) textOf(n parse.Node) *parse.TextNode {
	switch n := n.(type) {
	case *parse.TextNode:
		return n
	case *parse.TemplateNode:
		if called := p.set.Lookup(n.Name); called != nil && called.Tree != nil && len(called.Tree.Root.Nodes) == 1 {
			text, _ := called.Tree.Root.Nodes[0].(*parse.TextNode)
			return text
		}
	}
	return nil
}
