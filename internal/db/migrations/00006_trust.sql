-- +goose Up
-- What a connection trusts (its keys, its issuer, where these are found, what it takes
-- a subject from, whether it vouches for addresses) is confirmed by an owner before an
-- owner comes in by it. Connections that are on went on letting owners in until now and
-- go on; 'parvis doctor' lists those that were changed after their last test, since
-- nobody can say from here who changed them.
alter table connections add column confirmed_at bigint;
update connections set confirmed_at = changed_at where state = 'on';

-- What was typed, pasted or uploaded for a connection that is on: it waits beside it
-- until it is tested and taken.
create table connection_changes (
  org_id        text    not null,
  connection_id text    not null,
  settings      text    not null,  -- as in connections
  secret        text,
  found         text,
  metadata_url  text,
  vouches       boolean not null,
  creates       boolean not null,
  mapping       text    not null,
  changed_by    text    not null,  -- a user id
  changed_at    bigint  not null,
  tested_at     bigint,
  constraint connection_changes_pk primary key (org_id, connection_id),
  constraint connection_changes_connections_fk foreign key (org_id, connection_id) references connections (org_id, id) on delete cascade
);

-- A subject that may become somebody's when an administrator says so, with the attempt
-- that it came by. Links from before, second ones of a connection too, stay and are
-- listed on the pages of the person and of the connection.
create table identity_requests (
  org_id        text    not null,
  trace_id      text    not null,
  connection_id text    not null,
  issuer        text    not null,
  subject       text    not null,
  user_id       text    not null,
  email         text    not null,  -- as the provider said it
  constraint identity_requests_pk primary key (org_id, trace_id),
  constraint identity_requests_traces_fk foreign key (org_id, trace_id) references upstream_traces (org_id, id) on delete cascade,
  constraint identity_requests_users_fk foreign key (org_id, user_id) references users (org_id, id) on delete cascade
);
create index identity_requests_user on identity_requests (org_id, user_id);

-- From which browser an answer came that was asked for there; null in rows from before,
-- which therefore count for nothing.
alter table upstream_traces add column browser_id text;

-- Organizations in which single sign-on as the only way in fails for people who are
-- known, since when their owners know that it will be undone.
create table only_warnings (
  org_id    text   not null references organizations (id),
  warned_at bigint not null,
  constraint only_warnings_pk primary key (org_id)
);
