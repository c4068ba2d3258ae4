package personal

// A kept is what a table has of one person. Each column is either given or held, and a test finds one
// that is neither. {org}, {person}, {email}, {key}, {picture} and {call} are the organization, the
// person's id, address, folded address and picture, and the path of a directory's calls about them.
type kept struct {
	table string
	where string // empty where the table has nothing that is given
	gives string // columns
	holds string // columns, besides those of withheld
	why   string // it, or these columns, are held
}

// withheld are columns that are given of no table: of the organization and the person there is one
// file, and what a list is searched and sorted by is the name and the address once more.
var withheld = map[string]bool{"org_id": true, "user_id": true, "search_key": true, "email_key": true, "token_hash": true, "generation": true}

const (
	ofPerson = "org_id = {org} and user_id = {person}"

	// An address that somebody asked for and did not prove is another's, whose letters are not theirs.
	addresses = `(select u.email from users u where u.org_id = {org} and u.id = {person}
		union select c.email from email_changes c where c.org_id = {org} and c.user_id = {person} and c.proved_at is not null
		union select d.email from disavowals d where d.org_id = {org} and d.user_id = {person})`
)

// tables lists every table; a test finds one that is missing.
var tables = []kept{
	// Who the person is.
	{"users", "org_id = {org} and id = {person}", "id email email_since display_name given_name family_name role state language time_zone created_at changed_at profile_since " +
		"last_sign_in_at deactivated_at deleted_at disowned_at second_step has_password linked passwordless_at break_glass_since source_id external_id shut_out_by deleted_by moved_from picture",
		"signed_in_at voided_at", "the last sign-in once more; where a sweep looks first"},
	{"images", "org_id = {org} and id = {picture}", "id content created_at", "", ""},
	{"groups", `org_id = {org} and id in (select m.group_id from members m where m.org_id = {org} and m.user_id = {person})`, "id name",
		"name_key created_at source_id external_id changed_at", "of the group"},
	{"members", ofPerson, "group_id added_at", "", ""},
	{"email_changes", ofPerson, "id email requested_by asked_kind created_at expires_at proved_at replaced_at", "letter_id proved_from asked_right", "hash of a browser's cookie, and names of rows"},
	{"disavowals", ofPerson, "id email restores device created_at expires_at used_at", "letter_id", "name of a row"},
	{"invitations", "org_id = {org} and (user_id = {person} or email_key = {key})",
		"id email display_name role language invited_by asked_kind created_at expires_at opened_at accepted_at withdrawn_at replaced_at", "letter_id asked_right", "names of rows"},
	{"letters", "org_id = {org} and recipient in " + addresses, "id kind recipient language time_zone created_at next_try_at tries sent_at bounced_at given_up_at ends_at reply",
		"parameters", "they carry links"},
	{"imported", "org_id = {org} and (user_id = {person} or email_key = {key})", "import_id line invitation_id", "", ""},
	{"provisioned", ofPerson, "document", "", ""},
	{"source_calls", "org_id = {org} and path like {call}", "id source_id at method path outcome did notes", "", ""},
	{"source_waiting", "org_id = {org} and subject = {person}", "id source_id kind subject name details asked_at last_at times settled_at", "settled_by", "who settled it; it stands in the events"},

	// How they prove it.
	{"passwords", ofPerson, "set_at failures disabled_at change_at", "hash", "what a password is compared with"},
	{"password_history", ofPerson, "id set_at", "hash", "what a password is compared with"},
	{"resets", ofPerson, "id created_at expires_at used_at replaced_at", "letter_id", "name of a row"},
	{"totp_seeds", ofPerson, "id name created_at confirmed_at used_at", "seed bound_to last_step", "what codes are computed from"},
	{"passkeys", ofPerson, "id name created_at used_at", "credential_id user_handle record", "what an answer of the passkey is compared with"},
	{"recovery_codes", ofPerson, "id created_at used_at", "hash", "what a code is compared with"},
	{"identities", ofPerson, "connection_id issuer subject email created created_at used_at", "", ""},
	{"identity_requests", ofPerson, "trace_id connection_id issuer subject email", "", ""},
	{"upstream_traces", "org_id = {org} and (user_id = {person} or tester = {person})", "id connection_id at tester refused who checks claims network", "browser_id rehearsal",
		"of a browser; what a test would have done"},
	{"api_tokens", ofPerson, "id name scopes created_at ends_at used_at network", "", ""},

	// Where they were, and what they used.
	{"sessions", ofPerson, "id browser_id methods started_at proved_at second_at seen_at resumed_at switched_at network agent connection_id until ended_at end_reason", "", ""},
	{"attempts", ofPerson, "id browser_id connection_id client_id invitation_id login_hint evidence anew fresh created_at ended_at", "reset_id return_path form link_request",
		"links, and what was typed"},
	{"active_people", ofPerson, "day", "", ""},
	{"client_uses", ofPerson, "client_id uses used_at", "", ""},
	{"consents", ofPerson, "client_id scope given_at", "", ""},
	{"grants", ofPerson, "id client_id session_id scope code_used_at created_at ends_at ended_at end_reason", "details code_hash family_hash refresh_hash previous_hash previous_until",
		"what tokens are compared with"},
	{"logouts", ofPerson, "id client_id session_id created_at next_try_at tries tried_at told_at reply", "", ""},
	{"machine_rights", "org_id = {org} and granted_by = {person}", "client_id scopes role granted_by granted_at ends_at rests_at", "used_at network", "of the machine"},
	{"setup_links", "org_id = {org} and email in " + addresses, "id connection_id email created_at expires_at opened_at withdrawn_at", "letter_id created_by asked_kind asked_right",
		"who sent it; it stands in the events"},

	// Events are given as the activity page shows them: see events.
	{table: "audit_events", why: "given by itself, as events"},

	// What is about nobody, or cannot be told to be about somebody.
	{table: "access_rules", why: "of the organization"},
	{table: "active_days", why: "a count"},
	{table: "answers", why: "hashes, for a day"},
	{table: "audit_checkpoints", why: "of the log"},
	{table: "audit_days", why: "counts"},
	{table: "audit_epochs", why: "of the log"},
	{table: "audit_keys", why: "of the log"},
	{table: "audit_logs", why: "of the log"},
	{table: "audit_seals", why: "of the log"},
	{table: "audit_tiles", why: "hashes"},
	{table: "authorization_requests", why: "what an application asked in a browser, for an hour"},
	{table: "bootstraps", why: "the first owner's link, of whom it knows nothing"},
	{table: "browsers", why: "hashes of a cookie, which several people may share; what is known of the browser stands in their sessions"},
	{table: "changes", why: "ids of rows, for a minute"},
	{table: "client_organizations", why: "of the organization"},
	{table: "client_secrets", why: "of an application"},
	{table: "clients", why: "of an application"},
	{table: "connection_changes", why: "of a connection; who entered one stands in the events"},
	{table: "connections", why: "of a connection"},
	{table: "device_codes", why: "hashes, for 20 minutes; what became of one stands in the grants"},
	{table: "domains", why: "of the organization"},
	{table: "federation_keys", why: "of the installation"},
	{table: "former_short_names", why: "of the organization"},
	{table: "import_organizations", why: "of the organization"},
	{table: "imports", why: "of a file"},
	{table: "installation", why: "of the installation"},
	{table: "keys", why: "of the installation"},
	{table: "leases", why: "of processes"},
	{table: "limits", why: "keyed hashes, which nobody can turn back"},
	{table: "nodes", why: "of processes"},
	{table: "only_warnings", why: "of the organization"},
	{table: "operator_rights", why: "of an application"},
	{table: "organizations", why: "of the organization"},
	{table: "password_costs", why: "counts"},
	{table: "password_rules", why: "of the organization"},
	{table: "pushed_requests", why: "what an application asked, for 2 minutes"},
	{table: "region_checks", why: "of the organization"},
	{table: "replays", why: "hashes, for 5 minutes"},
	{table: "reset_requests", why: "what somebody typed, until it is answered a second later"},
	{table: "second_step_rules", why: "of the organization"},
	{table: "session_rules", why: "of the organization"},
	{table: "source_tokens", why: "of a directory"},
	{table: "sources", why: "of a directory"},
	{table: "upstream_replays", why: "hashes"},
	{table: "upstream_requests", why: "sealed, for an hour"},
	{table: "upstream_responses", why: "what a provider said before anybody was found in it, for 2 minutes"},
	{table: "upstream_sessions", why: "by what a provider names a session; it stands in the identities"},
	{table: "used_proofs", why: "keyed hashes"},
	{table: "webhook_attempts", why: "what was sent, without its content"},
	{table: "webhook_retries", why: "ids of events"},
	{table: "webhook_secrets", why: "of a webhook"},
	{table: "webhooks", why: "of a webhook"},
}
