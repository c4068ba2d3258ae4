-- +goose Up
-- One text for SQLite and PostgreSQL. Every tenant table's primary key begins
-- with org_id, so an organization's rows stay together when an engine spreads
-- them over machines. Instants are microseconds since 1970 in UTC.

create table installation (
  name  text not null constraint installation_pk primary key,
  value text not null
);

create table leases (
  name    text   not null constraint leases_pk primary key,
  holder  text   not null,
  ends_at bigint not null
);

create table limits (
  id         text    not null constraint limits_pk primary key,  -- a keyed hash: tells nobody's address
  taken      bigint  not null,
  free       bigint  not null,  -- from this many takes on, each one makes the next wait
  first      bigint  not null,  -- microseconds of the first wait
  most       bigint  not null,  -- microseconds that no wait exceeds
  delay      bigint  not null,  -- the last wait; doubles with each take
  free_at    bigint  not null,  -- a take before is refused
  allowed    boolean not null,  -- what the last take was answered
  expires_at bigint  not null   -- all is forgotten from then on
);
create index limits_expires_at on limits (expires_at);

create table organizations (
  id                   text   not null constraint organizations_pk primary key,
  short_name           text   not null,
  short_name_key       text   not null,  -- folded in Go: the two databases disagree about lower()
  short_name_skeleton  text   not null,  -- folded and mapped by look: no two names look alike (UTS #39)
  display_name         text   not null,
  display_name_skeleton text  not null,
  language             text   not null,
  contact              text   not null,  -- whom its people ask for help, in its own words; may be empty
  logo                 text,             -- id of an image
  invitation_lifetime  bigint not null,  -- microseconds
  created_at           bigint not null,
  suspended_at         bigint,
  federated_since      bigint,           -- since when single sign-on is the only way in
  constraint organizations_short_name_key_uq unique (short_name_key),
  constraint organizations_short_name_skeleton_uq unique (short_name_skeleton),
  constraint organizations_display_name_skeleton_uq unique (display_name_skeleton)
);
create index organizations_suspended_at on organizations (suspended_at) where suspended_at is not null;


-- A short name that an organization gave up: it leads to the new one for a
-- while, and nobody else gets it.
create table former_short_names (
  short_name_key      text   not null constraint former_short_names_pk primary key,
  short_name_skeleton text   not null,
  org_id              text   not null references organizations (id),
  ends_at             bigint not null
);

create table users (
  org_id          text   not null references organizations (id),
  id              text   not null,
  email           text   not null,
  email_key       text   not null,
  email_since     bigint,           -- since when this address; null is the first one
  display_name    text   not null,
  search_key      text   not null,  -- folded name and address, for the administrator's search
  role            text   not null,
  language        text   not null,
  time_zone       text   not null,  -- IANA name; empty is UTC
  picture         text,             -- id of an image
  created_at      bigint not null,
  last_sign_in_at bigint,
  deactivated_at  bigint,
  deleted_at      bigint,           -- deactivated too; erased a while later
  generation      bigint not null,  -- sessions, attempts and links of an earlier one are void
  voided_at       bigint,           -- when the generation last changed: where a sweep looks first
  disowned_at     bigint,           -- browsers remembered until then are strangers again
  passwordless_at bigint,           -- when the user last chose to do without a password
  break_glass_since bigint,         -- its passkeys open where single sign-on is the only way in
  constraint users_pk primary key (org_id, id)
);
-- A deleted user's address is free again.
create index users_deleted_at on users (deleted_at) where deleted_at is not null;
create unique index users_org_id_email_key_uq on users (org_id, email_key) where deleted_at is null;
create index users_email_key on users (email_key);
create index users_voided_at on users (voided_at) where voided_at is not null;
create index users_org_id_created_at on users (org_id, created_at, id);

create table images (
  org_id     text   not null references organizations (id),
  id         text   not null,
  content    text   not null,  -- base64 of a PNG that we encoded
  created_at bigint not null,
  constraint images_pk primary key (org_id, id)
);

create table groups (
  org_id     text   not null references organizations (id),
  id         text   not null,
  name       text   not null,
  name_key   text   not null,  -- folded: no two of an organization differ in case or form only
  created_at bigint not null,
  constraint groups_pk primary key (org_id, id),
  constraint groups_org_id_name_key_uq unique (org_id, name_key)
);

create table members (
  org_id   text   not null,
  group_id text   not null,
  user_id  text   not null,
  added_at bigint not null,
  constraint members_pk primary key (org_id, group_id, user_id),
  constraint members_groups_fk foreign key (org_id, group_id) references groups (org_id, id) on delete cascade,
  constraint members_users_fk foreign key (org_id, user_id) references users (org_id, id) on delete cascade
);
create index members_user on members (org_id, user_id);

create table letters (
  org_id      text   not null,  -- empty for a letter of the whole installation
  id          text   not null,
  kind        text   not null,
  recipient   text   not null,
  language    text   not null,
  parameters  text,             -- sealed; erased by the statement that ends the letter
  created_at  bigint not null,
  next_try_at bigint,           -- null once the letter has ended
  tries       bigint not null,
  sent_at     bigint,
  bounced_at  bigint,           -- the mail server refused it for good
  given_up_at bigint,           -- withdrawn, or too old to be of use
  reply       text,             -- what the mail server last said
  constraint letters_pk primary key (org_id, id)
);
create index letters_next_try_at on letters (next_try_at);
create index letters_recipient on letters (org_id, recipient, created_at);

create table invitations (
  org_id       text   not null references organizations (id),
  id           text   not null,
  email        text   not null,
  email_key    text   not null,
  display_name text   not null,
  search_key   text   not null,
  role         text   not null,
  language     text   not null,
  token_hash   text   not null,
  letter_id    text   not null,
  invited_by   text,             -- null when the operator invited
  created_at   bigint not null,
  expires_at   bigint not null,
  opened_at    bigint,           -- its form was sent once
  accepted_at  bigint,
  user_id      text,             -- who accepted
  withdrawn_at bigint,
  replaced_at  bigint,           -- sent again: this link died for a newer one
  constraint invitations_pk primary key (org_id, id),
  constraint invitations_token_hash_uq unique (token_hash),
  constraint invitations_users_fk foreign key (org_id, user_id) references users (org_id, id) on delete cascade
);
-- An address has at most one open invitation in an organization.
create unique index invitations_open_uq on invitations (org_id, email_key)
  where accepted_at is null and withdrawn_at is null and replaced_at is null;
create index invitations_email_key on invitations (email_key);
create index invitations_org_id_created_at on invitations (org_id, created_at, id);

-- The proof from a new address; the old one stays in force until it is made.
create table email_changes (
  org_id       text   not null,
  id           text   not null,
  user_id      text   not null,
  email        text   not null,
  email_key    text   not null,
  token_hash   text   not null,
  letter_id    text   not null,
  requested_by text   not null,  -- a user id
  generation   bigint not null,
  created_at   bigint not null,
  expires_at   bigint not null,
  proved_at    bigint,
  replaced_at  bigint,           -- asked anew, or withdrawn
  constraint email_changes_pk primary key (org_id, id),
  constraint email_changes_token_hash_uq unique (token_hash),
  constraint email_changes_users_fk foreign key (org_id, user_id) references users (org_id, id) on delete cascade
);
create index email_changes_user on email_changes (org_id, user_id);
create index email_changes_expires_at on email_changes (expires_at);

-- Mail domains that organizations say are theirs. Many may list one, of which the
-- one that proved it by a record in the DNS holds it.
create table domains (
  org_id           text   not null references organizations (id),
  id               text   not null,
  domain_key       text   not null,  -- A-labels in lower case, as in addresses
  proof            text   not null,  -- random: what the record holds
  created_at       bigint not null,
  proven_at        bigint,           -- null while it waits
  checked_at       bigint,           -- when the DNS was last asked
  missing_since    bigint,           -- the DNS says that there is no such record
  unanswered_since bigint,           -- the DNS says nothing
  lapsed_at        bigint,           -- its record was missing for too long
  constraint domains_pk primary key (org_id, id),
  constraint domains_org_id_domain_key_uq unique (org_id, domain_key)
);
create unique index domains_held_uq on domains (domain_key) where proven_at is not null and lapsed_at is null;
create index domains_checked_at on domains (checked_at) where proven_at is not null and lapsed_at is null;

-- 'This was not me': the link in letters that tell somebody what was done.
create table disavowals (
  org_id     text   not null,
  id         text   not null,
  user_id    text   not null,
  token_hash text   not null,
  email      text   not null,  -- the address that the letter went to
  restores   boolean not null, -- and brings back, where the letter told of a change of it
  device     text,             -- id of the device that the letter told of, to be removed again; or 'recovery_codes'
  created_at bigint not null,
  expires_at bigint not null,
  used_at    bigint,
  constraint disavowals_pk primary key (org_id, id),
  constraint disavowals_token_hash_uq unique (token_hash),
  constraint disavowals_users_fk foreign key (org_id, user_id) references users (org_id, id) on delete cascade
);
create index disavowals_expires_at on disavowals (expires_at);

create table bootstraps (
  id         text   not null constraint bootstraps_pk primary key,
  token_hash text   not null,
  created_at bigint not null,
  expires_at bigint not null,
  used_at    bigint,
  constraint bootstraps_token_hash_uq unique (token_hash)
);

create table passwords (
  org_id      text   not null,
  user_id     text   not null,
  hash        text   not null,
  set_at      bigint not null,
  failures    bigint not null,  -- in a row, of passwords that were really compared
  disabled_at bigint,           -- at one hundred failures, or disowned; only a reset brings one back
  change_at   bigint,           -- somebody asked for a new one: the next sign-in creates it
  constraint passwords_pk primary key (org_id, user_id),
  constraint passwords_users_fk foreign key (org_id, user_id) references users (org_id, id) on delete cascade
);

create table password_history (
  org_id  text   not null,
  user_id text   not null,
  id      text   not null,
  hash    text   not null,
  set_at  bigint not null,
  constraint password_history_pk primary key (org_id, user_id, id),
  constraint password_history_users_fk foreign key (org_id, user_id) references users (org_id, id) on delete cascade
);

-- One row for every address that somebody typed, known or not, so that nothing
-- tells them apart; a sweep finds the users and writes the letters.
create table reset_requests (
  id           text   not null constraint reset_requests_pk primary key,
  kind         text   not null,  -- what was asked: password, names, or guessed
  email        text   not null,
  organization text   not null,  -- as typed; may be empty
  language     text   not null,
  network      text   not null,
  created_at   bigint not null
);
create index reset_requests_created_at on reset_requests (created_at);

create table resets (
  org_id      text   not null,
  id          text   not null,
  user_id     text   not null,
  email_key   text   not null,  -- the address that the link went to
  token_hash  text   not null,
  letter_id   text   not null,
  generation  bigint not null,
  created_at  bigint not null,
  expires_at  bigint not null,
  used_at     bigint,
  replaced_at bigint,
  constraint resets_pk primary key (org_id, id),
  constraint resets_token_hash_uq unique (token_hash),
  constraint resets_users_fk foreign key (org_id, user_id) references users (org_id, id) on delete cascade
);
create index resets_user on resets (org_id, user_id);
create index resets_expires_at on resets (expires_at);

create table password_rules (
  org_id         text    not null constraint password_rules_pk primary key references organizations (id),
  preset         text    not null,
  minimum_length bigint  not null,
  maximum_length bigint  not null,
  digit          boolean not null,
  upper_case     boolean not null,
  lower_case     boolean not null,
  special        boolean not null,
  history        bigint  not null,
  reset_lifetime bigint  not null   -- microseconds that the link of a reset lives
);

create table second_step_rules (
  org_id        text    not null constraint second_step_rules_pk primary key references organizations (id),
  required_from bigint,           -- everybody who signs in natively needs one from then on; null leaves it to each
  privileged    boolean not null, -- owners and administrators need one
  tolerance     bigint  not null, -- steps of 30 seconds that an app's clock may differ by: 0 or 1
  passwordless  boolean not null  -- a passkey that verified its user is enough
);

create table totp_seeds (
  org_id       text   not null,
  id           text   not null,
  user_id      text   not null,
  name         text   not null,
  seed         text   not null,  -- sealed for this row
  bound_to     text   not null,  -- the attempt or session that began it
  last_step    bigint not null,  -- of the last code that was accepted: none works twice, nor an older one
  created_at   bigint not null,
  confirmed_at bigint,           -- null until the first right code
  used_at      bigint,
  constraint totp_seeds_pk primary key (org_id, id),
  constraint totp_seeds_users_fk foreign key (org_id, user_id) references users (org_id, id) on delete cascade
);
create index totp_seeds_user on totp_seeds (org_id, user_id);

create table passkeys (
  org_id        text    not null,
  id            text    not null,
  user_id       text    not null,
  name          text    not null,
  credential_id text    not null,  -- base64url
  user_handle   text    not null,  -- base64url of 64 random bytes, the same for all of a user's
  record        text    not null,  -- the credential record (WebAuthn L3 §4) as JSON
  created_at    bigint  not null,
  used_at       bigint,
  constraint passkeys_pk primary key (org_id, id),
  constraint passkeys_credential_id_uq unique (credential_id),
  constraint passkeys_users_fk foreign key (org_id, user_id) references users (org_id, id) on delete cascade
);
create index passkeys_user on passkeys (org_id, user_id);

create table recovery_codes (
  org_id     text   not null,
  id         text   not null,
  user_id    text   not null,
  hash       text   not null,  -- the set's codes share cost, pepper and salt
  created_at bigint not null,
  used_at    bigint,
  constraint recovery_codes_pk primary key (org_id, id),
  constraint recovery_codes_users_fk foreign key (org_id, user_id) references users (org_id, id) on delete cascade
);
create index recovery_codes_user on recovery_codes (org_id, user_id);

-- What may happen once: the hash of a challenge that was answered.
create table replays (
  id         text   not null constraint replays_pk primary key,
  expires_at bigint not null
);
create index replays_expires_at on replays (expires_at);

create table session_rules (
  org_id   text   not null constraint session_rules_pk primary key references organizations (id),
  idle     bigint not null,  -- microseconds
  absolute bigint not null   -- microseconds
);

create table browsers (
  id            text   not null constraint browsers_pk primary key,
  token_hash    text   not null,
  previous_hash text,
  previous_until bigint,
  rotated_at    bigint not null,
  created_at    bigint not null,
  constraint browsers_token_hash_uq unique (token_hash),
  constraint browsers_previous_hash_uq unique (previous_hash)
);

create table sessions (
  org_id     text   not null,
  id         text   not null,
  user_id    text   not null,
  browser_id text   not null references browsers (id) on delete cascade,
  generation bigint not null,  -- of the user when it began
  methods    text   not null,  -- amr values (RFC 8176), separated by spaces
  started_at bigint not null,
  proved_at  bigint not null,  -- when a factor was last proved: what step-up asks
  second_at  bigint,           -- when a second factor was: assurance decays from then
  seen_at    bigint not null,  -- when the person last did something, coarsely
  resumed_at bigint,           -- when the person last came back after an hour without
  switched_at bigint,          -- when the person last chose it among those of the browser
  network    text   not null,
  agent      text   not null,
  connection_id text,          -- of the identity provider that vouched; null is a native sign-in
  until      bigint,           -- no later than then, as that provider said
  ended_at   bigint,
  end_reason text,
  constraint sessions_pk primary key (org_id, id),
  constraint sessions_users_fk foreign key (org_id, user_id) references users (org_id, id) on delete cascade
);
-- A browser holds at most one session per organization.
create unique index sessions_browser_id_org_id_uq on sessions (browser_id, org_id) where ended_at is null;
create index sessions_browser_id on sessions (browser_id);
create index sessions_org_id_user_id on sessions (org_id, user_id);
create index sessions_open on sessions (org_id, user_id) where ended_at is null;
create index sessions_ended_at on sessions (ended_at);
create index sessions_switched_at on sessions (switched_at) where switched_at is not null;

create table attempts (
  id          text   not null constraint attempts_pk primary key,
  browser_id  text   not null references browsers (id) on delete cascade,
  org_id      text,
  user_id     text,
  generation  bigint not null,  -- of that user; 0 while nobody is identified
  reset_id    text,             -- of the link that is held, where one is
  connection_id text,           -- of the identity provider that was chosen
  invitation_id text,           -- that its answer accepts
  client_id   text,             -- of the application that it leads to
  anew        boolean not null, -- a provider must ask the person again
  login_hint  text,             -- what that application said of who signs in: fills the field, proves nothing
  evidence    text   not null,  -- method@microseconds, separated by spaces
  fresh       bigint not null,  -- microseconds: how old a proof may be; 0 is any age within the attempt
  return_path text   not null,
  form        text,             -- sealed: what was typed when fresh proof was asked for
  created_at  bigint not null,
  ended_at    bigint,
  constraint attempts_users_fk foreign key (org_id, user_id) references users (org_id, id) on delete cascade
);
create index attempts_browser_id on attempts (browser_id);
create index attempts_created_at on attempts (created_at);

-- An identity provider of an organization.
create table connections (
  org_id       text    not null references organizations (id),
  id           text    not null,
  protocol     text    not null,  -- saml or oidc
  provider     text    not null,  -- whose pages guide the administrator: okta, entra, …
  name         text    not null,
  logo         text,              -- id of an image; the provider's own icon where there is none
  position     bigint  not null,  -- on the sign-in page
  shown        boolean not null,  -- there
  settings     text    not null,  -- JSON: what the administrator configured, by protocol
  secret       text,              -- sealed: of the OpenID Connect client
  found        text,              -- JSON: what discovery and the provider's key set said
  metadata_url text,              -- where SAML metadata renews itself from
  vouches      boolean not null,  -- its addresses are the people's, without a claim that says so
  creates      boolean not null,  -- people whom nobody invited come in too
  mapping      text    not null,  -- JSON: which attribute is what, and which groups have which role
  state        text    not null,  -- draft, on or off
  created_at   bigint  not null,
  changed_at   bigint  not null,  -- what a test covers
  tested_at    bigint,            -- when a test last passed
  renewed_at   bigint,            -- when the metadata address was last asked
  renewal      text,              -- catalogue key of why that took nothing; null where all is well
  warned       bigint  not null,  -- days before the end of its certificate that were warned of; 0 for none
  constraint connections_pk primary key (org_id, id),
  constraint connections_id_uq unique (id)
);
create index connections_renewal on connections (renewed_at) where metadata_url is not null;

-- Who a provider's subject is.
create table identities (
  org_id        text    not null,
  connection_id text    not null,
  issuer        text    not null,
  subject       text    not null,
  user_id       text    not null,
  email         text    not null,  -- as the provider last said it: shown, never compared
  created       boolean not null,  -- the user was made by this connection, which keeps its role
  created_at    bigint  not null,
  used_at       bigint  not null,
  constraint identities_pk primary key (org_id, connection_id, issuer, subject),
  constraint identities_users_fk foreign key (org_id, user_id) references users (org_id, id) on delete cascade,
  constraint identities_connections_fk foreign key (org_id, connection_id) references connections (org_id, id) on delete cascade
);
create index identities_user on identities (org_id, user_id);

-- What was asked of a provider, for one browser, until its answer comes.
create table upstream_requests (
  org_id        text   not null,
  id            text   not null,
  connection_id text   not null,
  browser_id    text   references browsers (id) on delete cascade,
  attempt_id    text,             -- null for a test and for signing out
  tester        text,             -- of a test: a user id or that of a setup link
  state_hash    text   not null,  -- of the state or RelayState
  asked         text   not null,  -- sealed: nonce, verifier, request id
  answer        text,             -- sealed: what was believed, while the person is asked whether to go on
  created_at    bigint not null,
  ended_at      bigint,
  constraint upstream_requests_pk primary key (org_id, id),
  constraint upstream_requests_state_uq unique (state_hash),
  constraint upstream_requests_connections_fk foreign key (org_id, connection_id) references connections (org_id, id) on delete cascade
);
create index upstream_requests_created_at on upstream_requests (created_at);

-- What a browser posted from a provider's page, until it comes back with its cookies.
create table upstream_responses (
  org_id        text   not null,
  id            text   not null,
  connection_id text   not null,
  token_hash    text   not null,  -- of a cookie set in the same answer
  content       text   not null,
  state         text   not null,
  created_at    bigint not null,
  constraint upstream_responses_pk primary key (org_id, id),
  constraint upstream_responses_token_uq unique (token_hash),
  constraint upstream_responses_connections_fk foreign key (org_id, connection_id) references connections (org_id, id) on delete cascade
);
create index upstream_responses_created_at on upstream_responses (created_at);

-- Messages that a provider may send once, on all nodes.
create table upstream_replays (
  org_id        text   not null,
  connection_id text   not null,
  id            text   not null,  -- hash of what names the message
  expires_at    bigint not null,
  constraint upstream_replays_pk primary key (org_id, connection_id, id),
  constraint upstream_replays_connections_fk foreign key (org_id, connection_id) references connections (org_id, id) on delete cascade
);
create index upstream_replays_expires_at on upstream_replays (expires_at);

-- Each sign-in by a provider, explained; kept for 30 days.
create table upstream_traces (
  org_id        text    not null,
  id            text    not null,  -- the reference that the person was shown
  connection_id text    not null,
  at            bigint  not null,
  tester        text,              -- of a test: a user id or that of a setup link
  refused       text,              -- name of the check that failed; null where the person came in
  user_id       text,
  who           text    not null,  -- address or subject as the provider said it
  checks        text    not null,  -- JSON
  claims        text    not null,  -- JSON: what arrived, of a test only
  network       text    not null,
  constraint upstream_traces_pk primary key (org_id, id),
  constraint upstream_traces_connections_fk foreign key (org_id, connection_id) references connections (org_id, id) on delete cascade
);
create index upstream_traces_at on upstream_traces (org_id, at, id);
create index upstream_traces_old on upstream_traces (at);

-- By what a provider names a session of ours, for single logout.
create table upstream_sessions (
  org_id        text   not null,
  session_id    text   not null,
  connection_id text   not null,
  issuer        text   not null,
  subject       text   not null,
  session_index text   not null,  -- may be empty
  constraint upstream_sessions_pk primary key (org_id, session_id),
  constraint upstream_sessions_sessions_fk foreign key (org_id, session_id) references sessions (org_id, id) on delete cascade,
  constraint upstream_sessions_connections_fk foreign key (org_id, connection_id) references connections (org_id, id) on delete cascade
);
create index upstream_sessions_subject on upstream_sessions (org_id, connection_id, issuer, subject);

-- Opens one connection's pages to a company's IT, without an account here.
create table setup_links (
  org_id        text   not null,
  id            text   not null,
  connection_id text   not null,
  token_hash    text   not null,
  email         text   not null,
  letter_id     text   not null,
  created_by    text   not null,  -- a user id
  created_at    bigint not null,
  expires_at    bigint not null,
  opened_at     bigint,
  withdrawn_at  bigint,
  constraint setup_links_pk primary key (org_id, id),
  constraint setup_links_token_uq unique (token_hash),
  constraint setup_links_connections_fk foreign key (org_id, connection_id) references connections (org_id, id) on delete cascade
);
create index setup_links_expires_at on setup_links (expires_at);

-- Our own keys towards identity providers, of the whole installation.
create table federation_keys (
  id         text   not null constraint federation_keys_pk primary key,
  purpose    text   not null,  -- saml or oidc
  sealed     text   not null,
  created_at bigint not null
);

-- An application: a relying party, a machine's client, or a link without one.
create table clients (
  id          text   not null constraint clients_pk primary key,
  org_id      text   references organizations (id),  -- null is of the installation, for every organization
  kind        text   not null,
  settings    text   not null,  -- JSON: what was registered
  listens     boolean not null, -- it is told by back-channel when a session ends
  logo        text,             -- base64 of a PNG that we encoded
  created_at  bigint not null,
  changed_at  bigint not null,
  checked_at  bigint,           -- when its tile's address was last asked
  failed_since bigint           -- since when nobody answers there
);
create index clients_org_id on clients (org_id);

-- The two applications that every installation comes with; the operator gives them
-- their addresses.
insert into clients (id, kind, listens, settings, created_at, changed_at) values
  ('collaborate', 'web', false, '{"name":"Collaborate / Communicate","descriptions":{"en":"Messages, documents and meetings","fr":"Messages, documents et réunions"},"auth":"client_secret_basic","scopes":["openid","profile","email","groups","roles"],"refreshes":true,"algorithm":"ES256"}', 0, 0),
  ('architect', 'web', false, '{"name":"Architect","descriptions":{"en":"Plans and models of your organization","fr":"Plans et modèles de votre organisation"},"auth":"client_secret_basic","scopes":["openid","profile","email","groups","roles"],"refreshes":true,"algorithm":"ES256"}', 0, 0);

-- Two live while one replaces the other.
create table client_secrets (
  client_id  text   not null references clients (id) on delete cascade,
  id         text   not null constraint client_secrets_pk primary key,
  hash       text   not null,
  created_at bigint not null,
  used_at    bigint            -- coarsely
);
create index client_secrets_client_id on client_secrets (client_id);

-- What an organization decided about an application; without a row, what its
-- registration says.
create table client_organizations (
  org_id    text not null references organizations (id),
  client_id text not null references clients (id) on delete cascade,
  standing  text not null,  -- asks, approved for everybody, or forbidden
  audience  text not null,  -- who sees its tile: everyone, groups, nobody
  groups    text not null,  -- ids, separated by spaces
  constraint client_organizations_pk primary key (org_id, client_id)
);
create index client_organizations_client_id on client_organizations (client_id);

-- How often somebody opened an application: tiles are ordered by it.
create table client_uses (
  org_id    text   not null,
  client_id text   not null references clients (id) on delete cascade,
  user_id   text   not null,
  uses      bigint not null,
  used_at   bigint not null,
  constraint client_uses_pk primary key (org_id, client_id, user_id),
  constraint client_uses_users_fk foreign key (org_id, user_id) references users (org_id, id) on delete cascade
);
create index client_uses_user on client_uses (org_id, user_id);
create index client_uses_used_at on client_uses (org_id, client_id, used_at);

-- Our own keys towards applications.
create table keys (
  id         text   not null constraint keys_pk primary key,
  algorithm  text   not null,
  sealed     text   not null,
  created_at bigint not null,
  signs_at   bigint not null   -- published before, so that everybody knows it by then
);

-- What an application asked of us in a browser, while the person signs in or is asked.
create table authorization_requests (
  id         text   not null constraint authorization_requests_pk primary key,
  browser_id text   not null references browsers (id) on delete cascade,
  client_id  text   not null references clients (id) on delete cascade,
  asked      text   not null,  -- JSON
  session_id text,             -- that the person chose for it
  created_at bigint not null,
  ended_at   bigint
);
create index authorization_requests_browser_id on authorization_requests (browser_id);
create index authorization_requests_created_at on authorization_requests (created_at);

-- What an application asked server to server, or by a form, before its browser comes.
create table pushed_requests (
  hash       text   not null constraint pushed_requests_pk primary key,
  client_id  text   not null references clients (id) on delete cascade,
  asked      text   not null,
  created_at bigint not null,
  used_at    bigint
);
create index pushed_requests_created_at on pushed_requests (created_at);

-- What one authorization gave to one client: its code, and the refresh token that
-- rotates. Access tokens are not stored; they end with it.
create table grants (
  org_id         text   not null,  -- empty for a machine of the installation
  id             text   not null,
  client_id      text   not null references clients (id) on delete cascade,
  user_id        text,             -- null for a machine
  session_id     text,
  scope          text   not null,
  details        text   not null,  -- JSON: what tokens say of the sign-in
  code_hash      text,
  code_used_at   bigint,
  family_hash    text,             -- of the part that all its refresh tokens share
  refresh_hash   text,             -- of the newest
  previous_hash  text,             -- of the one before, which an honest retry may show
  previous_until bigint,
  created_at     bigint not null,
  ends_at        bigint not null,
  ended_at       bigint,
  end_reason     text,
  constraint grants_pk primary key (org_id, id),
  constraint grants_code_hash_uq unique (code_hash),
  constraint grants_family_hash_uq unique (family_hash),
  constraint grants_users_fk foreign key (org_id, user_id) references users (org_id, id) on delete cascade
);
create index grants_session on grants (org_id, session_id);
create index grants_user on grants (org_id, user_id, client_id);
create index grants_open on grants (org_id, session_id) where ended_at is null;
create index grants_ends_at on grants (ends_at);
create index grants_ended_at on grants (ended_at) where ended_at is not null;

create table device_codes (
  id             text   not null constraint device_codes_pk primary key,
  device_hash    text   not null,
  user_code_hash text   not null,
  client_id      text   not null references clients (id) on delete cascade,
  scope          text   not null,
  org_id         text,             -- of who answered
  grant_id       text,             -- null where the answer was no
  created_at     bigint not null,
  asked_at       bigint,           -- when the device last asked
  answered_at    bigint,
  ended_at       bigint,
  constraint device_codes_device_hash_uq unique (device_hash)
);
create unique index device_codes_user_code_uq on device_codes (user_code_hash) where ended_at is null;
create index device_codes_created_at on device_codes (created_at);

-- What somebody let an application of others know.
create table consents (
  org_id    text   not null,
  user_id   text   not null,
  client_id text   not null references clients (id) on delete cascade,
  scope     text   not null,
  given_at  bigint not null,
  constraint consents_pk primary key (org_id, user_id, client_id),
  constraint consents_users_fk foreign key (org_id, user_id) references users (org_id, id) on delete cascade
);

-- Applications that are to be told that a session ended, until they are.
create table logouts (
  org_id      text   not null,
  id          text   not null,
  client_id   text   not null references clients (id) on delete cascade,
  user_id     text   not null,
  session_id  text   not null,
  created_at  bigint not null,
  next_try_at bigint,           -- null once it is told or given up
  tries       bigint not null,
  told_at     bigint,
  reply       text,
  constraint logouts_pk primary key (org_id, id)
);
create index logouts_next_try_at on logouts (next_try_at);
create index logouts_created_at on logouts (created_at);

-- Proofs and assertions that work once, on all nodes.
create table used_proofs (
  id         text   not null constraint used_proofs_pk primary key,  -- a hash
  expires_at bigint not null
);
create index used_proofs_expires_at on used_proofs (expires_at);

create table audit_events (
  org_id     text   not null,  -- empty for what concerns no organization
  id         text   not null,
  at         bigint not null,
  actor      text   not null,  -- a user id, or 'operator', 'system', 'anonymous'
  actor_name text   not null,
  action     text   not null,
  result     text   not null,  -- done or refused
  target     text   not null,
  target_name text  not null,
  search_key text   not null,
  network    text   not null,
  agent      text   not null,
  request    text   not null,
  before     text   not null,  -- JSON object, secrets never
  after      text   not null,
  seal       bigint,           -- the seal that covers it; null for about a second
  constraint audit_events_pk primary key (org_id, id)
);
create index audit_events_org_id_at on audit_events (org_id, at, id);
create index audit_events_actor on audit_events (org_id, actor, at, id);
create index audit_events_target on audit_events (org_id, target, at, id);
create index audit_events_unsealed on audit_events (at) where seal is null;
create index audit_events_seal on audit_events (seal, org_id, id);

create table audit_seals (
  seq           bigint not null constraint audit_seals_pk primary key,
  first         text   not null,
  last          text   not null,
  events        bigint not null,
  hash          text   not null,
  previous_hash text   not null,
  sealed_at     bigint not null
);
