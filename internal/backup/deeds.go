package backup

import (
	"context"

	"parvis/internal/audit"
	"parvis/internal/db"
)

// A deed is what a restore does about an action that an audit export names since the backup. What the
// event says enough of is done again; otherwise what it may have taken away is void. Nothing is done
// about what a restore voids anyway, about what only added something, which the backup does not have,
// and about what opens nothing.
type deed struct {
	action audit.Action
	kind   kind
	// Of several events of a subject about one target, only the last counts; empty where each does.
	subject string
	does    doing
	why     string
}

// A kind of deed, as the list of a restore names it.
type kind string

const (
	passes kind = ""
	again  kind = "again"
	voids  kind = "void"
)

// doing carries a deed out, and returns how many rows it changed.
type doing func(ctx context.Context, tx *db.Tx, e Event) (int64, error)

// A step changes the rows of a table for which where holds by set, or removes them where set is empty.
// {org}, {target}, {actor} and {at} are those of the event, {now} is the restore's time, and {field_…} is
// the text of a field of the event.
type step struct{ table, set, where string }

// steps carries out one step after the other.
func steps(all ...step) doing {
	return func(ctx context.Context, tx *db.Tx, e Event) (n int64, err error) {
		for _, s := range all {
			changed, err := s.take(ctx, tx, e)
			if err != nil {
				return 0, err
			}
			n += changed
		}
		return n, nil
	}
}

const (
	thisUser   = "org_id = {org} and id = {target}"
	ofUser     = "org_id = {org} and user_id = {target}"
	thisObject = "org_id = {org} and id = {target}"
)

// shutOut deactivates the event's target, by somebody here: no directory lets them in again.
var shutOut = steps(step{"users", "state = 'deactivated', deactivated_at = coalesce(deactivated_at, {at}), shut_out_by = null, changed_at = {now}",
	thisUser + " and deleted_at is null and (deactivated_at is null or shut_out_by is not null)"})

// distrust switches a connection off until an administrator has tested and an owner confirmed it again.
var distrust = steps(step{"connections", "state = case when state = 'on' then 'off' else state end, tested_at = null, confirmed_at = null",
	thisObject + " and (state = 'on' or tested_at is not null or confirmed_at is not null)"})

// withoutRight ends a machine's right in the organization.
var withoutRight = steps(step{"machine_rights", "", "org_id = {org} and client_id = {target}"})

