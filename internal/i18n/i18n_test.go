package i18n

import (
	"strings"
	"testing"
	"time"
)

func load(t testing.TB) *Catalogue {
	t.Helper()
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestMatchPrefersTheChoiceThenTheBrowserThenEnglish(t *testing.T) {
	c := load(t)
	tests := map[string]struct {
		chosen Tag
		header string
		want   Tag
	}{
		"nothing known":                     {want: "en"},
		"the choice wins":                   {chosen: "fr", header: "en", want: "fr"},
		"an unknown choice is none":         {chosen: "tlh", header: "fr", want: "fr"},
		"a choice is no header":             {chosen: "fr;q=1", want: "en"},
		"the region does not matter":        {header: "fr-CA,en;q=0.5", want: "fr"},
		"weights order the header":          {header: "en;q=0.2,fr;q=0.9", want: "fr"},
		"the first that we have":            {header: "ja,fr;q=0.8,en;q=0.7", want: "fr"},
		"region settings of the system":     {header: "fr-u-rg-cazzzz", want: "fr"},
		"any language":                      {header: "*", want: "en"},
		"none that we have":                 {header: "ja,ko", want: "en"},
		"what is no header":                 {header: "\x00;;q=,,q", want: "en"},
		"a header that is too long":         {header: "fr," + strings.Repeat("x", 500), want: "en"},
		"five hundred bytes are still read": {header: "fr" + strings.Repeat(",fr", 166), want: "fr"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := c.Match(tt.chosen, tt.header); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func FuzzMatch(f *testing.F) {
	f.Add("fr", "")
	f.Add("", "fr-CH, fr;q=0.9, en;q=0.8, de;q=0.7, *;q=0.5")
	f.Add("", "ar-EG-u-rg-egzzzz")
	f.Add("../../etc", "-;q=\xff")
	c := load(f)
	f.Fuzz(func(t *testing.T, chosen, header string) {
		got := c.Match(Tag(chosen), header)
		if _, ok := c.Known(string(got)); !ok {
			t.Errorf("%q is no language of the catalogue", got)
		}
	})
}

func TestTextFillsPlaceholdersAndChoosesThePlural(t *testing.T) {
	c := load(t)
	tests := map[string]struct {
		tag   Tag
		key   string
		pairs []any
		want  string
	}{
		"plain":                        {"en", "language.name", nil, "English"},
		"one":                          {"en", "language.days", []any{"Count", 1}, "1 day"},
		"several":                      {"en", "language.days", []any{"Count", int64(2)}, "2 days"},
		"none is plural in English":    {"en", "language.days", []any{"Count", 0}, "0 days"},
		"none is singular in French":   {"fr", "language.days", []any{"Count", 0}, "0 jour"},
		"a form that nobody wrote":     {"fr", "language.days", []any{"Count", 1000000}, "1\u202f000\u202f000 jours"},
		"less than none":               {"en", "language.days", []any{"Count", -1 << 63}, "-9,223,372,036,854,775,808 days"},
		"a language that is not known": {"xx", "language.name", nil, "English"},
		"a missing key shows":          {"fr", "web.missing", nil, "[web.missing]"},
		"a missing value shows":        {"en", "language.date_time", []any{"Date", "today"}, "today, [Time] [Zone]"},
		"a name without a value":       {"en", "language.date_time", []any{"Date"}, "[Date], [Time] [Zone]"},
		"a value is not a message":     {"en", "language.date_time", []any{"Date", "{{.Time}}", "Time", 1}, "{{.Time}}, 1 [Zone]"},
		"a count that is no number":    {"en", "language.days", []any{"Count", "many"}, "many days"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := c.In(tt.tag).Text(tt.key, tt.pairs...); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestDatesAreWrittenInTheLanguagesWay(t *testing.T) {
	c := load(t)
	at := time.Date(2026, 11, 22, 10, 0, 59, 0, time.FixedZone("", 3600))
	first := time.Date(2027, 2, 1, 23, 59, 0, 0, time.UTC)
	for want, got := range map[string]string{
		"22 November 2026, 09:00 UTC":       c.In("en").DateTime(at),
		"22 novembre 2026 à 09:00 UTC":      c.In("fr").DateTime(at),
		"1 February 2027":                   c.In("en").Date(first),
		"1er février 2027":                  c.In("fr").Date(first),
		"22 November 2026, 10:00 CET":       c.In("en").In(zone(t, "Europe/Paris")).DateTime(at),
		"22 November 2026, 14:45 UTC+05:45": c.In("en").In(zone(t, "Asia/Kathmandu")).DateTime(at),
		"2 février 2027 à 02:59 UTC+03":     c.In("fr").In(zone(t, "Europe/Istanbul")).DateTime(first),
		"2 February 2027":                   c.In("en").In(zone(t, "Asia/Tokyo")).Date(first),

		"Sunday, 22~November~2026, 09:00 (UTC)":                   c.In("en").Moment(at),
		"Sunday, 22~November~2026, 14:45 (Kathmandu,~UTC+5:45)":   c.In("en").In(zone(t, "Asia/Kathmandu")).Moment(at),
		"dimanche 22~novembre~2026 à~06:00 (Buenos~Aires,~UTC−3)": c.In("fr").In(zone(t, "America/Argentina/Buenos_Aires")).Moment(at),
		"mardi 2~février~2027 à~13:59 (Kiritimati,~UTC+14)":       c.In("fr").In(zone(t, "Pacific/Kiritimati")).Moment(first),
		"Monday, 1~February~2027, 20:29 (St~John’s,~UTC−3:30)":    c.In("en").In(zone(t, "America/St_Johns")).Moment(first),
		"dimanche 22~novembre~2026 à~09:00 (Londres,~UTC)":        c.In("fr").In(zone(t, "Europe/London")).Moment(at),
		"lundi 1er~février~2027 à~23:59 (UTC)":                    c.In("fr").Moment(first),
	} {
		if want = strings.ReplaceAll(want, "~", nonBreaking); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	zone, ok := Zone(name)
	if !ok {
		t.Fatalf("no time zone %s", name)
	}
	return zone
}

// The zones of our list work on every machine, and no others are accepted.
func TestEveryListedTimeZoneIsOne(t *testing.T) {
	t.Setenv("ZONEINFO", "/nowhere")
	count := 0
	for _, area := range Zones() {
		for _, z := range area.Zones {
			count++
			if zone(t, z.Name).String() != z.Name || z.Place == "" {
				t.Errorf("%+v", z)
			}
		}
	}
	if count < 400 {
		t.Errorf("only %d time zones", count)
	}
	for _, name := range []string{"Local", "local", "europe/paris", "Europe/", "../Europe/Paris", "Europe/Paris\x00", "EST5EDT,M3.2.0,M11.1.0", " ", "Mars/Olympus"} {
		if _, ok := Zone(name); ok {
			t.Errorf("%q is a time zone", name)
		}
	}
	if utc, ok := Zone(""); !ok || utc != time.UTC {
		t.Error("none is not UTC")
	}
}

func TestDurationsAreRoundedUpToTwoUnits(t *testing.T) {
	c := load(t)
	tests := map[time.Duration][2]string{
		-time.Second:                         {"0 seconds", "0 seconde"},
		time.Nanosecond:                      {"1 second", "1 seconde"},
		30 * time.Minute:                     {"30 minutes", "30 minutes"},
		90 * time.Second:                     {"1 minute 30 seconds", "1 minute 30 secondes"},
		time.Hour:                            {"1 hour", "1 heure"},
		time.Hour - time.Nanosecond:          {"1 hour", "1 heure"},
		90*time.Minute + time.Second:         {"1 hour 31 minutes", "1 heure 31 minutes"},
		24*time.Hour - time.Second:           {"1 day", "1 jour"},
		7 * 24 * time.Hour:                   {"7 days", "7 jours"},
		7*24*time.Hour - 17*time.Millisecond: {"7 days", "7 jours"},
		2*24*time.Hour + 2*time.Hour - 5:     {"2 days 2 hours", "2 jours 2 heures"},
		30*24*time.Hour + time.Second:        {"30 days 1 hour", "30 jours 1 heure"},
	}
	for d, want := range tests {
		if en, fr := c.In("en").Duration(d), c.In("fr").Duration(d); en != want[0] || fr != want[1] {
			t.Errorf("%v is %q, %q; want %q", d, en, fr, want)
		}
	}
}

func TestPseudoWrapsEveryMessage(t *testing.T) {
	l := Pseudo().In("fr")
	for key := range l.every() {
		if got := l.Text(key, "Count", 1); !strings.HasPrefix(got, "[!! ") || !strings.HasSuffix(got, " !!]") {
			t.Errorf("%s is %q", key, got)
		}
	}
	if got := load(t).In("fr").Text("language.name"); got != "Français" {
		t.Errorf("the real catalogue changed too: %q", got)
	}
}

func BenchmarkText(b *testing.B) {
	l := load(b).In("fr")
	b.Run("plain", func(b *testing.B) {
		for b.Loop() {
			l.Text("language.name")
		}
	})
	b.Run("placeholders", func(b *testing.B) {
		for b.Loop() {
			l.Text("language.date_time", "Date", "x", "Time", "y")
		}
	})
	b.Run("plural", func(b *testing.B) {
		for b.Loop() {
			l.Text("language.days", "Count", 2)
		}
	})
}

// A place whose zone nobody can choose would be a name for nothing.
func TestPlacesAreThoseOfZones(t *testing.T) {
	known := map[string]bool{}
	for _, area := range Zones() {
		for _, zone := range area.Zones {
			known["language.place."+strings.ToLower(zone.Name[strings.LastIndex(zone.Name, "/")+1:])] = true
		}
	}
	for key := range load(t).texts["en"].every() {
		if strings.HasPrefix(key, "language.place.") && !known[key] {
			t.Errorf("%s is in no zone's name", key)
		}
	}
}
