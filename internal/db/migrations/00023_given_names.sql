-- +goose Up
-- A person's given and family name, beside the one that is shown; and for people and groups that
-- a customer's directory keeps here: which source, and by which id it knows them.
alter table users add column given_name text not null default '';
alter table users add column family_name text not null default '';
alter table users add column source_id text;    -- null for who was invited or came by single sign-on
alter table users add column external_id text;  -- the source's own id of the user
alter table users add column shut_out_by text;  -- the source that deactivated the user; null: somebody here did
create index users_source on users (org_id, source_id, id) where source_id is not null;
create index users_external on users (org_id, source_id, external_id) where external_id is not null;

alter table groups add column source_id text;
alter table groups add column external_id text;
alter table groups add column changed_at bigint not null default 0;  -- its name or who is in it
update groups set changed_at = created_at;
create index groups_source on groups (org_id, source_id, id) where source_id is not null;
