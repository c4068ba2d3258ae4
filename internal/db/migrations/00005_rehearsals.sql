-- +goose Up
-- As whom a test would have let somebody in. Tests from before have none: they show
-- what they showed.
alter table upstream_traces add column rehearsal text;

-- What attempts are searched by. Those from before are found by the address that the
-- provider said, in whatever case, and by whom they let in.
alter table upstream_traces add column search_key text not null default '';
update upstream_traces set search_key = lower(who);

-- A test from before ended at the provider's word and passed though nobody could come
-- in. A connection that is not on is tested once more before it is turned on; one that
-- is on stays on.
update connections set tested_at = null where state <> 'on';
