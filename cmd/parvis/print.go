package main

import (
	"io"

	"parvis/internal/audit"
	"parvis/internal/webhook"
)

// What of the audit log a server can print.
const (
	printsInstallation = "installation" // what is in no organization's log
	printsAll          = "all"
)

func (c *configuration) checkPrint(p *plan) {
	if p.prints = c.Audit.Print; p.prints != "" && p.prints != printsInstallation && p.prints != printsAll {
		c.problem("%s is %q for what concerns no organization, or %q for everything; left out, nothing is printed.",
			c.by(&c.Audit.Print).title(), printsInstallation, printsAll)
	}
}

// printer returns what prints the audit log as JSON lines while a server runs.
func (p plan) printer(w io.Writer) audit.Printer {
	if p.prints == "" {
		return audit.Printer{}
	}
	return audit.Printer{All: p.prints == printsAll, Show: webhook.Lines(w)}
}
