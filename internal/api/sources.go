package api

import (
	"context"
	"net/http"
	"reflect"
	"time"

	"parvis/internal/access"
	"parvis/internal/api/form"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/provisioning"
)

var sourceOperations = []*operation{
	reads(operation{ID: "sources.list", Path: "/sources", Scope: access.ReadConnections, Role: directory.Auditor}, listSources),
	does(operation{ID: "sources.create", Method: http.MethodPost, Path: "/sources", Scope: access.WriteConnections, Role: directory.Administrator, status: http.StatusCreated},
		deed[struct{ Body form.NewSource }, form.Source]{do: createSource, show: showSource}),
	source.gets(operation{ID: "sources.get", Path: "/sources/{id}", Scope: access.ReadConnections, Role: directory.Auditor}),
	source.patches(operation{ID: "sources.change", Path: "/sources/{id}", Scope: access.WriteConnections, Role: directory.Administrator}),
	does(operation{ID: "sources.delete", Method: http.MethodDelete, Path: "/sources/{id}", Scope: access.WriteConnections, Role: directory.Administrator, Fresh: true},
		deed[at, form.Source]{do: deleteSource}),
	turnsSource(operation{ID: "sources.turn_on", Path: "/sources/{id}/turn-on", Fresh: true}, provisioning.On),
	turnsSource(operation{ID: "sources.watch", Path: "/sources/{id}/watch"}, provisioning.Watching),
	turnsSource(operation{ID: "sources.stop", Path: "/sources/{id}/stop"}, provisioning.Stopped),
	reads(operation{ID: "sources.tokens", Path: "/sources/{id}/tokens", Scope: access.ReadConnections, Role: directory.Auditor}, listSourceTokens),
	does(operation{ID: "sources.revoke_token", Method: http.MethodDelete, Path: "/sources/{id}/tokens/{token}", Scope: access.WriteConnections, Role: directory.Administrator},
		deed[sourceToken, form.Source]{do: revokeSourceToken}),
	reads(operation{ID: "sources.calls", Path: "/sources/{id}/calls", Scope: access.ReadConnections, Role: directory.Auditor}, listSourceCalls),
	checksCall(operation{ID: "sources.check", Path: "/sources/{id}/check", Scope: access.WriteConnections, Role: directory.Administrator}),
	reads(operation{ID: "sources.conflicts", Path: "/sources/{id}/conflicts", Scope: access.ReadConnections, Role: directory.Auditor}, listConflicts),
	does(operation{ID: "sources.agree", Method: http.MethodPost, Path: "/sources/{id}/conflicts/{conflict}/agree", Scope: access.WriteConnections, Role: directory.Administrator, Fresh: true},
		deed[conflict, form.Source]{do: settles(true), show: showSource}),
	does(operation{ID: "sources.dismiss", Method: http.MethodPost, Path: "/sources/{id}/conflicts/{conflict}/dismiss", Scope: access.WriteConnections, Role: directory.Administrator},
		deed[conflict, form.Source]{do: settles(false), show: showSource}),
	does(operation{ID: "sources.adopt_members", Method: http.MethodPost, Path: "/sources/{id}/adopt-members", Scope: access.WriteConnections, Role: directory.Administrator, Fresh: true},
		deed[at, form.Source]{do: adoptMembers, show: showSource}),
}

// sourceToken names a token of a source, and conflict what it asked for.
type (
	sourceToken struct {
		at
		Token string `path:"token"`
	}
	conflict struct {
		at
		Conflict string `path:"conflict"`
	}
)

func sourceSettings(s form.SourceSettings) provisioning.Settings {
	n := provisioning.Settings{Name: s.Name, Provider: provisioning.Provider(s.Provider), Invites: s.Invites}
	if s.ConnectionID != nil {
		n.ConnectionID = *s.ConnectionID
	}
	return n
}

func ofSourceSettings(s provisioning.Source) form.SourceSettings {
	return form.SourceSettings{Name: s.Name, Provider: string(s.Provider), ConnectionID: optional(s.ConnectionID), Invites: s.Invites}
}

