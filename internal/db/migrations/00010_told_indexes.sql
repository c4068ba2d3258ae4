-- +goose Up
-- How an application answers its back channel is found by an index: its last call, in an
-- organization or in all, and those that wait. What it was told in seven days is not read
-- for that. Rows from before are indexed as they are.
drop index logouts_client_id;
create index logouts_tried on logouts (client_id, tried_at, id);
create index logouts_tried_of on logouts (client_id, org_id, tried_at, id);
create index logouts_waiting on logouts (client_id, org_id, next_try_at) where next_try_at is not null;
