-- +goose Up
-- Each restore begins an epoch of every log (decision 0081). A log's first epoch, before any restore,
-- has no row here.
create table audit_epochs (
  org_id text   not null,
  number bigint not null,  -- grows; the high digits of sequences in this epoch
  first  bigint not null,  -- place of its first leaf
  name   text   not null,  -- last part of the name of the log
  constraint audit_epochs_pk primary key (org_id, number)
);
