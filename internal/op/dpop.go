package op

import (
	"context"
	"net/http"

	"parvis/internal/application"
	"parvis/internal/application/proof"
	"parvis/internal/db"
)

const dpopScheme = "DPoP"

// proved checks the DPoP proof of a call (RFC 9449), which is the zero Proof if there is none and
// the client needs none. token is the access token that the call carries, if any. The caller that
// acts on the proof uses it, by useProof.
func (p *Provider) proved(r *http.Request, c application.Application, token string) (proof.Proof, error) {
	headers := r.Header.Values("DPoP")
	if len(headers) == 0 {
		if c.Settings.BoundOnly {
			return proof.Proof{}, Wrong(InvalidDPoP, "this client must prove a key (DPoP)")
		}
		return proof.Proof{}, nil
	}
	shown, err := proof.DPoP(headers, proof.DPoPExpectation{Method: r.Method, URL: p.Base + r.URL.Path, AccessToken: token, Now: p.DB.Now(), Since: p.DB.Restored})
	if err != nil {
		err = Wrong(InvalidDPoP, "the DPoP proof was refused: "+err.Error())
	}
	return shown, err
}

// useProof stores that a proof was used. A call that gives nothing uses none, or strangers could
// fill the table with proofs by keys of their own.
func (p *Provider) useProof(ctx context.Context, tx *db.Tx, shown proof.Proof) error {
	if shown.Thumbprint == "" {
		return nil
	}
	first, err := p.useOnce(ctx, tx, "dpop", shown.Thumbprint, shown.ID, tx.Now().Add(proof.Lasts))
	if err == nil && !first {
		err = Wrong(InvalidDPoP, "the DPoP proof was used before (jti)")
	}
	return err
}
