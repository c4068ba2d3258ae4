package oidc

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"parvis/internal/jose"
	"parvis/internal/outbound"
	"parvis/internal/upstream"
)

// Provider is what a provider says of itself by discovery (OIDC Discovery §3).
type Provider struct {
	Issuer        string   `json:"issuer"`
	Authorization string   `json:"authorization_endpoint"`
	Token         string   `json:"token_endpoint"`
	Keys          string   `json:"jwks_uri"`
	UserInfo      string   `json:"userinfo_endpoint,omitempty"`
	EndSession    string   `json:"end_session_endpoint,omitempty"`
	Algorithms    []string `json:"id_token_signing_alg_values_supported"` // only those that we know
	Methods       []Method `json:"token_endpoint_auth_methods_supported,omitempty"`
	NamesIssuer   bool     `json:"authorization_response_iss_parameter_supported,omitempty"`
	TellsLogout   bool     `json:"backchannel_logout_supported,omitempty"`
}

const (
	mostDocument = 256 << 10 // bytes of JSON that a provider answers with
	wellKnown    = "/.well-known/openid-configuration"
)

// Discover asks a connection's issuer for what the provider supports.
func (c Connection) Discover(ctx context.Context, client *outbound.Client) (Provider, upstream.Trace, error) {
	var t upstream.Trace
	p, err := c.discover(ctx, &t, client)
	return p, t, err
}

func (c Connection) discover(ctx context.Context, t *upstream.Trace, client *outbound.Client) (p Provider, err error) {
	issuer := c.issuer()
	u, err := url.Parse(issuer)
	// OIDC Core §2, iss: https, with neither query nor fragment.
	good := err == nil && client.Admits(issuer) && u.RawQuery == "" && !u.ForceQuery && u.Fragment == "" && !strings.Contains(issuer, "#")
	if err := t.Require("issuer_address", good, "https://…", shown(issuer)); err != nil {
		return p, err
	}
	document, err := fetch(ctx, t, "discovery", client, strings.TrimSuffix(issuer, "/")+wellKnown)
	if err != nil {
		return p, err
	}
	var announced struct {
		Provider
		Challenges []string `json:"code_challenge_methods_supported"`
		Responses  []string `json:"response_types_supported"`
	}
	if err := t.Require("discovery", json.Unmarshal(document.Body, &announced) == nil, "JSON", kind(document)); err != nil {
		return p, err
	}
	p = announced.Provider
	if err := t.Require("tenant", !strings.Contains(p.Issuer, forAll[0]), "the id of one tenant", shown(p.Issuer)); err != nil {
		return p, err
	}
	if err := t.Require("issuer", p.Issuer == issuer, issuer, shown(p.Issuer)); err != nil { // OIDC Discovery §4.3
		return p, err
	}
	if err := p.requireEndpoints(t, client); err != nil {
		return p, err
	}
	if err := t.Require("response_type", slices.Contains(announced.Responses, "code"), "code", shown(strings.Join(announced.Responses, ", "))); err != nil {
		return p, err
	}
	// Entra announces no challenge methods, yet supports S256.
	pkce := announced.Challenges == nil || slices.Contains(announced.Challenges, "S256")
	if err := t.Require("pkce", pkce, "S256", shown(strings.Join(announced.Challenges, ", "))); err != nil {
		return p, err
	}
	offered := p.Algorithms
	p.Algorithms = jose.Known(offered)
	return p, t.Require("algorithms", len(c.algorithms(p)) > 0, strings.Join(jose.Algorithms, ", "), shown(strings.Join(offered, ", ")))
}

func (p Provider) requireEndpoints(t *upstream.Trace, client *outbound.Client) error {
	for _, e := range []struct {
		name, address string
		optional      bool
	}{
		{"authorization_endpoint", p.Authorization, false}, {"token_endpoint", p.Token, false}, {"jwks_uri", p.Keys, false},
		{"userinfo_endpoint", p.UserInfo, true}, {"end_session_endpoint", p.EndSession, true},
	} {
		if e.optional && e.address == "" {
			continue
		}
		good := client.Admits(e.address) && !strings.Contains(e.address, "#")
		if err := t.Require("endpoints", good, e.name+": https://…", e.name+": "+shown(e.address)); err != nil {
			return err
		}
	}
	return nil
}

// fetch gets a small JSON document.
func fetch(ctx context.Context, t *upstream.Trace, check string, client *outbound.Client, address string) (outbound.Response, error) {
	w, err := client.Get(ctx, address, mostDocument)
	return w, t.Require(check, err == nil, shown(address), reason(err))
}

// kind is all that we show of a document that is not what it should be: its address may
// lead to an allowed host that tells us what it tells nobody else.
func kind(w outbound.Response) string {
	return w.StatusText() + " " + shown(w.Header.Get("Content-Type"))
}

// reason returns why a request failed, in outbound's own words, which are safe to show.
func reason(err error) string {
	if err == nil {
		return http.StatusText(http.StatusOK)
	}
	return err.Error()
}
