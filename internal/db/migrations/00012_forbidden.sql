-- +goose Up

-- When an organization last forbade an application: what it got before then gives nothing
-- any more, even if the application is allowed again. Until now the transaction that
-- forbade it ended its grants itself, so nothing is open of what was forbidden before,
-- and rows from before need no time.
alter table client_organizations add column forbidden_at bigint;
create index client_organizations_forbidden_at on client_organizations (forbidden_at);
