-- +goose Up
-- An application with a secret sends it in the header or in the form, as its library
-- does: both are one method. What was registered for one of them may use either now.
-- These members stand in no text of the settings: quotation marks are escaped there.
update clients set settings = replace(settings, '"auth":"client_secret_basic"', '"auth":"secret"');
update clients set settings = replace(settings, '"auth":"client_secret_post"', '"auth":"secret"');

-- Names one registration of an ID that may be registered again, so that what its
-- predecessor was given means nothing to a successor. Those from before have none, and
-- ID tokens that they hold go on to be hints.
alter table clients add column registration text not null default '';

-- Since when somebody's name, language and time zone are what they are, which
-- applications are told as updated_at; null is since the user is there. Of changes from
-- before, nothing was kept.
alter table users add column profile_since bigint;
