-- +goose Up

-- The time zone of the person that a letter is for, in which it writes times. Letters from
-- before write them in UTC, as they did.
alter table letters add column time_zone text not null default '';
