-- +goose Up
-- What nodes on one PostgreSQL tell each other, so that each can remember answers that it read and
-- forget those that another one made untrue. SQLite does not use these two.
create table changes (
  xid     bigint not null primary key,  -- of the transaction that made the change
  node    text   not null,
  at      bigint not null,
  touched text   not null               -- ids of rows, separated by spaces; * for any
);
create index changes_at on changes (at);

create table nodes (
  node  text   not null primary key,
  watch text   not null,  -- of which tables it tells changes, as a hash
  at    bigint not null
);
