-- +goose Up
-- Who may call the administration's API. Nobody could before, so there are no rows to keep.

-- The tokens that people make for themselves.
create table api_tokens (
  org_id     text   not null,
  id         text   not null,
  user_id    text   not null,
  generation bigint not null,  -- of its owner when it was made: it ends with what the owner has open
  token_hash text   not null,
  name       text   not null,
  scopes     text   not null,  -- separated by spaces
  created_at bigint not null,
  ends_at    bigint not null,
  used_at    bigint,           -- coarsely
  network    text   not null default '',  -- from where it was used then
  constraint api_tokens_pk primary key (org_id, id),
  constraint api_tokens_token_hash_uq unique (token_hash),
  constraint api_tokens_users_fk foreign key (org_id, user_id) references users (org_id, id) on delete cascade
);
create index api_tokens_user on api_tokens (org_id, user_id);
create index api_tokens_ends_at on api_tokens (ends_at);

-- What an application may do on its own behalf in the administration of its organization.
create table machine_rights (
  org_id     text   not null references organizations (id),
  client_id  text   not null references clients (id) on delete cascade,
  scopes     text   not null,  -- separated by spaces
  role       text   not null,  -- as far as somebody with this role
  granted_by text   not null,  -- id of the user who answers for it
  granted_at bigint not null,
  ends_at    bigint not null,
  rests_at   bigint,           -- since when its writing rests, because that user may no longer give it
  used_at    bigint,           -- coarsely
  network    text   not null default '',  -- from where it called then
  constraint machine_rights_pk primary key (org_id, client_id)
);
create index machine_rights_client on machine_rights (client_id);
create index machine_rights_ends_at on machine_rights (ends_at);

-- What an organization decided about who calls; without a row, nobody by a code.
create table access_rules (
  org_id  text    not null constraint access_rules_pk primary key references organizations (id),
  devices boolean not null  -- people may let the command line in by a code, to read
);

-- From where a device asked, so that the page can say so. Codes from before last ten minutes.
alter table device_codes add column network text not null default '';

-- The command line, which every installation comes with. It is in no list of applications.
insert into clients (id, kind, listens, settings, created_at, changed_at, registration) values
  ('parvis-cli', 'native', false, '{"name":"parvis admin","redirect_uris":["http://127.0.0.1/callback","http://[::1]/callback"],"auth":"none","scopes":["parvis.people.read","parvis.people.write","parvis.groups.read","parvis.groups.write","parvis.settings.read","parvis.settings.write","parvis.connections.read","parvis.connections.write","parvis.applications.read","parvis.applications.write","parvis.access.read","parvis.access.write","parvis.audit.read"],"refreshes":true,"devices":true,"asks":true,"access_for":600000000000}', 0, 0, '');
