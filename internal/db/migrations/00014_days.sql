-- +goose Up
-- What the overview of an organization shows by days in UTC. It is counted once, so that no
-- page counts it again.

-- Sign-ins by way and result, sign-ins to applications, and accepted invitations. The sweep that seals the audit
-- log counts the events of a seal in the transaction that seals them. Events that were
-- sealed before the upgrade are not counted, because a sign-in from then does not say by
-- which way it was.
create table audit_days (
  org_id text   not null,  -- empty for what names no single organization
  day    bigint not null,  -- its beginning in UTC
  action text   not null,
  result text   not null,
  about  text   not null,  -- the way of a sign-in, or the id of an application; may be empty
  events bigint not null,
  constraint audit_days_pk primary key (org_id, day, action, result, about)
);
create index audit_days_day on audit_days (day);

-- Who did something on which day, kept for 31 days. Whoever was already here on the day of
-- the upgrade is counted from the next day on.
create table active_people (
  org_id  text   not null,
  user_id text   not null,
  day     bigint not null,
  constraint active_people_pk primary key (org_id, user_id, day),
  constraint active_people_users_fk foreign key (org_id, user_id) references users (org_id, id) on delete cascade
);
create index active_people_day on active_people (day, org_id);

-- How many these were, counted again each minute until the day is over.
create table active_days (
  org_id text   not null,
  day    bigint not null,
  people bigint not null,
  constraint active_days_pk primary key (org_id, day)
);
create index active_days_day on active_days (day);

-- The overview looks for what needs attention, and finds it without reading what does not.
create index letters_waiting on letters (org_id, created_at) where next_try_at is not null;
create index letters_refused on letters (org_id, bounced_at) where bounced_at is not null;
create index upstream_traces_connection on upstream_traces (org_id, connection_id, at, id);
create index invitations_open on invitations (org_id, created_at, id)
  where accepted_at is null and withdrawn_at is null and replaced_at is null;
