package i18n

import "strings"

// What a User-Agent header says, by a word in it. Each browser names those that
// it wants to be taken for, so the order counts.
var (
	browsers = [][2]string{
		{"Edg", "Edge"}, {"OPR/", "Opera"}, {"SamsungBrowser/", "Samsung Internet"}, {"Firefox/", "Firefox"},
		{"FxiOS/", "Firefox"}, {"CriOS/", "Chrome"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"},
	}
	systems = [][2]string{
		{"Android", "Android"}, {"iPhone", "iOS"}, {"iPad", "iPadOS"},
		{"CriOS/", "iPadOS"}, {"FxiOS/", "iPadOS"}, // an iPad that asks for desktop pages says that it is a Mac
		{"CrOS", "ChromeOS"},
		{"Windows", "Windows"}, {"Mac OS X", "macOS"}, {"Linux", "Linux"},
	}
)

// BrowserAndSystem are the names in a User-Agent header, each empty where it is none
// that is known here.
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

// Browser names browser and system of a User-Agent header, or returns it as it
// is where that is neither.
func (l Localizer) Browser(agent string) string {
	browser, system := BrowserAndSystem(agent)
	if browser == "" || system == "" {
		return agent
	}
	return l.Text("language.browser_on", "Browser", browser, "System", system)
}
