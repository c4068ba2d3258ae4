-- +goose Up
-- What another region said of the names of an organization, by the names that it was asked about.
-- An organization without a row, or with other names by now, is still to be asked about.
create table region_checks (
  org_id       text   not null references organizations (id),
  peer         text   not null,  -- id of the other region
  short_name   text   not null,
  display_name text   not null,
  asked_at     bigint not null,  -- when it was last tried
  check_at     bigint,           -- when to ask again; null once nobody there has the names
  clash_at     bigint,           -- since when an organization there is known to have one of them too
  constraint region_checks_pk primary key (org_id, peer)
);
create index region_checks_check_at on region_checks (check_at) where check_at is not null;
