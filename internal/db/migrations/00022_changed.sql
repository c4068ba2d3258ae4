-- +goose Up
-- When anything that the administration's API shows of a person last changed, sign-ins aside, so
-- that programs can ask who changed since a time. For people from before it is when they joined.
alter table users add column changed_at bigint not null default 0;
update users set changed_at = created_at;
create index users_changed on users (org_id, changed_at);
