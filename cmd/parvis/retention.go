package main

import (
	"cmp"
	"strconv"

	"parvis/internal/audit"
	"parvis/internal/mail"
	"parvis/internal/number"
)

// kept says for how many days events may be kept at most, and letters are.
type kept struct{ audit, letters int }

func (c *configuration) checkRetention(p *plan) {
	p.kept.audit = c.days(&c.Retention.Audit, audit.LongestKept, audit.ShortestKept)
	p.kept.letters = c.days(&c.Retention.Letters, mail.KeptByDefault, mail.ShortestKept)
}

// days reads a number of days, of which there must be some and no more than ten years.
func (c *configuration) days(text *string, otherwise, least int) int {
	*text = cmp.Or(*text, strconv.Itoa(otherwise))
	days, ok := number.Parse(*text)
	if !ok || days < least || days > audit.LongestKept {
		c.problem("%s is a number of days from %d to %d, as in \"%d\".", c.by(text).title(), least, audit.LongestKept, otherwise)
		return otherwise
	}
	return days
}
