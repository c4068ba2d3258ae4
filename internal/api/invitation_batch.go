package api

import (
	"context"
	"fmt"

	"parvis/internal/access"
	"parvis/internal/administration"
	"parvis/internal/administration/sheet"
	"parvis/internal/api/form"
	"parvis/internal/directory"
	"parvis/internal/fault"
)

var invitationBatchOperations = []*operation{
	together(operation{ID: "invitations.batch", Path: "/invitations/batch", Scope: access.WritePeople, Role: directory.Helpdesk}, inviteBatch),
}

var (
	errNoInvitation    = fault.Field("invitations", "api.no_invitation")
	errManyInvitations = fault.Field("invitations", "api.many_invitations")
)

// inviteBatch invites several people as the console's file of people does: each is judged beside
// all the others, and those are invited of whom nothing is wrong.
func inviteBatch(ctx context.Context, x *call, in form.InvitationBatch) (form.InvitationFates, error) {
	switch n := len(in.Invitations); {
	case n == 0:
		return form.InvitationFates{}, errNoInvitation
	case n > sheet.Most:
		return form.InvitationFates{}, errManyInvitations.With("Most", sheet.Most)
	}
	var file sheet.File
	for i, one := range in.Invitations {
		if one.Role != "" {
			if err := x.gives(directory.Role(one.Role)); err != nil {
				return form.InvitationFates{}, err
			}
		}
		file.Lines = append(file.Lines, sheet.Line{Number: i + 1, Email: one.Email, Name: one.Name, Role: one.Role, Language: one.Language})
	}
	fates, err := x.invited(ctx, file)
	if err != nil {
		return form.InvitationFates{}, err
	}
	out := form.InvitationFates{Items: make([]form.InvitationFate, 0, len(fates))}
	for i, f := range fates {
		one := form.InvitationFate{Pointer: fmt.Sprintf("/invitations/%d", i), Done: f.Invited(), Errors: []form.Wrong{}}
		if f.Sent != "" && one.Done {
			one.InvitationID = &f.Sent
		}
		for _, why := range f.Reasons {
			w := form.Wrong{Pointer: one.Pointer, Code: why.Key, Detail: x.sentence(why)}
			if why.Field != "" {
				w.Pointer += "/" + renamed(why.Field)
			}
			one.Errors = append(one.Errors, w)
		}
		if one.Done {
			out.Done++
		}
		out.Items = append(out.Items, one)
	}
	return out, nil
}

// invited invites the people of a list of whom nothing is wrong, unless it is only tried.
func (x *call) invited(ctx context.Context, f sheet.File) ([]administration.LineFate, error) {
	org, err := directory.OrganizationByID(ctx, x.server.DB, x.org())
	if err != nil {
		return nil, err
	}
	fates, err := x.server.Administration.PreviewFile(ctx, x.Actor, org, f)
	if err != nil || x.dry {
		return fates, err
	}
	var numbers []int
	for _, fate := range fates {
		if fate.Invited() {
			numbers = append(numbers, fate.Number)
		}
	}
	return x.server.Administration.InviteFile(ctx, x.Actor, org, f, numbers)
}
