-- +goose Up
-- Files of people whom the operator moved in from another system.
create table imports (
  id            text   not null constraint imports_pk primary key,  -- imp_ and 26 characters
  digest        text   not null,  -- of the file: the same one goes on where it was interrupted
  format        text   not null,
  begun_at      bigint not null,
  finished_at   bigint,
  undone_at     bigint,
  letters_until bigint            -- when the last of its letters leaves: the next one leaves later
);
create unique index imports_digest_uq on imports (digest) where undone_at is null;

-- Organizations that an import made. One that was undone leaves its own suspended.
create table import_organizations (
  org_id    text not null constraint import_organizations_pk primary key references organizations (id),
  import_id text not null references imports (id)
);
create index import_organizations_import on import_organizations (import_id);

-- Whom an import brought, by the line of its file.
create table imported (
  org_id        text   not null references organizations (id),
  import_id     text   not null references imports (id),
  line          bigint not null,
  email_key     text   not null,
  user_id       text,             -- null for whom it only invited
  invitation_id text,
  constraint imported_pk primary key (org_id, import_id, line),
  constraint imported_users_fk foreign key (org_id, user_id) references users (org_id, id) on delete cascade
);
create index imported_email_key on imported (org_id, import_id, email_key);
create index imported_user on imported (org_id, user_id);
create index imported_import on imported (import_id, org_id, line);
