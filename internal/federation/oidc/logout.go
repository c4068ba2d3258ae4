package oidc

import (
	"context"
	"time"

	"parvis/internal/outbound"
	"parvis/internal/upstream"
)

// Logout is a provider's message that a session ended there.
type Logout struct {
	Subject string    // empty where it named only the session
	Session string    // its sid; empty where all of the subject's sessions ended
	ID      string    // of the token, which counts once
	Until   time.Time // when the token is too old in any case
}

const loggedOut = "http://schemas.openid.net/event/backchannel-logout"

// Logout judges a logout token that was posted for c. The returned keys are the ones to
// store.
func (c Connection) Logout(ctx context.Context, client *outbound.Client, p Provider, token string, kept Keys, now time.Time) (Logout, Keys, upstream.Trace, error) {
	var t upstream.Trace
	var l Logout
	keys, err := p.judged(ctx, &t, client, now, kept, func(t *upstream.Trace, keys Keys) (err error) {
		l, err = judgeLogout(t, token, c.expects(p, keys, now))
		return err
	})
	return l, keys, t, err
}

// JudgeLogoutToken returns whose session ended (OIDC Back-Channel Logout §2.6).
func JudgeLogoutToken(token string, want Expected) (Logout, upstream.Trace, error) {
	var t upstream.Trace
	l, err := judgeLogout(&t, token, want)
	return l, t, err
}

func judgeLogout(t *upstream.Trace, token string, want Expected) (l Logout, err error) {
	claims, _, err := open(t, token, want, "logout+jwt", false)
	if err != nil {
		return Logout{}, err
	}
	if err := requireAddressed(t, claims, want); err != nil {
		return Logout{}, err
	}
	if err := requireNow(t, claims, want.Now); err != nil {
		return Logout{}, err
	}
	events, err := parseObject(claims.members["events"])
	if err == nil {
		_, err = parseObject(events.members[loggedOut])
	}
	if err := t.Require("events", err == nil, loggedOut, claims.found("events")); err != nil {
		return Logout{}, err
	}
	// An ID token has a nonce, and a logout token never has.
	if err := t.Require("no_nonce", !claims.has("nonce"), "", ""); err != nil {
		return Logout{}, err
	}
	l.Session, _ = claims.text("sid")
	l.Subject, _ = claims.text("sub")
	if l.Session == "" || claims.has("sub") {
		if err := requireSubject(t, "subject", claims); err != nil {
			return Logout{}, err
		}
	}
	l.ID, _ = claims.text("jti")
	issued, _ := claims.time("iat")
	l.Until = issued.Add(mostAge + tolerance)
	return l, t.Require("token_id", l.ID != "" && len(l.ID) <= mostText, "jti", claims.found("jti"))
}
