-- +goose Up
-- The overview counts who owns which second step in this order. Rows from before are indexed as
-- they are. A build between two releases made the index already.
create index if not exists users_owned on users (org_id, state, second_step, has_password, linked);
