-- +goose Up
-- What an application of the installation may do for its operator, by the API. None could before.
create table operator_rights (
  client_id  text   not null constraint operator_rights_pk primary key references clients (id) on delete cascade,
  scopes     text   not null,  -- separated by spaces
  role       text   not null,  -- within an organization, as far as somebody with this role
  granted_at bigint not null,
  ends_at    bigint not null,
  used_at    bigint,           -- coarsely
  network    text   not null default ''  -- from where it called then
);
create index operator_rights_ends_at on operator_rights (ends_at);
