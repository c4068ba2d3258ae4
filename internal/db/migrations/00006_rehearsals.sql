-- +goose Up
-- As whom a test would have let somebody in. Tests from before have none: they show
-- what they showed.
alter table upstream_traces add column rehearsal text;

-- A test from before ended at the provider's word and passed though nobody could come
-- in. A connection that is not on is tested once more before it is turned on; one that
-- is on stays on.
update connections set tested_at = null where state <> 'on';
