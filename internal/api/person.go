package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"time"

	"parvis/internal/access"
	"parvis/internal/api/form"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/personal"
	"parvis/internal/session"
)

// personOperations are about what one person has open, and has.
var personOperations = []*operation{
	reads(operation{ID: "users.sessions", Path: "/users/{id}/sessions", Scope: access.ReadPeople, Role: directory.Auditor}, listSessions),
	does(operation{ID: "users.end_session", Method: http.MethodDelete, Path: "/users/{id}/sessions/{session}", Scope: access.WritePeople, Role: directory.Helpdesk},
		deed[atSession, form.Session]{do: endSession}),
	exportsPerson(operation{ID: "users.export", Path: "/users/{id}/export", Scope: access.ReadPeople, also: []access.Scope{access.ReadAudit}, Role: directory.Administrator, Fresh: true}),
	reads(operation{ID: "users.authenticators", Path: "/users/{id}/authenticators", Scope: access.ReadPeople, Role: directory.Auditor}, showAuthenticators),
}

func listSessions(ctx context.Context, r db.Reader, x *call, in at) (form.Page[form.Session], error) {
	all, err := x.server.Administration.Sessions(ctx, r, x.Actor, x.org(), directory.UserID(in.ID))
	return short(all, ofSession), err
}

func ofSession(s session.Session) form.Session {
	out := form.Session{ID: s.ID, StartedAt: s.StartedAt.UTC(), SeenAt: s.SeenAt.UTC(), Methods: append([]string{}, strings.Fields(s.Methods)...), Agent: s.Agent}
	if s.ConnectionID != "" {
		out.ConnectionID = &s.ConnectionID
	}
	return out
}

// atSession names a session of a user.
type atSession struct {
	ID      string `path:"id"`
	Session string `path:"session"`
}

func endSession(ctx context.Context, tx *db.Tx, x *call, in atSession) (string, error) {
	err := x.server.Administration.EndSession(ctx, tx, x.Actor, x.org(), directory.UserID(in.ID), in.Session)
	if errors.Is(err, session.ErrOver) {
		err = directory.ErrNotFound
	}
	return in.Session, err
}

func showAuthenticators(ctx context.Context, r db.Reader, x *call, in at) (out form.Authenticators, err error) {
	p, err := x.server.Administration.Person(ctx, r, x.Actor, x.org(), directory.UserID(in.ID))
	if err != nil {
		return out, err
	}
	out.RecoveryCodes, out.Required = p.Factors.Recovery, p.Required
	for _, a := range p.Factors.Apps {
		add(&out.Apps, a.UsedAt)
	}
	for _, k := range p.Factors.Passkeys {
		add(&out.Passkeys, k.UsedAt)
	}
	return out, nil
}

// add counts an authenticator that was last used at a time, which is zero before the first.
func add(to *form.Owned, used time.Time) {
	to.Count++
	if to.LastUsedAt == nil || used.After(*to.LastUsedAt) {
		to.LastUsedAt = moment(used)
	}
}

// exportsPerson writes everything that is kept of a person, as the console does. What fails after the
// first line cuts the file off, which is no JSON then.
func exportsPerson(o operation) *operation {
	o.Method, o.status, o.in, o.files = http.MethodGet, http.StatusOK, reflect.TypeFor[at](), []string{personal.Media}
	o.run = func(ctx context.Context, x *call) error {
		in, err := input[at](x)
		if err != nil {
			return err
		}
		f, err := personal.Collect(ctx, x.server.DB, x.Actor, x.org(), directory.UserID(in.ID))
		if err != nil {
			return err
		}
		x.W.Header().Set("Content-Type", personal.Media)
		if err := x.Stream(func(w io.Writer) error { return f.Write(ctx, w) }); err != nil {
			x.Answer(err) // which logs it
			panic(http.ErrAbortHandler)
		}
		return nil
	}
	return &o
}
