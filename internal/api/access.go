package api

import (
	"context"
	"net/http"

	"parvis/internal/access"
	"parvis/internal/api/form"
	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/directory"
)

var accessOperations = []*operation{
	reads(operation{ID: "api_tokens.list", Path: "/api-tokens", Scope: access.ReadAccess, Role: directory.Auditor}, listTokens),
	does(operation{ID: "api_tokens.revoke", Method: http.MethodDelete, Path: "/api-tokens/{id}", Scope: access.WriteAccess, Role: directory.Auditor},
		deed[at, form.Token]{do: revokeToken}),
	reads(operation{ID: "machines.list", Path: "/machines", Scope: access.ReadAccess, Role: directory.Auditor}, listMachines),
	reads(operation{ID: "machines.get", Path: "/machines/{id}", Scope: access.ReadAccess, Role: directory.Auditor},
		func(ctx context.Context, r db.Reader, x *call, in at) (form.Machine, error) {
			return showMachine(ctx, r, x, in.ID)
		}),
	does(operation{ID: "machines.grant", Method: http.MethodPost, Path: "/machines/{id}", Scope: access.WriteAccess, Role: directory.Administrator, Fresh: true, inPerson: true},
		deed[withBody[form.Right], form.Machine]{do: grantMachine, show: showMachine}),
	does(operation{ID: "machines.confirm", Method: http.MethodPost, Path: "/machines/{id}/confirm", Scope: access.WriteAccess, Role: directory.Administrator, Fresh: true, inPerson: true},
		deed[at, form.Machine]{do: confirmMachine, show: showMachine}),
	does(operation{ID: "machines.end", Method: http.MethodDelete, Path: "/machines/{id}", Scope: access.WriteAccess, Role: directory.Administrator, Fresh: true},
		deed[at, form.Machine]{do: endMachine}),
}

func listTokens(ctx context.Context, r db.Reader, x *call, _ struct{}) (form.Page[form.Token], error) {
	all, err := access.Tokens(ctx, r, x.Actor, x.org())
	return short(all, ofToken), err
}

func ofToken(t access.Token) form.Token {
	return form.Token{
		ID: t.ID, Name: t.Name, Owner: form.Named{ID: string(t.UserID), Name: t.Owner}, Scopes: texts(t.Scopes),
		CreatedAt: t.CreatedAt.UTC(), EndsAt: t.EndsAt.UTC(), UsedAt: moment(t.UsedAt), Network: t.Network, Over: t.Over,
	}
}

// texts returns scopes as they are sent.
func texts(scopes []access.Scope) []string {
	all := make([]string, 0, len(scopes))
	for _, s := range scopes {
		all = append(all, string(s))
	}
	return all
}

func revokeToken(ctx context.Context, tx *db.Tx, x *call, in at) (string, error) {
	return in.ID, access.Revoke(ctx, tx, x.Actor, x.org(), in.ID)
}

func listMachines(ctx context.Context, r db.Reader, x *call, _ struct{}) (form.Page[form.Machine], error) {
	all, err := access.Machines(ctx, r, x.Actor, x.org())
	return short(all, ofMachine), err
}

func ofMachine(m access.Machine) form.Machine {
	return form.Machine{
		Application: form.Named{ID: string(m.Client), Name: m.Name}, Scopes: texts(m.Scopes), Role: string(m.Role),
		GrantedBy: form.Named{ID: string(m.GrantedBy), Name: m.Giver}, GrantedAt: m.GrantedAt.UTC(), EndsAt: m.EndsAt.UTC(), Rests: m.Rests, Over: m.Over,
	}
}

func showMachine(ctx context.Context, r db.Reader, x *call, id string) (form.Machine, error) {
	m, err := access.MachineByClient(ctx, r, x.Actor, x.org(), application.ID(id))
	if err != nil {
		return form.Machine{}, err
	}
	return ofMachine(m), nil
}

func grantMachine(ctx context.Context, tx *db.Tx, x *call, in withBody[form.Right]) (string, error) {
	scopes := make([]access.Scope, len(in.Body.Scopes))
	for i, s := range in.Body.Scopes {
		scopes[i] = access.Scope(s)
	}
	_, err := access.GrantMachine(ctx, tx, x.Actor, x.org(), application.ID(in.ID), access.Right{
		Scopes: scopes, Role: directory.Role(in.Body.Role), Lasts: seconds(in.Body.LastsSeconds),
	})
	return in.ID, err
}

func confirmMachine(ctx context.Context, tx *db.Tx, x *call, in at) (string, error) {
	return in.ID, access.ConfirmMachine(ctx, tx, x.Actor, x.org(), application.ID(in.ID))
}

func endMachine(ctx context.Context, tx *db.Tx, x *call, in at) (string, error) {
	return in.ID, access.EndMachine(ctx, tx, x.Actor, x.org(), application.ID(in.ID))
}
