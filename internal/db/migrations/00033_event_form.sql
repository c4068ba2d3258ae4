-- +goose Up
-- How the actor of an event proved who they are, by which session, and in which region: of earlier
-- events nobody knows.
alter table audit_events add column session text not null default '';
alter table audit_events add column method  text not null default '';
alter table audit_events add column region  text not null default '';
