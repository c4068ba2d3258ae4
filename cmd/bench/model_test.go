package main

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the model into docs/scale.md")

// The table for many people is what the tables before it give. After a measurement, write it again:
//
//	go test ./cmd/bench -run Model -update
func TestModelIsThatOfThePaper(t *testing.T) {
	const paper = "../../docs/scale.md"
	text, err := os.ReadFile(paper)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := model(string(text))
	if err != nil {
		t.Fatal(err)
	}
	before, rest, _ := strings.Cut(string(text), modelHead+"\n")
	old, after, _ := strings.Cut(rest, "\n\n")
	now := "|---|---|---|---|---|---|---|\n" + strings.Join(rows, "\n")
	if *update {
		err = os.WriteFile(paper, []byte(before+modelHead+"\n"+now+"\n\n"+after), 0o600)
	} else if old != now {
		t.Errorf("docs/scale.md says\n%s\nand its figures give\n%s", old, now)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestFiguresAreRounded(t *testing.T) {
	for n, want := range map[float64]string{0.4: "0", 7: "7", 99: "99", 123: "120", 45678: "46,000", 1234567: "1,200,000"} {
		if got := round(n); got != want {
			t.Errorf("%v is shown as %s, want %s", n, got, want)
		}
	}
}
