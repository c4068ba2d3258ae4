package backup

// A fate is what a restore does with a table. What a backup holds may have been revoked, used or
// lowered since it was made, and nobody remembers. So a table is kept where nothing in it opens
// anything; what opens something is void; and what somebody may have changed since, because it was
// wrong or known to others, holds only where the operator says so (--as-of-backup).
type fate struct {
	table  string
	always change
	unsure change // without --as-of-backup, after always
	why    string
}

// A change removes the rows for which where holds, or changes them by set. {now} is the time of the
// restore in microseconds, {step} that of an authenticator's code, counted in 30 seconds.
type change struct {
	does       bool
	set, where string
}

var nothing = change{}

func empty() change                 { return change{does: true} }
func set(set string) change         { return change{does: true, set: set} }
func sets(set, where string) change { return change{does: true, set: set, where: where} }

// fates lists every table; a test finds one that is missing. They are worked through in this order,
// in which each table comes before those that its foreign keys name.
var fates = []fate{
	// Ways in that are under way, and what was already let in.
	{"upstream_sessions", empty(), nothing, "sessions are void"},
	{"sessions", empty(), nothing, "sessions are void"},
	{"attempts", empty(), nothing, "attempts are void, with every proof in them"},
	{"authorization_requests", empty(), nothing, "what an application asked is asked again"},
	{"upstream_requests", empty(), nothing, "an answer to an earlier request opens nothing"},
	{"upstream_responses", empty(), nothing, "as the requests"},
	{"browsers", empty(), nothing, "their cookies are void"},
	{"grants", empty(), nothing, "codes, refresh tokens and access tokens are void"},
	{"device_codes", empty(), nothing, "codes are void"},
	{"pushed_requests", empty(), nothing, "what an application asked is asked again"},
	{"logouts", empty(), nothing, "sessions of before cannot be named any more"},

	// One-time links, and the letters that carry them.
	{"resets", empty(), nothing, "links are void"},
	{"reset_requests", empty(), nothing, "links are void"},
	{"email_changes", empty(), nothing, "links are void"},
	{"disavowals", empty(), nothing, "links are void"},
	{"bootstraps", empty(), nothing, "links are void"},
	{"setup_links", empty(), nothing, "links are void"},
	{"invitations", sets("withdrawn_at = {now}", "accepted_at is null and withdrawn_at is null and replaced_at is null"), nothing,
		"links are void; a withdrawn one is not sent again by its button"},
	{"letters", sets("given_up_at = {now}, next_try_at = null, parameters = null", "next_try_at is not null"), nothing,
		"what waits carries a link, or tells again what was told"},

	// Tokens, secrets and keys.
	{"api_tokens", empty(), nothing, "tokens are void"},
	{"source_tokens", empty(), nothing, "tokens are void"},
	{"client_secrets", empty(), nothing, "client secrets are void"},
	{"webhook_retries", empty(), nothing, "what was not taken is in the log"},
	{"webhook_secrets", empty(), nothing, "signing secrets are void"},
	{"webhook_attempts", nothing, nothing, "what was sent"},
	{"webhooks", sets("state = 'off', parked_at = null, told_at = null, next_try_at = null", "state = 'on'"), nothing,
		"without its secret nothing can be signed: rotate it, then turn it on"},
	{"keys", empty(), nothing, "signing keys are new, always"},
	{"federation_keys", empty(), nothing, "signing keys are new, always"},
	{"answers", empty(), nothing, "what a program did since is not there any more"},

	// What remembers that something came: it is kept, and what is older than the restore is refused.
	{"replays", nothing, nothing, "refuses what it knows"},
	{"used_proofs", nothing, nothing, "refuses what it knows"},
	{"upstream_replays", nothing, nothing, "refuses what it knows"},
	{"limits", nothing, nothing, "slows whom it slowed"},

	// How people prove who they are.
	{"recovery_codes", empty(), nothing, "recovery codes are void"},
	{"totp_seeds", set("last_step = {step}"), empty(), "every code that was shown is spent; an app may have been removed since"},
	{"passkeys", nothing, empty(), "a passkey may have been removed since"},
	{"passwords", nothing, empty(), "a password may have been changed since, because others knew it"},
	{"password_history", nothing, nothing, "refuses passwords of before"},
	{"password_costs", nothing, nothing, "how many passwords have which cost"},

	// Customers' providers.
	{"identity_requests", empty(), nothing, "a link is asked for again"},
	{"identities", nothing, empty(), "a link may have been removed since"},
	{"connection_changes", empty(), nothing, "what waits to be trusted is entered again"},
	{"upstream_traces", nothing, nothing, "what was checked"},
	{"connections", nothing, sets("state = 'off'", "state = 'on'"), "what is trusted may have been changed since"},
	{"only_warnings", empty(), nothing, "is noticed again"},

	// Applications, machines and directories.
	{"consents", nothing, empty(), "may have been taken back since"},
	{"client_uses", nothing, nothing, "what was used"},
	{"client_organizations", nothing, nothing, "the organization is closed until the operator has looked"},
	{"machine_rights", nothing, empty(), "may have been ended since"},
	{"operator_rights", nothing, empty(), "may have been ended since"},
	{"clients", nothing, nothing, "without a secret; whoever proves a key has no right without its organization"},
	{"source_calls", nothing, nothing, "what was called"},
	{"source_waiting", nothing, nothing, "waits for an administrator"},
	{"provisioned", nothing, nothing, "what a directory said of a person"},
	{"sources", nothing, nothing, "without a token nobody comes as a directory"},
	{"region_checks", nothing, nothing, "names that another region has"},

	// Rules: without the operator's word the stricter of those of the backup and the usual ones.
	{"access_rules", nothing, empty(), "the usual rule is the strictest"},
	{"session_rules", nothing, set("idle = case when idle < {idle} then idle else {idle} end, absolute = case when absolute < {absolute} then absolute else {absolute} end"),
		"may have been tightened since"},
	{"second_step_rules", nothing, set("privileged = true, passwordless = false, required_from = case when required_from < {now} then required_from else {now} end"),
		"may have been tightened since"},
	{"password_rules", nothing, set("minimum_length = case when minimum_length < {length} then {length} else minimum_length end"),
		"may have been tightened since"},

	// Who there is.
	{"imported", nothing, nothing, "whom an import brought: it goes on, and is undone, as before"},
	{"import_organizations", nothing, nothing, "as the people"},
	{"imports", nothing, nothing, "as the people"},
	{"active_people", nothing, nothing, "who was there"},
	{"active_days", nothing, nothing, "how many were there"},
	{"members", nothing, nothing, "of people who are shut out"},
	{"groups", nothing, nothing, "as they were"},
	{"images", nothing, nothing, "as they were"},
	{"domains", sets("checked_at = 0", "checked_at is not null"), nothing, "the record in the DNS is looked up at once"},
	{"users", set("generation = generation + 1, disowned_at = {now}"),
		set("has_password = false, linked = false, second_step = 'none', passwordless_at = null, break_glass_since = null, " +
			"role = case when role = 'owner' then role else 'member' end, " +
			"state = case when role = 'owner' or deleted_at is not null then state else 'deactivated' end, " +
			"deactivated_at = case when role = 'owner' then deactivated_at else coalesce(deactivated_at, {now}) end"),
		"a new generation voids what was forgotten here, remembered browsers are strangers; somebody may have been shut out or lowered since"},
	{"former_short_names", nothing, nothing, "as they were"},
	{"organizations", nothing, set("suspended_at = coalesce(suspended_at, {now}), federated_since = null"), "one may have been suspended since"},

	// The audit log goes on, in a new epoch.
	{"audit_events", nothing, nothing, "what happened"},
	{"audit_logs", nothing, nothing, "goes on"},
	{"audit_tiles", nothing, nothing, "goes on"},
	{"audit_checkpoints", nothing, nothing, "goes on"},
	{"audit_keys", nothing, nothing, "those of earlier epochs, which verify what was signed then"},
	{"audit_epochs", nothing, nothing, "those of before"},
	{"audit_seals", nothing, nothing, "of an older version"},
	{"audit_days", nothing, nothing, "counts"},

	// What belongs to processes that run.
	{"leases", empty(), nothing, "their holders are gone"},
	{"changes", empty(), nothing, "whoever remembered is gone"},
	{"nodes", empty(), nothing, "they are gone"},
	{"installation", nothing, nothing, "which keys and migrations it had"},
}
