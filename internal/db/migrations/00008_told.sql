-- +goose Up
-- When an application was last told that a session ended, so that its page can say how
-- it answers. Rows from before were tried at an unknown time: they show with their next
-- try, and are gone after seven days.
alter table logouts add column tried_at bigint;
create index logouts_client_id on logouts (client_id, tried_at);