// deeds has each action of the log, by what it is about; a test finds one that is missing.
var deeds = []deed{
	// Who is shut out or lowered.
	{"user.deactivated", again, "standing", shutOut, "somebody was shut out"},
	{"user.restored", again, "standing", shutOut, "who comes back is shut out until they are reactivated"},
	{"user.reactivated", passes, "standing", nil, "as in the backup: who was in is in"},
	{"user.deleted", again, "standing", steps(step{"users", "state = 'deleted', deactivated_at = coalesce(deactivated_at, {at}), deleted_at = {at}, changed_at = {now}",
		thisUser + " and deleted_at is null"}), "somebody was deleted"},
	{"user.erased", again, "", steps(
		step{"images", "", "org_id = {org} and id in (select picture from users where " + thisUser + ")"},
		step{"users", "", thisUser}), "with all that is theirs"},
	{"audit.erased", again, "", nil, "what the log has of the person is erased behind the epoch's first leaf"},
	{"user.role_changed", again, "role", lower, "lowered, never raised"},
	{"user.disowned", again, "", steps(step{"passwords", "disabled_at = coalesce(disabled_at, {at})", ofUser}), "it was not them: their password is disabled"},
	{"user.email_changed", again, "address", readdress, "links go to the address; whose is not known is shut out"},
	{"user.created", passes, "", nil, "is not there"},
	{"user.picture_changed", passes, "", nil, "opens nothing"},
	{"user.profile_changed", passes, "", nil, "opens nothing"},
	{"user.source_changed", passes, "", nil, "sources come with no token"},
	{"email_change.requested", passes, "", nil, "links are void"},
	{"email_change.withdrawn", passes, "", nil, "links are void"},
	{"group.member_removed", again, "", leave, "groups open applications"},
	{"group.deleted", again, "", steps(step{"groups", "", thisObject}), "groups open applications"},
	{"group.created", passes, "", nil, "is not there"},
	{"group.member_added", passes, "", nil, "is not in it"},
	{"group.renamed", passes, "", nil, "opens nothing"},
	{"group.source_changed", passes, "", nil, "sources come with no token"},
	{"organization.suspended", again, "suspension", steps(step{"organizations", "suspended_at = coalesce(suspended_at, {at})", "id = {org} and suspended_at is null"}), "it was closed"},
	{"organization.resumed", passes, "suspension", nil, "as in the backup"},
	{"organization.deleted", again, "deletion", steps(step{"organizations", "deleted_at = {at}, suspended_at = coalesce(suspended_at, {at})", "id = {target} and deleted_at is null"}), "it was closed, and goes in its time"},
	{"organization.restored", passes, "deletion", nil, "as in the backup"},
	{"organization.removed", passes, "", nil, "it was deleted before, which is done again"},
	{"organization.created", passes, "", nil, "is not there"},
	{"organization.changed", passes, "", nil, "opens nothing"},
	{"user.exported", passes, "", nil, "opens nothing"},
	{"organization.logo_changed", passes, "", nil, "opens nothing"},

	// How people prove who they are.
	{"password.changed", voids, "", noPassword, "the one of the backup may be known to others"},
	{"password.removed", again, "", noPassword, "it was taken away"},
	{"password.change_demanded", again, "", steps(step{"passwords", "change_at = coalesce(change_at, {at})", ofUser}), "the next sign-in makes a new one"},
	{"device.removed", again, "", steps(step{"totp_seeds", "", thisObject}, step{"passkeys", "", thisObject}), "it was taken away"},
	{"second_step.reset", again, "", steps(step{"totp_seeds", "", ofUser}, step{"passkeys", "", ofUser}), "all were taken away"},
	{"identity.unlinked", again, "", unlink, "it was taken away"},
	{"device.added", passes, "", nil, "is not there"},
	{"device.renamed", passes, "", nil, "opens nothing"},
	{"identity.approved", passes, "", nil, "is not there"},
	{"identity.linked", passes, "", nil, "is not there"},
	{"recovery_code.used", passes, "", nil, "recovery codes are void"},
	{"recovery_codes.made", passes, "", nil, "recovery codes are void"},
	{"reset.sent", passes, "", nil, "links are void"},
	{"second_step.help_asked", passes, "", nil, "changes nothing"},

	// What connections trust.
	{"connection.changed", voids, "", distrust, "what it trusts was changed"},
	{"connection.change_taken", voids, "", distrust, "what it trusts was changed"},
	{"connection.confirmed", voids, "", distrust, "what it trusts was confirmed again"},
	{"connection.renewed", voids, "", distrust, "what it trusts was changed"},
	{"connection.removed", again, "", steps(
		step{"images", "", "org_id = {org} and id in (select logo from connections where " + thisObject + ")"},
		step{"connections", "", thisObject}), "with all links of it"},
	{"connection.turned_off", again, "switch", steps(step{"connections", "state = 'off'", thisObject + " and state = 'on'"}), "nobody came in by it"},
	{"connection.turned_on", passes, "switch", nil, "as in the backup"},
	{"connection.created", passes, "", nil, "is not there"},
	{"connection.change_entered", passes, "", nil, "what waits to be trusted is void"},
	{"connection.change_discarded", passes, "", nil, "what waits to be trusted is void"},
	{"connection.link_opened", passes, "", nil, "links are void"},
	{"connection.link_sent", passes, "", nil, "links are void"},
	{"connection.link_withdrawn", passes, "", nil, "links are void"},
	{"connection.logo_changed", passes, "", nil, "opens nothing"},
	{"connection.moved", passes, "", nil, "opens nothing"},
	{"domain.removed", again, "", steps(step{"domains", "", thisObject}), "it was given up"},
	{"domain.lapsed", again, "", steps(step{"domains", "lapsed_at = {at}", thisObject + " and lapsed_at is null"}), "its record was missing for too long"},
	{"domain.added", passes, "", nil, "is not there"},
	{"domain.proven", passes, "", nil, "is not there"},
	{"domain.missing", passes, "", nil, "the record is looked up at once"},
	{"domain.found", passes, "", nil, "the record is looked up at once"},

	// Rules.
	{"access_rules.changed", voids, "", steps(step{"access_rules", "", "org_id = {org}"}), "the usual rule is the strictest"},
	{"session_rules.changed", again, "session rules", shorterSessions, "the stricter of the two"},
	{"password_rules.changed", again, "password rules", stricterPasswords, "the stricter of the two"},
	{"second_step_rules.changed", again, "second step rules", stricterSecondStep, "the stricter of the two"},
	{"single_sign_on.only", again, "only", federate, "passwords did not open it any more, nor passkeys but of the owners that it names"},
	{"single_sign_on.not_only", passes, "only", nil, "as in the backup"},
	{"audit.keeping_changed", again, "keeping", keep, "what was held is held"},

	// Applications and machines.
	{"application.changed", voids, "", forbid, "whom it trusts was changed: nobody signs in to it until an administrator allows it"},
	{"application.removed", again, "", removeApplication, "it was taken away"},
	{"application.placed", again, "placed", place, "who may sign in to it, never more than in the backup"},
	{"consent.withdrawn", again, "", steps(step{"consents", "", "org_id = {org} and user_id = {actor} and client_id = {target}"}), "it was taken back"},
	{"machine.ended", again, "", withoutRight, "it was taken away"},
	{"machine.granted", voids, "", withoutRight, "it may have been less"},
	{"machine.rests", again, "", steps(step{"machine_rights", "rests_at = coalesce(rests_at, {at})", "org_id = {org} and client_id = {target}"}), "its writing rests"},
	{"operator.ended", again, "", steps(step{"operator_rights", "", "client_id = {target}"}), "it was taken away"},
	{"operator.granted", voids, "", steps(step{"operator_rights", "", "client_id = {target}"}), "it may have been less"},
	{"machine.confirmed", passes, "", nil, "as in the backup, with its end"},
	{"application.registered", passes, "", nil, "is not there"},
	{"application.secret_added", passes, "", nil, "client secrets are void"},
	{"application.secret_removed", passes, "", nil, "client secrets are void"},
	{"application.opened", passes, "", nil, "what it got is void"},
	{"client.refused", passes, "", nil, "changes nothing"},
	{"consent.given", passes, "", nil, "is asked again"},
	{"device.answered", passes, "", nil, "codes are void"},
	{"grant.ended", passes, "", nil, "what it got is void"},
	{"key.created", passes, "", nil, "signing keys are new, always"},
	{"installation_key.used", passes, "", nil, "the keys are those that the backup needs"},
	{"installation_key.retired", passes, "", nil, "the keys are those that the backup needs"},
	{"operator.called", passes, "", nil, "what it did has its own events"},

	// Invitations, tokens, sources and webhooks: a restore leaves none of them that opens anything.
	{"bootstrap.created", passes, "", nil, "links are void"},
	{"invitation.accepted", passes, "", nil, "links are void"},
	{"invitation.refused", passes, "", nil, "links are void"},
	{"invitation.resent", passes, "", nil, "links are void"},
	{"invitation.sent", passes, "", nil, "links are void"},
	{"invitation.withdrawn", passes, "", nil, "links are void"},
	{"people.imported", passes, "", nil, "are not there"},
	{"people.import_undone", passes, "", nil, "each person has an event"},
	{"people.exported", passes, "", nil, "changes nothing"},
	{"token.issued", passes, "", nil, "tokens are void"},
	{"token.revoked", passes, "", nil, "tokens are void"},
	{"source.changed", passes, "", nil, "tokens are void"},
	{"source.created", passes, "", nil, "is not there"},
	{"source.deleted", passes, "", nil, "tokens are void"},
	{"source.settled", passes, "", nil, "tokens are void"},
	{"source.token_issued", passes, "", nil, "tokens are void"},
	{"source.token_revoked", passes, "", nil, "tokens are void"},
	{"source.turned", passes, "", nil, "tokens are void"},
	{"webhook.changed", passes, "", nil, "webhooks are off"},
	{"webhook.created", passes, "", nil, "is not there"},
	{"webhook.parked", passes, "", nil, "webhooks are off"},
	{"webhook.removed", passes, "", nil, "webhooks are off"},
	{"webhook.replayed", passes, "", nil, "webhooks are off"},
	{"webhook.resumed", passes, "", nil, "webhooks are off"},
	{"webhook.secret_rotated", passes, "", nil, "signing secrets are void"},
	{"webhook.turned_off", passes, "", nil, "webhooks are off"},
	{"webhook.turned_on", passes, "", nil, "webhooks are off"},

	// Who came, and what the log says of itself.
	{"signin.done", passes, "", nil, "sessions are void"},
	{"signin.proved_again", passes, "", nil, "sessions are void"},
	{"signin.refused", passes, "", nil, "changes nothing"},
	{"session.all_ended", passes, "", nil, "sessions are void"},
	{"session.ended", passes, "", nil, "sessions are void"},
	{"single_logout.refused", passes, "", nil, "changes nothing"},
	{"letter.refused", passes, "", nil, "changes nothing"},
	{"application.logout_failed", passes, "", nil, "sessions are void"},
	{"bootstrap.refused", passes, "", nil, "changes nothing"},
	{"password.list_unreadable", passes, "", nil, "changes nothing"},
	{"connection.link_refused", passes, "", nil, "changes nothing"},
	{"user.link_refused", passes, "", nil, "changes nothing"},
	{"request.refused", passes, "", nil, "changes nothing"},
	{"audit.chain_ended", passes, "", nil, "of an older version"},
	{"audit.checkpoint", passes, "", nil, "changes nothing"},
	{"audit.exported", passes, "", nil, "changes nothing"},
	{"audit.removed", passes, "", nil, "is removed again by its age"},
	{"audit.restored", passes, "", nil, "begins an epoch, whose log has another key: no export of it continues the backup's"},
}

// noPassword takes a person's password.
var noPassword = steps(step{"passwords", "", ofUser})

// deedOf returns what is done about an action; false for one that this version does not know.
func deedOf(action audit.Action) (deed, bool) {
	d, known := byAction[action]
	return d, known
}

var byAction = func() map[audit.Action]deed {
	all := make(map[audit.Action]deed, len(deeds))
	for _, d := range deeds {
		all[d.action] = d
	}
	return all
}()
