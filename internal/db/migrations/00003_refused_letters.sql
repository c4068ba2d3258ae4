-- +goose Up
-- A mail server's words may quote a letter, and with it a link that lets somebody in.
-- What was stored of them is emptied: of an old letter only how it ended is known.
-- The links of letters that were refused for good before are dead from now on, as
-- those of later ones are: the pages that show them offer to send the letter again.
update letters set reply = null;

-- When a letter becomes useless, such as when its link ends: null where it never does,
-- and in letters from before, which are tried as ever. What ends soonest is sent first.
alter table letters add column ends_at bigint;

-- A link 'this was not me' dies with its letter too. One from before names no letter
-- and lives until its end.
alter table disavowals add column letter_id text;
