package console

import (
	"fmt"
	"slices"
	"time"

	"parvis/internal/administration"
	"parvis/internal/audit"
	"parvis/internal/page"
)

// The pictures are drawn here and written by the template. They are as wide as there is room, so
// everything across is in percent, and everything upwards in pixels.

// figure is a number that leads to the list of what it counts.
type figure struct {
	Count int
	Path  string // empty where there is no list, or the viewer may not read it
}

// bars is a table whose numbers are drawn too: a bar for each row.
type bars struct {
	Caption, Names, Numbers string // catalogue keys of its heads
	Rows                    []bar
}

type bar struct {
	Name string
	At   string // the page of what it counts; empty if there is none
	figure
	Hollow bool   // drawn as an outline
	Width  string // in percent
}

// Figure returns the number of the bar.
func (b bar) Figure() figure { return b.figure }

// scaled makes the longest bar as wide as there is room.
func (b bars) scaled() bars {
	most := 0
	for _, one := range b.Rows {
		most = max(most, one.Count)
	}
	for i := range b.Rows {
		b.Rows[i].Width = percent(float64(b.Rows[i].Count) / float64(max(most, 1)) * 100)
	}
	return b
}

func percent(of float64) string { return fmt.Sprintf("%.2f%%", of) }

const (
	high     = 168 // pixels between the highest and the lowest line
	topSpace = 10  // above the highest line
)

// columns is a picture with a column for each day.
type columns struct {
	Lines  []gridLine
	Labels []dayLabel
	Bottom int // of the picture
	Days   []dayColumn
}

// LabelY is where the names of days stand.
func (c columns) LabelY() int { return c.Bottom - 6 }

type gridLine struct {
	Y, Text int  // where the line and its number are
	Value   int  // what it stands for, without a sign
	Zero    bool // the base line
}

// dayLabel names a day below the picture.
type dayLabel struct{ X, Anchor, Text string }

// dayColumn is one day: its pieces in the picture, and its row in the table.
type dayColumn struct {
	Date          string // as text
	X, Width      string
	Pieces        []piece
	Done, Refused figure
	ByWay         []figure
}

// piece is a part of a column.
type piece struct {
	Kind      string // says how it is filled
	Y, Height int
}

// scale fits counts over the base line, up to lines that are a step apart, and counts below it
// into the picture.
type scale struct{ step, up, below int }

// scaleFor takes lines at 1, 2 or 5 times a power of ten, three of them at most above the base line.
func scaleFor(above, below int) scale {
	step := 1
	for factors, i := []int{2, 5, 10}, 0; max(above, below) > 3*step; i++ {
		step = factors[i%3]
		for range i / 3 {
			step *= 10
		}
	}
	return scale{step, max(1, (above+step-1)/step), below}
}

// y returns where a count is; it is negative below the base line.
func (s scale) y(count int) int {
	return topSpace + (s.up*s.step-count)*high/(s.up*s.step+s.below)
}

func (s scale) lines() []gridLine {
	var all []gridLine
	for n := s.up * s.step; n >= -s.below; n -= s.step {
		all = append(all, gridLine{Y: s.y(n), Text: s.y(n) + 4, Value: max(n, -n), Zero: n == 0})
	}
	return all
}

// columnsOf prepares a picture of the days.
func columnsOf(v *page.Viewer, days []time.Time, s scale) columns {
	c := columns{Lines: s.lines(), Bottom: topSpace + high + 24}
	width := 100 / float64(len(days))
	for i, day := range days {
		c.Days = append(c.Days, dayColumn{Date: v.DayOfYear(day), X: percent(float64(i)*width + width*.14), Width: percent(width * .72)})
	}
	last := len(days) - 1
	for _, at := range []struct {
		day       int
		x, anchor string
	}{{0, "0%", "start"}, {last / 2, percent((float64(last/2) + .5) * width), "middle"}, {last, "100%", "end"}} {
		c.Labels = append(c.Labels, dayLabel{at.x, at.anchor, v.DayOfYear(days[at.day])})
	}
	return c
}

// activePeople is the picture of how many people were active.
type activePeople struct {
	columns
	Today, Most int
	MostAt      string // the day with most
}

func activeOf(v *page.Viewer, o administration.Overview) activePeople {
	people := map[time.Time]int{}
	var p activePeople
	for _, d := range o.Active {
		people[d.Day] = d.People
		p.Most = max(p.Most, d.People)
	}
	s := scaleFor(p.Most, 0)
	p.columns = columnsOf(v, o.Days, s)
	for i, day := range o.Days {
		d := &p.Days[i]
		p.Today = people[day]
		d.Done.Count, d.Pieces = p.Today, pieceUp(s, "people", 0, p.Today)
		if p.Today == p.Most {
			p.MostAt = d.Date
		}
	}
	return p
}

