package op

import (
	"parvis/internal/application"
	"parvis/internal/application/proof"
	"parvis/internal/edge"
)

const dpopScheme = "DPoP"

// bound checks the DPoP proof of a call (RFC 9449) and returns the thumbprint of its key, or
// an empty text if there is no proof and the client needs none. token is the access token
// that the call carries, if any.
func (p *Provider) bound(v *edge.Request, c application.Application, token string) (thumbprint string, err error) {
	headers := v.R.Header.Values("DPoP")
	if len(headers) == 0 {
		if c.Settings.BoundOnly {
			return "", Wrong(InvalidDPoP, "this client must prove a key (DPoP)")
		}
		return "", nil
	}
	now := p.DB.Now()
	shown, err := proof.DPoP(headers, proof.DPoPExpectation{Method: v.R.Method, URL: p.Base + v.R.URL.Path, AccessToken: token, Now: now})
	if err != nil {
		return "", Wrong(InvalidDPoP, "the DPoP proof was refused: "+err.Error())
	}
	first, err := p.useOnce(v.R.Context(), "dpop", shown.Thumbprint, shown.ID, now.Add(proof.Lasts))
	if err == nil && !first {
		err = Wrong(InvalidDPoP, "the DPoP proof was used before (jti)")
	}
	return shown.Thumbprint, err
}
