package i18n

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// In returns a Localizer that writes instants in a time zone. Without one they
// are written in UTC.
func (l Localizer) In(zone *time.Location) Localizer {
	l.zone = zone
	return l
}

// Number writes n with its thousands apart: 12,345 in English. Every number that a person reads
// comes from here; Text calls it for the numbers that it fills in.
func (l Localizer) Number(n int) string {
	digits := strconv.Itoa(n)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + l.Text("language.thousands") + digits[i:]
	}
	return sign + digits
}

// local returns t in the zone.
func (l Localizer) local(t time.Time) time.Time {
	if l.zone == nil {
		return t.UTC()
	}
	return t.In(l.zone)
}

// Date writes the day of t: 22 November 2026.
func (l Localizer) Date(t time.Time) string {
	t = l.local(t)
	day := strconv.Itoa(t.Day())
	if t.Day() == 1 {
		day = l.Text("language.first_of_month") // French: 1er
	}
	month := l.Text("language.month." + strconv.Itoa(int(t.Month())))
	return l.Text("language.date", "Day", day, "Month", month, "Year", strconv.Itoa(t.Year()))
}

// DayOfYear writes the day of t without its year: 22 November.
func (l Localizer) DayOfYear(t time.Time) string {
	t = l.local(t)
	day := strconv.Itoa(t.Day())
	if t.Day() == 1 {
		day = l.Text("language.first_of_month")
	}
	return l.Text("language.day_of_year", "Day", day, "Month", l.Text("language.month."+strconv.Itoa(int(t.Month()))))
}

// DateTime writes t to the minute and names the zone: 22 November 2026, 10:00 CET.
func (l Localizer) DateTime(t time.Time) string {
	at := l.local(t)
	return l.Text("language.date_time", "Date", l.Date(t), "Time", at.Format("15:04"), "Zone", zoneAt(at))
}

// zoneAt returns the abbreviation of a zone at a time or, if it has none, its offset from
// UTC: UTC+05:45.
func zoneAt(t time.Time) string {
	name, _ := t.Zone()
	if name[0] != '+' && name[0] != '-' {
		return name
	}
	if hours := len("+05"); len(name) > hours {
		name = name[:hours] + ":" + name[hours:]
	}
	return "UTC" + name
}

// Moment is DateTime for somebody who reads it elsewhere, later, without our clock: with the
// day of the week, the place that the zone is named after, and its offset from UTC. A line
// breaks between its parts only: Sunday, 22 November 2026, 11:00 (Paris, UTC+1).
func (l Localizer) Moment(t time.Time) string {
	at := l.local(t)
	whole := strings.NewReplacer(" ", nonBreaking)
	return l.Text("language.moment", "Weekday", l.Text("language.weekday."+strconv.Itoa(int(at.Weekday()))),
		"Date", whole.Replace(l.Date(t)), "Time", at.Format("15:04"), "Zone", whole.Replace(l.placeAt(at)))
}

// nonBreaking is a space at which no line breaks.
const nonBreaking = "\u00a0"

// placeAt returns the place that the zone is named after, and its offset at a time: Paris,
// UTC+1. The minus sign is the one at which no line breaks.
func (l Localizer) placeAt(t time.Time) string {
	_, seconds := t.Zone()
	sign := "+"
	if seconds < 0 {
		sign, seconds = "−", -seconds
	}
	offset := "UTC"
	if seconds != 0 {
		offset += sign + strconv.Itoa(seconds/3600)
	}
	if minutes := seconds / 60 % 60; minutes != 0 {
		offset += fmt.Sprintf(":%02d", minutes)
	}
	zone := t.Location().String()
	if zone == "UTC" {
		return offset
	}
	return l.place(zone) + ", " + offset
}

// place returns the name of the place that a zone is named after. Most have the same name in
// all languages, and IANA's name is that in ASCII; the others are in the catalogue.
func (l Localizer) place(zone string) string {
	place := zone[strings.LastIndex(zone, "/")+1:]
	if m, ok := l.message("language.place." + strings.ToLower(place)); ok {
		return l.fill(m.text, nil)
	}
	return strings.ReplaceAll(place, "_", " ")
}

var units = []struct {
	length time.Duration
	key    string
}{
	{24 * time.Hour, "language.days"},
	{time.Hour, "language.hours"},
	{time.Minute, "language.minutes"},
	{time.Second, "language.seconds"},
}

// Duration writes d in its largest unit, and adds the next smaller one if d is no multiple
// of the first: 7 days, 1 hour 30 minutes. It rounds up, so that somebody who waits that long
// has waited long enough.
func (l Localizer) Duration(d time.Duration) string {
	for i, u := range units[:len(units)-1] {
		smaller := units[i+1]
		rounded := roundUp(d, smaller.length)
		if rounded < u.length {
			continue
		}
		text := l.Text(u.key, "Count", int(rounded/u.length))
		if rest := rounded % u.length; rest != 0 {
			text = l.Text("language.two_units", "Larger", text, "Smaller", l.Text(smaller.key, "Count", int(rest/smaller.length)))
		}
		return text
	}
	return l.Text("language.seconds", "Count", int(roundUp(max(d, 0), time.Second)/time.Second))
}

func roundUp(d, unit time.Duration) time.Duration {
	if rest := d % unit; rest > 0 {
		return d - rest + unit
	}
	return d
}
