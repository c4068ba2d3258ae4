package web

import (
	"slices"

	"parvis/internal/page"
)

// passkeyHelp says where a kind of device keeps passkeys, and where they are managed.
type passkeyHelp struct {
	Picture             string
	Title, Text, Manage string // catalogue keys
}

var (
	helpChromeWindows = passkeyHelp{"computer", "web.passkey.chrome_windows_title", "web.passkey.chrome_windows", "web.passkey.chrome_windows_manage"}
	helpChromeMac     = passkeyHelp{"laptop", "web.passkey.chrome_mac_title", "web.passkey.chrome_mac", "web.passkey.chrome_mac_manage"}
	helpChromeAndroid = passkeyHelp{"phone", "web.passkey.chrome_android_title", "web.passkey.chrome_android", "web.passkey.chrome_android_manage"}
	helpChromeIOS     = passkeyHelp{"tablet", "web.passkey.chrome_ios_title", "web.passkey.chrome_ios", "web.passkey.chrome_ios_manage"}
	helpChrome        = passkeyHelp{"terminal", "web.passkey.chrome_title", "web.passkey.chrome", "web.passkey.chrome_manage"}
	helpFirefox       = passkeyHelp{"terminal", "web.passkey.firefox_title", "web.passkey.firefox", "web.passkey.firefox_manage"}
	helpApple         = passkeyHelp{"tablet", "web.passkey.apple_title", "web.passkey.apple", "web.passkey.apple_manage"}
	helpWindows       = passkeyHelp{"computer", "web.passkey.windows_title", "web.passkey.windows", "web.passkey.windows_manage"}
	helpAndroid       = passkeyHelp{"phone", "web.passkey.android_title", "web.passkey.android", "web.passkey.android_manage"}
	helpKey           = passkeyHelp{"key", "web.passkey.key_title", "web.passkey.key", "web.passkey.key_manage"}

	everyPasskeyHelp = []passkeyHelp{
		helpApple, helpWindows, helpAndroid, helpChromeWindows, helpChromeMac, helpChromeAndroid, helpChromeIOS, helpChrome, helpFirefox, helpKey,
	}
)

// passkeyHelpFor returns the help for a browser on a system. The browser comes first, because
// Chrome has a password manager of its own and Firefox on Linux has none. A security key works
// everywhere.
func passkeyHelpFor(browser, system string) passkeyHelp {
	switch {
	case browser == "Chrome":
		switch system {
		case "Windows":
			return helpChromeWindows
		case "macOS":
			return helpChromeMac
		case "Android":
			return helpChromeAndroid
		case "iOS", "iPadOS":
			return helpChromeIOS
		}
		return helpChrome
	case browser == "Firefox" && system == "Linux":
		return helpFirefox
	}
	switch system {
	case "iOS", "iPadOS", "macOS":
		return helpApple
	case "Windows":
		return helpWindows
	case "Android":
		return helpAndroid
	}
	return helpKey
}

// passkeyHelpPage explains passkeys on every kind of device, beginning with the reader's.
type passkeyHelpPage struct {
	Here   passkeyHelp
	Others []passkeyHelp
}

func newPasskeyHelpPage(here passkeyHelp) passkeyHelpPage {
	others := slices.DeleteFunc(slices.Clone(everyPasskeyHelp), func(h passkeyHelp) bool { return h == here })
	return passkeyHelpPage{here, others}
}

// helpPasskeys shows the help to everybody, signed in or not.
func (s *Server) helpPasskeys(v *page.Visitor) error {
	return v.Render("help-passkeys", newPasskeyHelpPage(passkeyHelpFor(v.BrowserAndSystem())))
}
