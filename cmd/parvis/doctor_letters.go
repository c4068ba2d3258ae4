package main

import (
	"context"
	"crypto/tls"
	"errors"
	"maps"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"

	"parvis/internal/db"
	"parvis/internal/mail"
)

func (d *doctor) mail() {
	const check = "mail server"
	if d.plan.smtp == nil {
		d.note(check, "none is configured: letters wait in the outbox. Set [mail] address to send them.")
		return
	}
	ctx, cancel := context.WithTimeout(d.ctx, patience)
	defer cancel()
	if err := d.plan.smtp.Check(ctx, d.plan.from); err != nil {
		d.fail(check, "%s: %v. %s", d.plan.smtp.Address, err, mends(err, d.plan.from))
		return
	}
	d.ok(check, "%s accepted the connection%s, and takes letters from %s", d.plan.smtp.Address, map[bool]string{true: ", the name and the password"}[d.plan.smtp.Username != ""], d.plan.from)
}

// mends says what to do about a mail server that cannot be used.
func mends(err error, from string) string {
	answer := string(mail.AnswerIn(err))
	_, isDNS := errors.AsType[*net.DNSError](err)
	_, isCertificate := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case strings.HasPrefix(answer, "53"):
		return "Correct username and password in [mail]."
	case errors.Is(err, mail.ErrSender):
		return "Correct from in [mail], or let the mail server take letters from " + from + "."
	case errors.Is(err, syscall.ECONNREFUSED), isDNS, errors.Is(err, context.DeadlineExceeded):
		return "Correct address in [mail], or open the way to it from this machine."
	case isCertificate:
		return "Write the name that stands in its certificate as address in [mail]."
	}
	return "Correct tls in [mail]: \"starttls\" is usual on port 587, \"tls\" on 465."
}

// refusalsShown is how far back doctor looks for letters that were refused.
const refusalsShown = 7 * 24 * time.Hour

// refusals lists what the mail server refuses, and why, even while the server cannot be
// reached.
func (d *doctor) refusals(open *db.DB) {
	const check = "letters"
	if open == nil {
		return
	}
	all, err := mail.Refusals(d.ctx, open, open.Now().Add(-refusalsShown))
	if err != nil {
		d.fail(check, "they cannot be read: %v.", err)
		return
	}
	for _, answer := range slices.Sorted(maps.Keys(all)) {
		d.note(check, "%d refused in the last 7 days, or not accepted yet, because the mail server answered %s: %s.", all[answer], answer, means(answer))
	}
}

// tooLong is how long a letter waits where something is wrong; the alert ParvisLettersWait has the same.
const tooLong = 15 * time.Minute

// waiting says so of letters that do not leave. Without a mail server they have to wait.
func (d *doctor) waiting(open *db.DB) {
	const check = "letters"
	if open == nil || d.plan.smtp == nil {
		return
	}
	n, oldest, err := mail.Unsent(d.ctx, open)
	if err != nil {
		d.fail(check, "those that wait cannot be read: %v.", err)
		return
	}
	if n > 0 && open.Now().Sub(oldest) > tooLong {
		d.note(check, "%d wait, the oldest since %s: does 'parvis serve' run, and what does its log say of 'mail server'?", n, oldest.UTC().Format(time.DateTime+" MST"))
	}
}
