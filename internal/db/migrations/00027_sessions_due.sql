-- +goose Up
-- A sweep finds what time ended without reading what goes on: the sessions of an organization by
-- when they were last used and by when they began, those that a provider gave an end, and those
-- that ended. The newest of a user are found in their order.
drop index sessions_open;
create index sessions_open on sessions (org_id, user_id, seen_at) where ended_at is null;
create index sessions_seen on sessions (org_id, seen_at) where ended_at is null;
create index sessions_started on sessions (org_id, started_at) where ended_at is null;
create index sessions_until on sessions (until) where ended_at is null and until is not null;
drop index sessions_ended_at;
create index sessions_ended_at on sessions (ended_at) where ended_at is not null;

-- What attempts and requests to providers hold is emptied long before the rows go: those that
-- still hold something are found without reading the others.
create index attempts_filled on attempts (created_at) where evidence <> '' or form is not null;
create index upstream_requests_asked on upstream_requests (created_at) where asked <> '';

-- A browser that is removed takes its requests with it; without this each removal read them all.
create index upstream_requests_browser_id on upstream_requests (browser_id);
