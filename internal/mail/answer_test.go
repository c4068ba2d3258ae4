package mail

import (
	"bufio"
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"parvis/internal/mailbox"
)

func TestOnlyCodeAndStatusOfAnAnswerAreKept(t *testing.T) {
	tests := []struct {
		code        int
		text        string
		kept, means string
	}{
		{550, "5.1.1 <ada@example.org>: no such user", "550 5.1.1", "mail.answer.no_mailbox"},
		{550, "5.1.10 null MX", "550 5.1.10", "mail.answer.no_domain"},
		{550, "5.1.2 Host unknown", "550 5.1.2", "mail.answer.no_domain"},
		{550, "5.1.8 Bad sender", "550 5.1.8", "mail.answer.sender"},
		{552, "5.2.2 Over quota", "552 5.2.2", "mail.answer.full"},
		{452, "4.2.2 Over quota", "452 4.2.2", "mail.answer.full"},
		{552, "Over quota", "552", "mail.answer.full"},
		{552, "5.3.4 Too big", "552 5.3.4", "mail.answer.too_large"},
		{554, "5.7.1 Message contains a listed URL: " + link, "554 5.7.1", "mail.answer.policy"},
		{554, "Message contains a listed URL: " + link, "554", "mail.answer.refused"},
		{451, "4.7.1 Greylisted: " + link, "451 4.7.1", "mail.answer.later"},
		{504, "5.5.2 <vm>: need fully-qualified hostname", "504 5.5.2", "mail.answer.server"},
		{535, "5.7.8 wrong password", "535 5.7.8", "mail.answer.policy"},
		{553, "not allowed", "553", "mail.answer.no_mailbox"},
		{250, "2.0.0 OK " + link, "250 2.0.0", ""},
		{250, link, "250", ""},
		{550, "4.1.1 a class that contradicts the code", "550", "mail.answer.refused"},
		{550, "5.1.1234 too long", "550", "mail.answer.refused"},
		{550, "5.1.1x no space", "550", "mail.answer.refused"},
		{550, "5.1", "550", "mail.answer.refused"},
		{550, "", "550", "mail.answer.refused"},
		{550, "5.1.1\n5.1.1 " + link, "550 5.1.1", "mail.answer.no_mailbox"},
	}
	for _, tt := range tests {
		got := answerOf(tt.code, tt.text)
		if string(got) != tt.kept {
			t.Errorf("%d %q: kept %q, want %q", tt.code, tt.text, got, tt.kept)
		}
		if got.Key() != tt.means {
			t.Errorf("%d %q: means %s, want %s", tt.code, tt.text, got.Key(), tt.means)
		}
	}
}

