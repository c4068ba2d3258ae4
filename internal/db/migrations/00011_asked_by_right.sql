-- +goose Up
-- What waits for somebody else to act names by which kind of right it was asked for
-- (directory.Kind), and the id of that right where it is not the user's own. It is void
-- when the right ends. Rows from before were asked for by users, or by the operator where
-- invitations name nobody. Setup links that are still open end with their sender's rights
-- from now on too.
alter table invitations add column asked_kind text not null default 'user';
alter table invitations add column asked_right text;
update invitations set asked_kind = 'operator' where invited_by is null;
alter table email_changes add column asked_kind text not null default 'user';
alter table email_changes add column asked_right text;
alter table setup_links add column asked_kind text not null default 'user';
alter table setup_links add column asked_right text;
