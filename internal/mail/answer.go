package mail

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/textproto"
	"regexp"
	"strconv"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"

	"parvis/internal/db"
)

// An Answer is the part of a mail server's answer that we keep: the code and, if there is
// one, the enhanced status, such as '550 5.1.1'. The rest of its text is dropped as soon as
// it is read, because it may quote the letter, with a link that lets somebody in (decision 0040).
type Answer string

// An enhanced status stands at the beginning of the text (RFC 2034 §4) and has a
// class and two numbers of up to three digits (RFC 3463 §2).
var enhancedStatus = regexp.MustCompile(`^([245])\.[0-9]{1,3}\.[0-9]{1,3}(?:\s|$)`)

// answerOf reads a reply. A status whose class contradicts the code is left out
// (RFC 2034 §4).
func answerOf(code int, text string) Answer {
	kept := strconv.Itoa(code)
	if m := enhancedStatus.FindStringSubmatch(text); m != nil && m[1] == kept[:1] {
		kept += " " + strings.TrimSpace(m[0])
	}
	return Answer(kept)
}

// Key returns the catalogue key of the sentence that explains the answer. It is empty if
// the server accepted the letter or did not answer.
func (a Answer) Key() string {
	code, status, _ := strings.Cut(string(a), " ")
	_, about, _ := strings.Cut(status, ".")
	if code == "" || code[0] == '2' {
		return ""
	}
	// Of the reasons for trying later, a full mailbox is the only one that a person can remove.
	if about == "2.2" || status == "" && (code == "552" || code == "452") {
		return "mail.answer.full"
	}
	if code[0] == '4' {
		return "mail.answer.later"
	}
	// RFC 3463 §3, and for servers without enhanced status RFC 5321 §4.2.2.
	switch {
	case about == "1.2" || about == "1.10" || about == "4.3" || about == "4.4":
		return "mail.answer.no_domain"
	case about == "1.7" || about == "1.8":
		return "mail.answer.sender"
	case strings.HasPrefix(about, "1.") || about == "2.0" || about == "2.1":
		return "mail.answer.no_mailbox"
	case about == "2.3" || about == "3.4":
		return "mail.answer.too_large"
	case strings.HasPrefix(about, "7."):
		return "mail.answer.policy"
	case status == "" && (code == "501" || code == "551" || code == "553"):
		return "mail.answer.no_mailbox"
	case code == "504" || code == "530" || code == "534" || code == "535" || code == "538":
		return "mail.answer.server"
	}
	return "mail.answer.refused"
}

// serverAnswer is the error for an answer other than the one we need.
type serverAnswer struct{ answer Answer }

func (e *serverAnswer) Error() string { return "the mail server answered " + string(e.answer) }

// withoutWords removes the server's text from an error of a connection. Errors of the
// network and of TLS are returned as they are; any other might quote the server.
func withoutWords(err error) error {
	if said, ok := errors.AsType[*textproto.Error](err); ok {
		return &serverAnswer{answerOf(said.Code, said.Msg)}
	}
	_, network := errors.AsType[net.Error](err)
	_, certificate := errors.AsType[*tls.CertificateVerificationError](err)
	_, record := errors.AsType[tls.RecordHeaderError](err)
	switch {
	case network, certificate, record, errors.Is(err, io.EOF), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case strings.Contains(err.Error(), "does not support STARTTLS"): // go-mail has no error value for these two
		return errors.New("the mail server offers no STARTTLS")
	case strings.Contains(err.Error(), "does not support SMTP AUTH"), errors.Is(err, gomail.ErrNoSupportedAuthDiscovered):
		return errors.New("the mail server offers no way to sign in that is used here")
	}
	return errors.New("the mail server's answer could not be understood")
}

// AnswerIn returns the server's answer that an error of this package holds. It is empty if
// the error holds none.
func AnswerIn(err error) Answer {
	if said, ok := errors.AsType[*serverAnswer](err); ok {
		return said.answer
	}
	return ""
}

// Refusals counts, by the server's answer, the letters that the server has refused since a
// time or has not accepted yet. It is for the operator and counts those of all organizations.
func Refusals(ctx context.Context, r db.Reader, since time.Time) (map[Answer]int, error) {
	all := map[Answer]int{}
	err := r.Rows(ctx, func(scan func(...any) error) error {
		var answer Answer
		var n int
		err := scan((*db.Text)(&answer), &n)
		all[answer] = n
		return err
	}, `
		select reply, count(*) from letters
		where reply is not null and (bounced_at > $1 or next_try_at is not null)
		group by reply`, db.Time(since))
	return all, err
}

// Backlog is what an organization's letters wait for.
type Backlog struct {
	Letters int       // that no mail server has accepted
	Since   time.Time // of the oldest
}

// BacklogOf returns the letters of an organization that wait for a mail server since before a
// time.
func BacklogOf(ctx context.Context, r db.Reader, orgID string, before time.Time) (Backlog, error) {
	var b Backlog
	_, err := r.One(ctx, db.Into(&b.Letters, (*db.Time)(&b.Since)), `
		select count(*), min(created_at)
		from letters
		where org_id = $1 and next_try_at is not null and created_at < $2`, orgID, db.Time(before))
	return b, err
}

// RefusedTo returns the addresses to which a letter was refused for good since a time and none
// was sent later, the last refused first.
func RefusedTo(ctx context.Context, r db.Reader, orgID string, since time.Time) ([]string, error) {
	return db.List(ctx, r, db.Value[string], `
		select l.recipient
		from letters l
		where l.org_id = $1 and l.bounced_at is not null and l.bounced_at > $2 and not exists (
			select 1 from letters s
			where s.org_id = l.org_id and s.recipient = l.recipient and s.created_at > l.created_at and s.sent_at is not null)
		group by l.recipient
		order by max(l.bounced_at) desc, l.recipient
		limit 100`, orgID, db.Time(since))
}

// A Delivery says what became of a letter. It is for packages that keep the letter's id in
// their own rows: they join letters as l and read DeliveryColumns. The link in a letter that
// was refused for good is dead, so a look-up of a link must also require that l.bounced_at
// is null.
type Delivery struct {
	SentAt    time.Time
	BouncedAt time.Time // the mail server refused it for good
	GivenUpAt time.Time // withdrawn, or no mail server accepted it in time
	Answer    Answer    // what the mail server last answered
}

// DeliveryColumns are the columns that Targets scans. All are null if there is no letter.
const DeliveryColumns = `l.sent_at, l.bounced_at, l.given_up_at, l.reply`

// Targets are the scan targets of DeliveryColumns.
func (d *Delivery) Targets() []any {
	return db.Into((*db.Time)(&d.SentAt), (*db.Time)(&d.BouncedAt), (*db.Time)(&d.GivenUpAt), (*db.Text)(&d.Answer))
}

// Refused reports whether the mail server refused the letter for good, so that its
// link is dead.
func (d Delivery) Refused() bool { return !d.BouncedAt.IsZero() }

// State says what became of a letter.
type State string

// The states. All but Waiting are final.
const (
	Waiting State = "waiting"
	Sent    State = "sent"     // a mail server accepted it; nobody knows whether it was read
	Bounced State = "bounced"  // the mail server refused it for good
	GivenUp State = "given_up" // withdrawn, or too old to be of use
)

// State returns the state that the letter is in.
func (d Delivery) State() State {
	switch {
	case !d.SentAt.IsZero():
		return Sent
	case d.Refused():
		return Bounced
	case !d.GivenUpAt.IsZero():
		return GivenUp
	}
	return Waiting
}
