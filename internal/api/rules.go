package api

import (
	"context"
	"time"

	"parvis/internal/access"
	"parvis/internal/api/form"
	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/session"
	"parvis/internal/signin"
)

var rulesOperations = []*operation{
	passwordRules.gets(operation{ID: "rules.password.get", Path: "/rules/password", Scope: access.ReadSettings, Role: directory.Auditor}),
	passwordRules.puts(operation{ID: "rules.password.set", Path: "/rules/password", Scope: access.WriteSettings, Role: directory.Administrator, Fresh: true}),
	secondStepRules.gets(operation{ID: "rules.second_step.get", Path: "/rules/second-step", Scope: access.ReadSettings, Role: directory.Auditor}),
	secondStepRules.puts(operation{ID: "rules.second_step.set", Path: "/rules/second-step", Scope: access.WriteSettings, Role: directory.Administrator, Fresh: true}),
	sessionRules.gets(operation{ID: "rules.sessions.get", Path: "/rules/sessions", Scope: access.ReadSettings, Role: directory.Auditor}),
	sessionRules.puts(operation{ID: "rules.sessions.set", Path: "/rules/sessions", Scope: access.WriteSettings, Role: directory.Administrator, Fresh: true}),
}

// rulesOf is a document that is written as it is shown.
func rulesOf[T any](
	read func(ctx context.Context, r db.Reader, org directory.OrgID) (T, error),
	write func(ctx context.Context, tx *db.Tx, x *call, now T) error,
) document[T, T] {
	mayRead := func(ctx context.Context, r db.Reader, x *call, _ at) (T, error) {
		if err := x.Actor.MayRead(ctx, r, x.org()); err != nil {
			return *new(T), err
		}
		return read(ctx, r, x.org())
	}
	return document[T, T]{
		read: mayRead, show: mayRead,
		write: func(ctx context.Context, tx *db.Tx, x *call, _ at, _, now T) error { return write(ctx, tx, x, now) },
	}
}

var passwordRules = rulesOf(
	func(ctx context.Context, r db.Reader, org directory.OrgID) (form.PasswordRules, error) {
		rules, err := credential.RulesOf(ctx, r, org)
		return form.PasswordRules{
			Preset: string(rules.Preset), MinimumLength: rules.MinimumLength, MaximumLength: rules.MaximumLength, Digit: rules.Digit,
			UpperCase: rules.UpperCase, LowerCase: rules.LowerCase, Special: rules.Special, History: rules.History,
			ResetLifetimeSeconds: whole(rules.ResetLifetime),
		}, err
	},
	func(ctx context.Context, tx *db.Tx, x *call, now form.PasswordRules) error {
		return signin.SetPasswordRules(ctx, tx, x.Actor, x.org(), credential.Rules{
			Preset: credential.Preset(now.Preset), MinimumLength: now.MinimumLength, MaximumLength: now.MaximumLength, Digit: now.Digit,
			UpperCase: now.UpperCase, LowerCase: now.LowerCase, Special: now.Special, History: now.History,
			ResetLifetime: seconds(now.ResetLifetimeSeconds),
		})
	})

var secondStepRules = rulesOf(
	func(ctx context.Context, r db.Reader, org directory.OrgID) (form.SecondStepRules, error) {
		rules, err := signin.SecondStepRulesOf(ctx, r, org)
		return form.SecondStepRules{
			RequiredFrom: moment(rules.RequiredFrom), Privileged: rules.Privileged, Tolerance: rules.Tolerance, Passwordless: rules.Passwordless,
		}, err
	},
	func(ctx context.Context, tx *db.Tx, x *call, now form.SecondStepRules) error {
		rules := signin.SecondStepRules{Privileged: now.Privileged, Tolerance: now.Tolerance, Passwordless: now.Passwordless}
		if now.RequiredFrom != nil {
			rules.RequiredFrom = now.RequiredFrom.Truncate(time.Microsecond)
		}
		return signin.SetSecondStepRules(ctx, tx, x.Actor, x.org(), rules)
	})

var sessionRules = rulesOf(
	func(ctx context.Context, r db.Reader, org directory.OrgID) (form.SessionRules, error) {
		rules, err := session.RulesOf(ctx, r, org)
		return form.SessionRules{IdleSeconds: whole(rules.Idle), AbsoluteSeconds: whole(rules.Absolute)}, err
	},
	func(ctx context.Context, tx *db.Tx, x *call, now form.SessionRules) error {
		return session.SetRules(ctx, tx, x.Actor, x.org(), session.Rules{Idle: seconds(now.IdleSeconds), Absolute: seconds(now.AbsoluteSeconds)})
	})
