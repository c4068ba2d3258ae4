package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"golang.org/x/oauth2"
)

// device shows a code, and waits until somebody allowed it in the browser of another machine (RFC
// 8628). It asks as seldom as the server says.
func (c *client) device() error {
	m, err := c.discover()
	if err != nil {
		return err
	}
	if m.Device == "" {
		return fmt.Errorf("%s lets nobody in by a code", c.Address)
	}
	config := c.oauth(m, "")
	code, err := config.DeviceAuth(c.withHTTP())
	if err != nil {
		return c.deviceRefused(err)
	}
	fmt.Fprintf(c.t.Err, `In a browser where you are signed in to %s, go to

  %s

and enter the code

  %s

Allow it only if you began this yourself, here. This sign-in will only read, and only where an owner allows it.
`, c.Organization, printable(code.VerificationURI), printable(code.UserCode))
	got, err := config.DeviceAccessToken(c.withHTTP(), code)
	if err != nil {
		return c.deviceRefused(err)
	}
	c.Token, c.Refresh = got.AccessToken, got.RefreshToken
	return nil
}

// deviceRefused says in words why nobody was let in (RFC 8628 §3.5).
func (c *client) deviceRefused(err error) error {
	refused, ok := errors.AsType[*oauth2.RetrieveError](err)
	switch {
	case c.t.Context.Err() != nil:
		return errStopped
	case errors.Is(err, context.DeadlineExceeded), ok && refused.ErrorCode == "expired_token":
		return exit{exitSignIn, errors.New("nobody allowed the code while it lasted. The same command shows another")}
	case ok && refused.ErrorCode == "access_denied":
		return exit{exitSignIn, errors.New("the sign-in was refused in the browser")}
	case ok:
		return exit{exitSignIn, fmt.Errorf("the sign-in was refused: %s", printable(cmp.Or(refused.ErrorDescription, refused.ErrorCode)))}
	}
	return fmt.Errorf("waiting for the sign-in: %w", err)
}