// A server may quote the letter at any step of a later connection, and in lines that are
// not part of an answer.
func TestTheWordsOfAMailServerAreNeitherKeptNorLogged(t *testing.T) {
	t.Parallel()
	const quote = "listed URL: https://parvis.example/invitation/TOKEN"
	tests := map[string]struct {
		answers map[string]string
		state   State
		answer  Answer
	}{
		"greeting refused":     {map[string]string{"": "554 5.7.1 " + quote}, Waiting, "554 5.7.1"},
		"greeting is nonsense": {map[string]string{"": quote}, Waiting, ""},
		"EHLO refused":         {map[string]string{"EHLO": "550 5.7.1 " + quote, "HELO": "550 5.7.1 " + quote}, Waiting, "550 5.7.1"},
		"sender refused":       {map[string]string{"MAIL": "550 5.1.8 " + quote}, Waiting, "550 5.1.8"},
		"sender is nonsense":   {map[string]string{"MAIL": quote}, Waiting, ""},
		"recipient refused":    {map[string]string{"RCPT": "550 5.1.1 " + quote}, Bounced, "550 5.1.1"},
		"recipient put off":    {map[string]string{"RCPT": "451 4.7.1 " + quote}, Waiting, "451 4.7.1"},
		"our name refused":     {map[string]string{"RCPT": "504 5.5.2 " + quote}, Waiting, "504 5.5.2"},
		"content refused":      {map[string]string{".": "554 5.7.1 " + quote}, Bounced, "554 5.7.1"},
		"content put off":      {map[string]string{".": "451 " + quote}, Waiting, "451"},
		"content in trouble":   {map[string]string{".": "421 4.3.2 " + quote}, Waiting, "421 4.3.2"},
		"taken":                {map[string]string{".": "250 2.0.0 " + quote}, Sent, "250 2.0.0"},
		"answer is nonsense":   {map[string]string{".": quote}, Waiting, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, mailbox.Options{})
			var log bytes.Buffer
			b.outbox.log = slog.New(slog.NewTextHandler(&log, nil))
			b.outbox.server.Address, b.outbox.server.Timeout = scripted(t, tt.answers), 5*time.Second
			id := b.put(Letter{})
			b.sweep()
			got := b.stored(id)
			if got.state != tt.state {
				t.Errorf("the letter is %s, want %s", got.state, tt.state)
			}
			if got.answer != tt.answer {
				t.Errorf("kept %q, want %q", got.answer, tt.answer)
			}
			if strings.Contains(log.String(), "TOKEN") {
				t.Errorf("logged: %s", log.String())
			}
			if key := tt.answer.Key(); key != "" && !strings.Contains(log.String(), b.outbox.means(tt.answer)) && got.state != Waiting {
				t.Errorf("does not log what %q means: %s", tt.answer, log.String())
			}
			if err := b.outbox.server.Check(t.Context(), sender); err != nil && strings.Contains(err.Error(), "TOKEN") {
				t.Errorf("checking the server says %v", err)
			}
		})
	}
}

// scripted is a mail server with a given answer for each command; "" is its greeting and
// "." the end of a letter. To any other command it answers as a good server does.
func scripted(t *testing.T, answers map[string]string) string {
	t.Helper()
	return listening(t, answers, func(string) {})
}

// listening is scripted, and also calls heard with each line that is not part of a letter.
func listening(t *testing.T, answers map[string]string, hear func(string)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	good := map[string]string{"": "220 ready", "DATA": "354 go on", "QUIT": "221 bye"}
	talk := func(conn net.Conn) {
		defer conn.Close()
		say := func(verb string) {
			answer, ok := answers[verb]
			if !ok {
				if answer, ok = good[verb]; !ok {
					answer = "250 2.0.0 OK"
				}
			}
			_, _ = fmt.Fprintf(conn, "%s\r\n", answer) // the client may have hung up
		}
		say("")
		inLetter := false
		for lines := bufio.NewScanner(conn); lines.Scan(); {
			verb, _, _ := strings.Cut(strings.ToUpper(lines.Text()), " ")
			switch {
			case inLetter && lines.Text() == ".":
				inLetter = false
				say(".")
			case !inLetter:
				hear(lines.Text())
				say(verb)
				inLetter = verb == "DATA"
			}
		}
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go talk(conn)
		}
	}()
	return l.Addr().String()
}

// Many servers refuse a letter whose sender greets them as 'vm' or 'localhost'.
func TestTheServerIsGreetedByOurName(t *testing.T) {
	t.Parallel()
	heard := make(chan string, 1)
	b := newBench(t, mailbox.Options{})
	b.outbox.server.Name = "sign-in.meridian.example"
	b.outbox.server.Address = listening(t, nil, func(line string) {
		if strings.HasPrefix(line, "EHLO") {
			heard <- line
		}
	})
	b.put(Letter{})
	b.sweep()
	if got := <-heard; got != "EHLO sign-in.meridian.example" {
		t.Errorf("the server heard %q", got)
	}
}

func TestRefusalsAreCountedByAnswer(t *testing.T) {
	t.Parallel()
	b := newBench(t, mailbox.Options{})
	b.outbox.server.Address = scripted(t, map[string]string{"RCPT": "504 5.5.2 <vm>: need fully-qualified hostname"})
	b.put(Letter{})
	b.sweep()
	got, err := Refusals(t.Context(), b.d, b.clock.Now().Add(-time.Hour))
	if err != nil || len(got) != 1 || got["504 5.5.2"] != 1 {
		t.Errorf("got %v, %v", got, err)
	}
}
