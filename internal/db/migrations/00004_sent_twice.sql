-- +goose Up

-- What the token of a browser last changed for: a form that is sent twice within ten
-- seconds ends where one ends (decision 0041). Browsers from before the upgrade have
-- none of it, and their forms are answered as they were.
alter table browsers add column shown_hash text; -- of what the browser showed then
alter table browsers add column deed text;       -- what was done: a link's hash, an attempt's id, or whose password or passkey
alter table browsers add column gained text;     -- what came of it: a session's id, or an attempt's
create index browsers_deed_ix on browsers (deed);

alter table email_changes add column proved_from text; -- hash of what the browser showed

-- What an answered request gave, for a browser whose answer was lost.
alter table authorization_requests add column grant_org text;
alter table authorization_requests add column grant_id text;
