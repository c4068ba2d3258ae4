-- +goose Up

-- The chain of seals becomes a Merkle tree for each organization and one for the installation
-- (decision 0060). Events from before have neither salts nor a place in a tree: after the sweep
-- checked the old chain a last time and removed it, it salts and seals them in their order,
-- 5,000 at a time. Until then they are listed as before.
alter table audit_events add column leaf bigint;                        -- its place in its log's tree; null for about a second
alter table audit_events add column by_salt text not null default '';   -- empty once erased
alter table audit_events add column by_hash text not null default '';   -- over by_salt, actor_name, network, agent
alter table audit_events add column of_salt text not null default '';
alter table audit_events add column of_hash text not null default '';   -- over of_salt, target_name, before, after

drop index audit_events_unsealed;
create index audit_events_unsealed on audit_events (at, org_id, id) where leaf is null;
create unique index audit_events_leaf on audit_events (org_id, leaf) where leaf is not null;
-- Of the old chain, and of what it has not sealed.
drop index audit_events_seal;
create index audit_events_seal on audit_events (seal, org_id, id) where seal is not null;
create index audit_events_unsalted on audit_events (at, org_id, id) where by_hash = '';
-- Whose personal data the log is still to lose.
create index audit_events_erased on audit_events (at) where action = 'user.erased';

-- Letters that ended are removed in time.
create index letters_ended on letters (created_at) where next_try_at is null;

-- A log is an organization's, or the installation's, whose org_id is empty.
create table audit_logs (
  org_id    text   not null constraint audit_logs_pk primary key,
  size      bigint not null,  -- leaves of the tree
  root      text   not null,  -- its hash
  edge      text   not null,  -- the hashes of the complete subtrees that it is made of, the largest first
  first     bigint not null,  -- the leaves before it have lost their events to retention
  keep_days bigint,           -- null for what the installation keeps
  held_at   bigint            -- since when nothing may be removed
);

-- 256 hashes of a level, or fewer in the last tile of each: C2SP tlog-tiles.
create table audit_tiles (
  org_id text   not null,
  level  bigint not null,
  n      bigint not null,
  hashes text   not null,
  constraint audit_tiles_pk primary key (org_id, level, n)
);

-- What was signed of a tree: the newest of each hour.
create table audit_checkpoints (
  org_id text   not null,
  hour   bigint not null,
  at     bigint not null,
  size   bigint not null,
  note   text   not null,
  constraint audit_checkpoints_pk primary key (org_id, hour)
);

-- The key that signs a log under a name, which has the host of the public address.
create table audit_keys (
  org_id     text   not null,
  name       text   not null,
  seed       text   not null,  -- sealed
  created_at bigint not null,
  constraint audit_keys_pk primary key (org_id, name)
);
