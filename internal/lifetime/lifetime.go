// Package lifetime has the times that an installation on a loopback address may shorten, so that
// tests need not wait (decision 0015).
package lifetime

import "time"

// Shortest is the shortest that a test needs.
const Shortest = 2 * time.Second

// Overrides take the place of what constants and organizations say, where they are set.
type Overrides = Each[time.Duration]

// Each is a value for each of them: a duration, or the text that was written for it.
type Each[T any] struct {
	SessionIdle     T `toml:"session_idle"`
	SessionAbsolute T `toml:"session_absolute"`
	SupersededToken T `toml:"superseded_token"`
	Invitation      T `toml:"invitation"`
	SetupLink       T `toml:"setup_link"`
	Attempt         T `toml:"attempt"`
	Reset           T `toml:"reset"`
	EmailChange     T `toml:"email_change"`
	Code            T `toml:"code"`
	AccessToken     T `toml:"access_token"`
	IDToken         T `toml:"id_token"`
	RefreshToken    T `toml:"refresh_token"`
	RefreshRetry    T `toml:"refresh_retry"`
	SigningKey      T `toml:"signing_key"`
	DeviceCode      T `toml:"device_code"`
}