func (x *call) ofSource(s provisioning.Source, waiting int) form.Source {
	return form.Source{
		ID: s.ID, SourceSettings: ofSourceSettings(s),
		State: string(s.State), Address: x.server.Base + "/scim/v2/" + s.ID, Brake: s.Brake, Waiting: waiting,
		CreatedAt: s.CreatedAt.UTC(), UsedAt: moment(s.UsedAt), Network: optional(s.Network),
	}
}

func listSources(ctx context.Context, r db.Reader, x *call, _ struct{}) (form.Page[form.Source], error) {
	all, err := provisioning.Sources(ctx, r, x.Actor, x.org())
	if err != nil {
		return form.Page[form.Source]{}, err
	}
	waiting, err := provisioning.CountWaiting(ctx, r, x.Actor, x.org())
	return short(all, func(s provisioning.Source) form.Source { return x.ofSource(s, waiting[s.ID]) }), err
}

func showSource(ctx context.Context, r db.Reader, x *call, id string) (form.Source, error) {
	s, err := provisioning.SourceByID(ctx, r, x.Actor, x.org(), id)
	if err != nil {
		return form.Source{}, err
	}
	waiting, err := provisioning.CountWaiting(ctx, r, x.Actor, x.org())
	return x.ofSource(s, waiting[id]), err
}

var source = document[form.SourceSettings, form.Source]{
	read: func(ctx context.Context, r db.Reader, x *call, at at) (form.SourceSettings, error) {
		s, err := showSource(ctx, r, x, at.ID)
		return s.SourceSettings, err
	},
	write: func(ctx context.Context, tx *db.Tx, x *call, at at, was, now form.SourceSettings) error {
		return x.changeSource(ctx, tx, at.ID, sourceSettings(was), sourceSettings(now))
	},
	show: func(ctx context.Context, r db.Reader, x *call, at at) (form.Source, error) {
		return showSource(ctx, r, x, at.ID)
	},
}

func createSource(ctx context.Context, tx *db.Tx, x *call, in struct{ Body form.NewSource }) (string, error) {
	s, err := x.server.Sources.Create(ctx, tx, x.Actor, x.org(), sourceSettings(form.SourceSettings(in.Body)), true)
	return s.ID, err
}

// changeSource gives a source other settings. By which connection its people come in says whom a
// provider may link, so another one wants a fresh proof, as a change of a connection does.
func (x *call) changeSource(ctx context.Context, tx *db.Tx, id string, was, now provisioning.Settings) error {
	if was.ConnectionID != now.ConnectionID {
		if err := x.fresh(); err != nil {
			return err
		}
	}
	_, err := x.server.Sources.Change(ctx, tx, x.Actor, x.org(), id, now)
	return err
}

func deleteSource(ctx context.Context, tx *db.Tx, x *call, in at) (string, error) {
	return in.ID, x.server.Sources.Delete(ctx, tx, x.Actor, x.org(), in.ID)
}

// turnsSource completes an operation that gives a source another state.
func turnsSource(o operation, to provisioning.State) *operation {
	o.Method, o.Scope, o.Role = http.MethodPost, access.WriteConnections, directory.Administrator
	return does(o, deed[at, form.Source]{
		do: func(ctx context.Context, tx *db.Tx, x *call, in at) (string, error) {
			return in.ID, x.server.Sources.Turn(ctx, tx, x.Actor, x.org(), in.ID, to)
		},
		show: showSource,
	})
}

func listSourceTokens(ctx context.Context, r db.Reader, x *call, in at) (form.Page[form.SourceToken], error) {
	if _, err := showSource(ctx, r, x, in.ID); err != nil {
		return form.Page[form.SourceToken]{}, err
	}
	all, err := provisioning.Tokens(ctx, r, x.Actor, x.org(), in.ID)
	return short(all, func(t provisioning.Token) form.SourceToken {
		return form.SourceToken{ID: t.ID, CreatedAt: t.CreatedAt.UTC(), EndsAt: t.EndsAt.UTC(), UsedAt: moment(t.UsedAt)}
	}), err
}

func revokeSourceToken(ctx context.Context, tx *db.Tx, x *call, in sourceToken) (string, error) {
	return in.ID, x.server.Sources.Revoke(ctx, tx, x.Actor, x.org(), in.ID, in.Token)
}

type listedCalls struct {
	listing
	at
}

