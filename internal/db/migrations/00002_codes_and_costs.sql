-- +goose Up
-- Recovery codes stand in for a device that was lost. Until now a form made them
-- for users who had no device, and they outlived the last one.
--
-- What becomes of rows from before: the codes of users who have no device are void.
-- So are those made before their user ever added one, since whoever had only the
-- password may have planted them. A user whose codes are void is asked on the home
-- page and under Security to make new ones; nobody loses a device.
delete from recovery_codes
where not exists (
    select 1 from totp_seeds t
    where t.org_id = recovery_codes.org_id and t.user_id = recovery_codes.user_id and t.confirmed_at is not null)
  and not exists (
    select 1 from passkeys k
    where k.org_id = recovery_codes.org_id and k.user_id = recovery_codes.user_id);

delete from recovery_codes
where not exists (
  select 1 from audit_events e
  where e.org_id = recovery_codes.org_id and e.actor = recovery_codes.user_id
    and e.action = 'device.added' and e.at <= recovery_codes.created_at);

-- How many stored passwords have which cost: one snapshot a day, for all nodes. It is
-- taken within a second of the first start; until then nobody's hash costs what a new
-- one does.
create table password_costs (
  cost      text   not null constraint password_costs_pk primary key,  -- as hashes write it: m=19456,t=2,p=1
  passwords bigint not null,
  taken_at  bigint not null
);
