-- +goose Up
-- The operator deleted it: it is suspended too, and removed a while later (decision 0092).
alter table organizations add column deleted_at bigint;
create index organizations_deleted_at on organizations (deleted_at) where deleted_at is not null;

-- A short name stays kept from others when its organization is gone, so its row must not need one.
create table kept_short_names (
  short_name_key      text   not null constraint kept_short_names_pk primary key,
  short_name_skeleton text   not null,
  org_id              text   not null,
  ends_at             bigint not null
);
insert into kept_short_names (short_name_key, short_name_skeleton, org_id, ends_at)
  select short_name_key, short_name_skeleton, org_id, ends_at from former_short_names;
drop table former_short_names;
alter table kept_short_names rename to former_short_names;

-- What is over is removed in time.
create index invitations_over on invitations (coalesce(accepted_at, withdrawn_at, replaced_at, expires_at));
