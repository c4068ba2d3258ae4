-- +goose Up
-- Addresses to which the events of an organization's audit log are sent, or those of the
-- installation's. Each reads the log by itself: cursor is the place of the last event that is done
-- with, so recording an event writes nothing here.
create table webhooks (
  org_id        text    not null,  -- empty for the installation's
  id            text    not null,
  name          text    not null,
  kind          text    not null,  -- events: each by itself; log: batches in their order
  form          text    not null,  -- parvis or ocsf
  address       text    not null,
  events        text    not null,  -- patterns of actions, separated by spaces
  with_values   boolean not null,  -- names, networks and the values that changed too
  headers       text    not null,  -- names, separated by spaces
  headers_sealed text   not null,
  state         text    not null,  -- on or off
  why           text    not null,  -- it is off: by_hand, gone, failing
  cursor        bigint  not null,
  failures      bigint  not null,  -- in a row
  parked_at     bigint,            -- since when only the head is tried
  told_at       bigint,            -- when a letter said so
  next_try_at   bigint,            -- nothing is sent before: the receiver asked for it, or it is parked
  taken_at      bigint,            -- when the receiver last took something
  tested_at     bigint,            -- when the address was first tried; null for a new one
  created_at    bigint  not null,
  changed_at    bigint  not null,
  constraint webhooks_pk primary key (org_id, id)
);
create index webhooks_parked_at on webhooks (parked_at) where parked_at is not null;

create table webhook_secrets (
  org_id     text   not null,
  id         text   not null,
  webhook_id text   not null,
  scheme     text   not null,  -- v1: HMAC; v1a: Ed25519 (Standard Webhooks)
  sealed     text   not null,
  public_key text   not null,  -- of v1a
  created_at bigint not null,
  ends_at    bigint,           -- of the one before the newest
  constraint webhook_secrets_pk primary key (org_id, id),
  constraint webhook_secrets_webhook foreign key (org_id, webhook_id) references webhooks (org_id, id) on delete cascade
);
create index webhook_secrets_of on webhook_secrets (org_id, webhook_id);
create index webhook_secrets_ends_at on webhook_secrets (ends_at) where ends_at is not null;

-- Events that were not taken and lie before the cursor. Those whose schedule is at its end are kept
-- for a while, to be sent by hand.
create table webhook_retries (
  org_id      text   not null,
  webhook_id  text   not null,
  event_id    text   not null,
  leaf        bigint not null,
  tries       bigint not null,
  next_try_at bigint,           -- null once given up
  failed_at   bigint not null,
  constraint webhook_retries_pk primary key (org_id, webhook_id, event_id),
  constraint webhook_retries_webhook foreign key (org_id, webhook_id) references webhooks (org_id, id) on delete cascade
);
create index webhook_retries_next_try_at on webhook_retries (next_try_at) where next_try_at is not null;
create index webhook_retries_failed_at on webhook_retries (failed_at);

create table webhook_attempts (
  org_id     text   not null,
  id         text   not null,
  webhook_id text   not null,
  at         bigint not null,
  event_id   text   not null,  -- of a batch, the first one
  action     text   not null,  -- of the event; webhook.test for a test
  events     bigint not null,  -- how many were sent
  took       bigint not null,  -- milliseconds
  taken      boolean not null,
  status     bigint not null,  -- 0 where there was no answer
  why        text   not null,  -- there was none
  constraint webhook_attempts_pk primary key (org_id, id),
  constraint webhook_attempts_webhook foreign key (org_id, webhook_id) references webhooks (org_id, id) on delete cascade
);
create index webhook_attempts_of on webhook_attempts (org_id, webhook_id, at, id);
create index webhook_attempts_at on webhook_attempts (at);

-- The command line may be let look after them, where a person agrees.
update clients set settings = replace(settings, '"parvis.access.read"', '"parvis.webhooks.read","parvis.webhooks.write","parvis.access.read"')
  where id = 'parvis-cli';
