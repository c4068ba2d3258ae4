package i18n

import "strings"

// Names of browsers and systems by a word in the User-Agent header. A browser also names
// those that it imitates, so the order matters.
var (
	browsers = [][2]string{
		{"Edg", "Edge"}, {"OPR/", "Opera"}, {"SamsungBrowser/", "Samsung Internet"}, {"Firefox/", "Firefox"},
		{"FxiOS/", "Firefox"}, {"CriOS/", "Chrome"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"},
	}
	systems = [][2]string{
		{"Android", "Android"}, {"iPhone", "iOS"}, {"iPad", "iPadOS"},
		{"CriOS/", "iPadOS"}, {"FxiOS/", "iPadOS"}, // an iPad that asks for desktop pages claims to be a Mac
		{"CrOS", "ChromeOS"},
		{"Windows", "Windows"}, {"Mac OS X", "macOS"}, {"Linux", "Linux"},
	}
)

// BrowserAndSystem returns the names of browser and system in a User-Agent header. Each is
// empty if it is not known here.
func BrowserAndSystem(agent string) (browser, system string) {
	names := func(list [][2]string) string {
		for _, entry := range list {
			if strings.Contains(agent, entry[0]) {
				return entry[1]
			}
		}
		return ""
	}
	return names(browsers), names(systems)
}

// Browser returns the names of browser and system in a User-Agent header, or the header
// itself if it names neither.
func (l Localizer) Browser(agent string) string {
	browser, system := BrowserAndSystem(agent)
	if browser == "" || system == "" {
		return agent
	}
	return l.Text("language.browser_on", "Browser", browser, "System", system)
}
