package i18n

import "testing"

func TestBrowserIsNamedInTheLanguageOfTheReader(t *testing.T) {
	c := load(t)
	tests := map[string]struct {
		tag         Tag
		agent, want string
	}{
		"in English":           {"en", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"},
		"in French":            {"fr", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox sur Linux"},
		"not whom it imitates": {"en", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0", "Edge on Windows"},
		"a telephone":          {"en", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/140.0 Mobile/15E148 Safari/604.1", "Chrome on iOS"},
		"what is no browser":   {"en", "curl/8.5.0", "curl/8.5.0"},
		"nothing":              {"en", "", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := c.In(tt.tag).Browser(tt.agent); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
