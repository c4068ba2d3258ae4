package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Which tables of docs/scale.md the model reads, and where in them.
const (
	countedHead = "| journey | memory |"
	doneHead    = "| journey | a person, a day |"
	modelHead   = "| people | requests a second | statements | round trips | transactions that write | cores of servers | cores of PostgreSQL |"

	// busiest is which part of a day's work the busiest hour of a working day has.
	busiest = 0.2
)

// need is what a journey, or everybody's in a second, needs.
type need struct {
	requests, statements, trips, writes float64
	server, stored                      float64 // CPU in ms
	measured                            bool    // both of these are
}

func (n *need) add(m need, times float64) {
	n.requests += m.requests * times
	n.statements += m.statements * times
	n.trips += m.trips * times
	n.writes += m.writes * times
	n.server += m.server * times
	n.stored += m.stored * times
	n.measured = n.measured && m.measured
}

// printModel prints the table of what many people need, by the figures of the paper.
func printModel(paper string) error {
	text, err := os.ReadFile(paper) //nolint:gosec // Named by who asks.
	if err != nil {
		return err
	}
	rows, err := model(string(text))
	if err == nil {
		fmt.Printf("%s\n%s\n%s\n", modelHead, "|---|---|---|---|---|---|---|", strings.Join(rows, "\n"))
	}
	return err
}

// model computes it. Memory is on, as it is where several nodes run.
func model(paper string) (rows []string, err error) {
	counted := map[string]need{}
	for _, c := range table(paper, countedHead) {
		if c[1] != "on" {
			continue
		}
		durable, lax, _ := strings.Cut(c[4], ", ")
		counted[c[0]] = need{requests: 1, statements: number(c[5]), trips: number(c[7]), writes: number(durable) + number(lax)}
	}
	day := need{measured: true}
	for _, c := range table(paper, doneHead) {
		n, known := counted[c[0]]
		if !known {
			return nil, fmt.Errorf("%s is not counted", c[0])
		}
		n.server, n.stored, n.measured = number(c[2]), number(c[3]), c[2] != "–" && c[3] != "–"
		day.add(n, number(c[1]))
	}
	for _, people := range []float64{1e6, 1e7, 1e8} {
		second := need{measured: true}
		second.add(day, people*busiest/3600)
		cores := [2]string{"–", "–"}
		if second.measured {
			cores = [2]string{fmt.Sprintf("%.0f", second.server/1000), fmt.Sprintf("%.0f", second.stored/1000)}
		}
		rows = append(rows, fmt.Sprintf("| %.0f million | %s | %s | %s | %s | %s | %s |", people/1e6,
			round(second.requests), round(second.statements), round(second.trips), round(second.writes), cores[0], cores[1]))
	}
	return rows, nil
}

// table returns the rows of a table of the paper.
func table(paper, head string) (rows [][]string) {
	_, rest, _ := strings.Cut(paper, head)
	text, _, _ := strings.Cut(rest, "\n\n")
	for _, line := range strings.Split(text, "\n")[1:] {
		if cells := strings.Split(strings.Trim(line, "| "), " | "); len(cells) > 3 {
			rows = append(rows, cells)
		}
	}
	return rows
}

func number(text string) float64 {
	n, _ := strconv.ParseFloat(text, 64)
	return n
}

// round returns two digits that count, with a comma for each thousand.
func round(n float64) string {
	unit := 1.0
	for n/unit >= 100 {
		unit *= 10
	}
	text := strconv.FormatInt(int64(n/unit+0.5)*int64(unit), 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
