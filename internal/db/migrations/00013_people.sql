-- +goose Up
-- What the list of people is filtered and sorted by stands in its row, kept by those who
-- write what it says: directory writes state and signed_in_at, credential second_step and
-- has_password, federation linked. One index holds all of it, so that a filter reads
-- nothing else. Rows from before are filled in from the tables as they are.
alter table users add column state text not null default 'active';       -- active, deactivated or deleted
alter table users add column second_step text not null default 'none';   -- none, app, passkey or both
alter table users add column has_password boolean not null default false;
alter table users add column linked boolean not null default false;      -- some provider's subject signs in as this user
alter table users add column signed_in_at bigint not null default 0;     -- last_sign_in_at, or 0 for never

update users set
  state = case when deleted_at is not null then 'deleted' when deactivated_at is not null then 'deactivated' else 'active' end,
  signed_in_at = coalesce(last_sign_in_at, 0),
  has_password = exists (select 1 from passwords p where p.org_id = users.org_id and p.user_id = users.id),
  linked = exists (select 1 from identities i where i.org_id = users.org_id and i.user_id = users.id);
update users set second_step = 'app'
  where exists (select 1 from totp_seeds t where t.org_id = users.org_id and t.user_id = users.id and t.confirmed_at is not null);
update users set second_step = case when second_step = 'app' then 'both' else 'passkey' end
  where exists (select 1 from passkeys k where k.org_id = users.org_id and k.user_id = users.id);

-- What is searched stands in an index too, whose entries PostgreSQL limits to 2,700 bytes.
-- Only letters that fold to many make a longer one: they are found by its beginning.
update users set search_key = substr(search_key, 1, 250) where length(search_key) > 500;
update invitations set search_key = substr(search_key, 1, 250) where length(search_key) > 500;

create index users_list on users (org_id, state, role, second_step, has_password, linked, signed_in_at, search_key, created_at, id);
create index users_by_name on users (org_id, search_key, id);
create index users_by_sign_in on users (org_id, signed_in_at, id);
create index invitations_list on invitations (org_id, role, search_key, created_at, id)
  where accepted_at is null and withdrawn_at is null and replaced_at is null;
