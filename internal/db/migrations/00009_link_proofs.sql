-- +goose Up

-- The request at a provider whose answer waits until the person proves who they are: an
-- attempt that has one ends in that proof, and opens no session (decision 0044). Attempts
-- from before the upgrade open a session, which proves it too.
alter table attempts add column link_request text;

-- When an answer met an error of ours, which counts as one that was not believed where
-- single sign-on is the only way in (decision 0045). Requests from before have none.
alter table upstream_requests add column broken_at bigint;
