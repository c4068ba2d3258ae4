-- +goose Up
-- Customers' directories that keep people and groups here (SCIM).
create table sources (
  org_id        text    not null references organizations (id),
  id            text    not null,  -- src_ and 26 characters; stands in the address that the directory calls
  name          text    not null,
  provider      text    not null,  -- whose guide is shown
  state         text    not null,  -- watching, on or stopped
  invites       boolean not null,  -- who cannot come in by single sign-on gets an invitation
  brake         boolean not null,  -- false only where the operator said so
  created_at    bigint  not null,
  used_at       bigint,            -- of its last call, coarsely
  network       text    not null default '',  -- from where that came
  lost_since    bigint,            -- memberships that it took away since then, for the brake
  lost          bigint  not null default 0,
  constraint sources_pk primary key (org_id, id)
);

create table source_tokens (
  org_id     text   not null,
  id         text   not null,
  source_id  text   not null,
  token_hash text   not null,
  created_at bigint not null,
  ends_at    bigint not null,
  used_at    bigint,            -- coarsely
  warned     bigint not null default 0,  -- days before its end of which administrators were told last
  constraint source_tokens_pk primary key (org_id, id),
  constraint source_tokens_token_hash_uq unique (token_hash),
  constraint source_tokens_sources_fk foreign key (org_id, source_id) references sources (org_id, id) on delete cascade
);
create index source_tokens_source on source_tokens (org_id, source_id);
create index source_tokens_ends_at on source_tokens (ends_at);

-- What a source sent of a person, for it to read again. Who is whose stands in users.
create table provisioned (
  org_id   text not null,
  user_id  text not null,
  document text not null,  -- JSON
  constraint provisioned_pk primary key (org_id, user_id),
  constraint provisioned_users_fk foreign key (org_id, user_id) references users (org_id, id) on delete cascade
);

-- Calls, for whoever has to find out why something did not arrive. Kept for 30 days.
create table source_calls (
  org_id    text   not null,
  id        text   not null,
  source_id text   not null,
  at        bigint not null,
  method    text   not null,
  path      text   not null,  -- below the source's address
  outcome   text   not null,  -- read, done, watched, held, refused or failed
  did       text   not null,  -- JSON: sentences by key
  notes     text   not null,  -- JSON: what was wrong or left aside
  constraint source_calls_pk primary key (org_id, id),
  constraint source_calls_sources_fk foreign key (org_id, source_id) references sources (org_id, id) on delete cascade
);
create index source_calls_at on source_calls (org_id, source_id, at, id);
create index source_calls_swept on source_calls (at);

-- What waits for an administrator: people and groups to be adopted, and what was held.
create table source_waiting (
  org_id     text   not null,
  id         text   not null,
  source_id  text   not null,
  kind       text   not null,
  subject    text   not null,  -- id of the user or group that it is about; of a batch, the source's
  name       text   not null,  -- of the user or group, as it was
  details    text   not null,  -- JSON
  asked_at   bigint not null,
  last_at    bigint not null,
  times      bigint not null,
  settled_at bigint,
  settled_by text,
  constraint source_waiting_pk primary key (org_id, id),
  constraint source_waiting_sources_fk foreign key (org_id, source_id) references sources (org_id, id) on delete cascade
);
create unique index source_waiting_open_uq on source_waiting (org_id, source_id, kind, subject) where settled_at is null;
create index source_waiting_settled_at on source_waiting (settled_at) where settled_at is not null;

create index users_shut_out on users (org_id, shut_out_by, deactivated_at) where shut_out_by is not null;