// pieceUp draws a count above another one; nothing for none.
func pieceUp(s scale, kind string, from, count int) []piece {
	if count == 0 {
		return nil
	}
	top := s.y(from + count)
	height := max(s.y(from)-top, 2) // a single one in a crowd is seen
	return []piece{{kind, s.y(from) - height, height}}
}

// signIns is the picture of sign-ins by way and result: what was done above the base line, what
// was refused below it.
type signIns struct {
	columns
	Ways          []way
	Done, Refused figure
}

// way is one way in, with its numbers.
type way struct {
	Way           audit.Way
	Kind          string // how it is filled; empty for one that is only refused
	Name          string
	Done, Refused figure
}

// stacked are the ways in the order of a column, from the base line upwards, with how each is
// filled. An invitation and a reset are both a link in a letter.
var stacked = []way{
	{Way: audit.BySingleSignOn, Kind: "sso"}, {Way: audit.ByPasskey, Kind: "passkey"}, {Way: audit.ByPassword, Kind: "password"},
	{Way: audit.ByInvitation, Kind: "link"}, {Way: audit.ByReset, Kind: "link"}, {Way: audit.OtherWay, Kind: "link"}, {Way: audit.BySecondStep},
}

// perDay are the sign-ins of a day.
type perDay struct {
	done    map[audit.Way]int
	refused int
}

func signInsOf(v *page.Viewer, o administration.Overview) signIns {
	days := map[time.Time]perDay{}
	for _, day := range o.Days {
		days[day] = perDay{done: map[audit.Way]int{}}
	}
	ways := slices.Clone(stacked)
	var p signIns
	for _, c := range o.Counts {
		i := slices.IndexFunc(ways, func(w way) bool { return string(w.Way) == c.About })
		day, shown := days[c.Day]
		switch {
		case i < 0 || !shown:
		case c.Action == audit.SignedIn:
			day.done[ways[i].Way] += c.Events
			ways[i].Done.Count += c.Events
			p.Done.Count += c.Events
		case c.Action == audit.SignInRefused:
			day.refused += c.Events
			ways[i].Refused.Count += c.Events
			p.Refused.Count += c.Events
		}
		days[c.Day] = day
	}
	p.Ways = slices.DeleteFunc(ways, func(w way) bool { return w.Done.Count == 0 && w.Refused.Count == 0 })
	first, last := o.Days[0], o.Days[len(o.Days)-1]
	p.Done.Path, p.Refused.Path = auditPath(v, first, last, "action", string(audit.SignedIn)), auditPath(v, first, last, "action", string(audit.SignInRefused))
	for i := range p.Ways {
		w := &p.Ways[i]
		w.Name = v.Text("console.overview.way." + string(w.Way))
		if w.Way.Known() {
			w.Done.Path = auditPath(v, first, last, "action", string(audit.SignedIn), "way", string(w.Way))
			w.Refused.Path = auditPath(v, first, last, "action", string(audit.SignInRefused), "way", string(w.Way))
		}
	}
	p.columns = signInColumns(v, o.Days, p.Ways, days)
	return p
}

// signInColumns draws the days, with the ways that are shown.
func signInColumns(v *page.Viewer, all []time.Time, shown []way, days map[time.Time]perDay) columns {
	above, below := 0, 0
	for _, day := range all {
		sum := 0
		for _, n := range days[day].done {
			sum += n
		}
		above, below = max(above, sum), max(below, days[day].refused)
	}
	s := scaleFor(above, below)
	c := columnsOf(v, all, s)
	for i, day := range all {
		d := &c.Days[i]
		for _, w := range shown {
			n := days[day].done[w.Way]
			d.Pieces = append(d.Pieces, pieceUp(s, w.Kind, d.Done.Count, n)...)
			d.Done.Count += n
			d.ByWay = append(d.ByWay, figure{Count: n})
		}
		if d.Refused.Count = days[day].refused; d.Refused.Count > 0 {
			d.Pieces = append(d.Pieces, piece{"refused", s.y(0), max(s.y(-d.Refused.Count)-s.y(0), 2)})
		}
		d.Done.Path, d.Refused.Path = auditPath(v, day, day, "action", string(audit.SignedIn)), auditPath(v, day, day, "action", string(audit.SignInRefused))
	}
	return c
}
