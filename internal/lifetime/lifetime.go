// Package lifetime has the times that an installation on a loopback address may shorten, so that
// tests need not wait (decision 0015).
package lifetime

import "time"

// Shortest is the shortest that a test needs.
const Shortest = 2 * time.Second

// Overrides take the place of what constants and organizations say, where they are set.
type Overrides = Each[time.Duration]

// Each is a value for each of them: a duration, or the text that was written for it. Comments and
// examples are those of the file of settings.
type Each[T any] struct {
	SessionIdle     T `toml:"session_idle" example:"20m"`
	SessionAbsolute T `toml:"session_absolute" example:"2h"`
	SupersededToken T `toml:"superseded_token" example:"5s"`
	Invitation      T `toml:"invitation" example:"10m"`
	SetupLink       T `toml:"setup_link" example:"10m"`
	Attempt         T `toml:"attempt" example:"1m"`
	Reset           T `toml:"reset" example:"10m"`
	EmailChange     T `toml:"email_change" example:"10m"`
	// What applications get. Over what each application was registered with.
	Code         T `toml:"code" example:"5s"`
	AccessToken  T `toml:"access_token" example:"10s"`
	IDToken      T `toml:"id_token" example:"1m"`
	RefreshToken T `toml:"refresh_token" example:"2m"`
	RefreshRetry T `toml:"refresh_retry" example:"5s"`
	SigningKey   T `toml:"signing_key" example:"10m"`
	DeviceCode   T `toml:"device_code" example:"1m"`
}
