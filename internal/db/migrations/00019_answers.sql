-- +goose Up
-- The keys that callers of the API give to requests that they may repeat, kept for a day. There are
-- none from before.
create table answers (
  org_id       text   not null,
  caller       text   not null,  -- the token or grant
  key_hash     text   not null,
  request_hash text   not null,
  object       text   not null,  -- the id of what the request was about
  made_at      bigint not null,
  constraint answers_pk primary key (org_id, caller, key_hash)
);
create index answers_made_at on answers (made_at);
