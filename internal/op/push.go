package op

import (
	"errors"
	"net/http"
	"time"
)

// pushedAnswer names what was pushed (RFC 9126 §2.2).
type pushedAnswer struct {
	RequestURI string `json:"request_uri"`
	ExpiresIn  int    `json:"expires_in"`
}

// push takes an authorization request from an application's server, before its browser
// comes (RFC 9126).
func (p *Provider) push(c *call) (answer, error) {
	if err := p.authenticate(c); err != nil {
		return nil, err
	}
	if !c.client.Code() {
		return nil, wrong(errUnauthorizedClient, "nobody signs in to this client in a browser")
	}
	ctx := c.R.Context()
	r, err := p.understand(ctx, c.client, c.form)
	if _, ok := errors.AsType[*Mismatch](err); ok {
		return nil, wrong(errInvalidRequest, "redirect_uri is missing, doubled, or not one that is registered")
	}
	if err != nil {
		return nil, err
	}
	if thumbprint, err := p.bound(c.Visitor, Client{}, ""); err != nil {
		return nil, err
	} else if thumbprint != "" {
		if r.Thumbprint != "" && r.Thumbprint != thumbprint {
			return nil, wrong(errInvalidDPoP, "the DPoP proof is by another key than dpop_jkt names")
		}
		r.Thumbprint = thumbprint
	}
	token, err := p.store(ctx, c.client, r, !c.client.Confidential())
	c.status = http.StatusCreated
	return pushedAnswer{requestURI + token.Reveal(), int(PushedLasts / time.Second)}, err
}
