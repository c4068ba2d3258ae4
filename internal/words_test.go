package internal

import (
	"encoding/json"
	"fmt"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The English that a reader has to read twice has a few phrases in common, which tend to
// come back. No linter that we know reads phrases in comments: misspell knows single words,
// godox only how a comment begins, forbidigo only code. So this test counts them.

// A phrase is to be replaced by something plainer. The numbers say how often it still
// stands in comments of Go and in English sentences of the catalogues: they only go down.
type phrase struct {
	name      string
	pattern   *regexp.Regexp
	better    string
	comments  int
	sentences int
}

func words(pattern string) *regexp.Regexp { return regexp.MustCompile(`(?i)\b(?:` + pattern + `)`) }

var phrases = []phrase{
	{"tells that", words(`tells? that\b`), "reports whether", 0, 1},
	{"tells whether", words(`tells? (?:whether|who|whose)\b`), "reports whether, returns who", 0, 0},
	{"tells of", words(`(?:tells?|told|telling) (?:nothing |not )?of\b`), "says nothing about, describes", 2, 2},
	{"is none of", words(`(?:is|are|was|were) none of\b`), "is not one of", 0, 0},
	{"whoever", words(`who(?:ever|mever)\b`), "people who, somebody who, the one who", 4, 0},
	{"that it is", words(`that (?:it|they) (?:is|are|was|were)\b`), "the thing itself, by its name", 20, 17},
	{"is that.", words(`(?:is|are) (?:that|those)\.(?:\s|$)`), "the thing itself, by its name", 0, 0},
	{"to who", words(`(?:to|for|by|from) who\b|to be who\b`), "to the person who", 1, 0},
	{"nothing any more", words(`nothing any ?more\b`), "no longer exists, has ended", 0, 0},
	{"is nobody's", words(`(?:is|are|was|becomes?) nobody's\b`), "belongs to nobody", 0, 0},
	{"but for", words(`but for\b`), "except for", 0, 0},
	{"has not.", words(`(?:has|have|had) not[,.:;]`), "does not have", 0, 0},
	{"anew", words(`anew\b`), "again", 0, 0},
}

// apart stands between two texts, so that no phrase begins in one and ends in the next.
const apart = "\n|\n"

// count says how often each phrase stands in a text.
func count(p phrase, text string) int {
	return len(p.pattern.FindAllString(strings.Join(strings.Fields(text), " "), -1))
}

// judge wants no more than is written, and says where fewer are left.
func (p phrase) judge(kind string, found map[string]int, allowed int) (wrong, note string) {
	sum, where := 0, []string(nil)
	for name, n := range found {
		sum += n
		where = append(where, fmt.Sprint(name, " ", n))
	}
	slices.Sort(where)
	switch {
	case sum > allowed:
		return fmt.Sprintf("%q stands %d times in %s, at most %d: write %q; it is in %s", p.name, sum, kind, allowed, p.better, strings.Join(where, ", ")), ""
	case sum < allowed:
		return "", fmt.Sprintf("%q stands %d times in %s, %d are allowed: lower the number in words_test.go", p.name, sum, kind, allowed)
	}
	return "", ""
}

// commentsOf returns the comments of a Go file, without directives.
func commentsOf(t *testing.T, name, text string) string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, c := range file.Comments {
		all = append(all, c.Text())
	}
	return strings.Join(all, apart)
}

// sentencesOf returns the texts of a catalogue, plural forms included.
func sentencesOf(t *testing.T, name, text string) string {
	t.Helper()
	var messages map[string]any
	if err := json.Unmarshal([]byte(text), &messages); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	var all []string
	for _, m := range messages {
		switch m := m.(type) {
		case string:
			all = append(all, m)
		case map[string]any:
			for _, form := range m {
				all = append(all, fmt.Sprint(form))
			}
		}
	}
	return strings.Join(all, apart)
}

func TestPhrasesThatAreReadTwiceBecomeFewer(t *testing.T) {
	comments, sentences := map[string]string{}, map[string]string{}
	for _, name := range repositoryFiles(t, ".go") {
		if name != "internal/words_test.go" {
			comments[name] = commentsOf(t, name, read(t, name))
		}
	}
	for _, name := range repositoryFiles(t, ".en.json") {
		sentences[name] = sentencesOf(t, name, read(t, name))
	}
	if len(comments) < 300 || len(sentences) < 10 {
		t.Errorf("only %d files and %d catalogues found: this test looks past them", len(comments), len(sentences))
	}
	for _, p := range phrases {
		for kind, c := range map[string]struct {
			texts   map[string]string
			allowed int
		}{"comments": {comments, p.comments}, "sentences": {sentences, p.sentences}} {
			found := map[string]int{}
			for name, text := range c.texts {
				if n := count(p, text); n > 0 {
					found[name] = n
				}
			}
			wrong, note := p.judge(kind, found, c.allowed)
			if wrong != "" {
				t.Error(wrong)
			}
			if note != "" {
				t.Log("note: " + note)
			}
		}
	}
}

// A phrase that came back is found, in a comment and in a sentence, and one that became
// rarer is said.
func TestPhrasesAreFound(t *testing.T) {
	source := `package p

// Fresh tells
// that a proof is young, whoever
// gave it.
var Fresh = "it tells that, whoever asks" // It is that.
`
	catalogue := `{"a.b": "Whoever asks", "a.c": {"one": "It is none of them", "other": "whoever"}}`
	for name, want := range map[string][2]int{"tells that": {1, 0}, "whoever": {1, 2}, "is that.": {1, 0}, "is none of": {0, 1}, "anew": {0, 0}} {
		p := phrases[slices.IndexFunc(phrases, func(p phrase) bool { return p.name == name })]
		got := [2]int{count(p, commentsOf(t, "p.go", source)), count(p, sentencesOf(t, "a.en.json", catalogue))}
		if got != want {
			t.Errorf("%q is found %v times in comments and sentences, want %v", name, got, want)
		}
	}
	found := map[string]int{"a.go": 2, "b.go": 1}
	for allowed, want := range map[int][2]bool{2: {true, false}, 3: {false, false}, 4: {false, true}} {
		wrong, note := phrases[0].judge("comments", found, allowed)
		if (wrong != "") != want[0] || (note != "") != want[1] {
			t.Errorf("3 where %d are allowed: wrong is %q, note is %q", allowed, wrong, note)
		}
	}
}