// callPlace is where a page of calls begins: below a call.
type callPlace struct {
	At time.Time `json:"a"`
	ID string    `json:"i"`
}

func listSourceCalls(ctx context.Context, r db.Reader, x *call, in listedCalls) (form.Page[form.SourceCall], error) {
	var page form.Page[form.SourceCall]
	s, err := provisioning.SourceByID(ctx, r, x.Actor, x.org(), in.ID)
	if err != nil {
		return page, err
	}
	var place callPlace
	limit, err := x.begin(in.listing, &place)
	if err != nil {
		return page, err
	}
	all, err := provisioning.Calls(ctx, r, x.Actor, s, provisioning.Call{At: place.At, ID: place.ID}, limit+1)
	if err != nil {
		return page, err
	}
	if len(all) > limit {
		all = all[:limit]
		page.Next = x.next(callPlace{all[limit-1].At, all[limit-1].ID})
	}
	page.Items = make([]form.SourceCall, 0, len(all))
	for _, c := range all {
		page.Items = append(page.Items, form.SourceCall{
			ID: c.ID, At: c.At.UTC(), Method: c.Method, Path: c.Path, Outcome: string(c.Outcome), Did: x.sentences(c.Did), Notes: x.sentences(c.Notes),
		})
	}
	return page, nil
}

func (x *call) sentences(reasons []fault.Reason) []string {
	all := make([]string, 0, len(reasons))
	for _, r := range reasons {
		all = append(all, x.lang.Text(r.Key, r.Pairs()...))
	}
	return all
}

// checksCall says what a call of a directory would do, which is undone: dry run or not makes no
// difference, and there is nothing to repeat under a key.
func checksCall(o operation) *operation {
	o.Method, o.status, o.many, o.in, o.out = http.MethodPost, http.StatusOK, true, reflect.TypeFor[withBody[form.SentCall]](), reflect.TypeFor[form.CheckedCall]()
	o.run = func(ctx context.Context, x *call) error {
		in, err := input[withBody[form.SentCall]](x)
		switch {
		case err != nil:
			return err
		case x.R.Header.Get("Idempotency-Key") != "":
			return errNoKey
		}
		c, err := x.server.Sources.Check(ctx, x.Actor, x.org(), in.ID, provisioning.Sent{Method: in.Body.Method, Path: in.Body.Path, Body: []byte(in.Body.Body)})
		if err != nil {
			return err
		}
		return x.answer(o.status, form.CheckedCall{Method: c.Method, Path: c.Path, Outcome: string(c.Outcome), Did: x.sentences(c.Did), Notes: x.sentences(c.Notes)})
	}
	return &o
}

// mostConflicts is how much of what waits is listed; the next moves up as it is decided.
const mostConflicts = 200

func listConflicts(ctx context.Context, r db.Reader, x *call, in at) (form.Page[form.SourceConflict], error) {
	s, err := provisioning.SourceByID(ctx, r, x.Actor, x.org(), in.ID)
	if err != nil {
		return form.Page[form.SourceConflict]{}, err
	}
	all, err := provisioning.WaitingFor(ctx, r, x.Actor, s, mostConflicts)
	return short(all, func(w provisioning.Waiting) form.SourceConflict {
		return form.SourceConflict{
			ID: w.ID, Kind: string(w.Kind), Subject: w.Subject, Name: w.Name, Email: optional(w.Details.Email), AskedAt: w.AskedAt.UTC(), LastAt: w.LastAt.UTC(), Times: w.Times,
			Asked: x.lang.Text("console.provisioning.waits."+string(w.Kind), "Name", w.Name, "Email", w.Details.Email),
		}
	}), err
}

func settles(agreed bool) func(context.Context, *db.Tx, *call, conflict) (string, error) {
	return func(ctx context.Context, tx *db.Tx, x *call, in conflict) (string, error) {
		return in.ID, x.server.Sources.Settle(ctx, tx, x.Actor, provisioning.Source{OrgID: x.org(), ID: in.ID}, in.Conflict, agreed)
	}
}

func adoptMembers(ctx context.Context, tx *db.Tx, x *call, in at) (string, error) {
	_, err := x.server.Sources.AdoptMembers(ctx, tx, x.Actor, x.org(), in.ID)
	return in.ID, err
}
