-- +goose Up
-- Who deleted a user stands apart from who deactivated them, so that both can be undone.
alter table users add column deleted_by text;  -- the source that deleted the user; null: somebody here did
update users set deleted_by = shut_out_by where deleted_at is not null and shut_out_by is not null;
-- Who was out already when a source deleted them may have been shut out by somebody here.
update users set shut_out_by = null where deleted_at is not null and deactivated_at < deleted_at;
create index users_deleted_by on users (org_id, deleted_by, deleted_at) where deleted_by is not null;

-- The address before one that a source gave a user who was shut out. They are told when they are let in.
alter table users add column moved_from text;

-- The version of the bodies that a webhook is sent: that of when it was made.
alter table webhooks add column version bigint not null default 1;

-- The connection by which people of a source come in; null: any. One that was removed lets nobody in.
alter table sources add column connection_id text;
