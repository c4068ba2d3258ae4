package console

import (
	"parvis/internal/administration"
	"parvis/internal/directory"
)

// deed is a deed of the administration as pages show it.
type deed struct {
	administration.Deed
	Button string // catalogue keys: what it is called,
	What   string // what it does, said before it is done,
	Done   string // and what was done
}

// saidOf is what pages say about the deeds that give no role.
var saidOf = map[string]deed{
	"reset":        {Button: "console.deed.reset", What: "console.deed.reset_what", Done: "console.deed.reset_done"},
	"new-password": {Button: "console.deed.password", What: "console.deed.password_what", Done: "console.deed.password_done"},
	"end-sessions": {Button: "console.deed.sessions", What: "console.deed.sessions_what", Done: "console.deed.sessions_done"},
	"deactivate":   {Button: "console.deed.deactivate", What: "console.deed.deactivate_what", Done: "console.deed.deactivate_done"},
	"reactivate":   {Button: "console.deed.reactivate", What: "console.deed.reactivate_what", Done: "console.deed.reactivate_done"},
	"delete":       {Button: "console.deed.delete", What: "console.deed.delete_what", Done: "console.deed.delete_done"},
	"restore":      {Button: "console.deed.restore", What: "console.deed.restore_what", Done: "console.deed.restore_done"},
}

func shownDeed(d administration.Deed) deed {
	s := saidOf[d.Name]
	if d.Role != "" {
		s = deed{Button: "console.deed.role", What: "console.deed.role_what", Done: "console.deed.role_done"}
	}
	s.Deed = d
	return s
}

func shownDeeds(all []administration.Deed) []deed {
	var some []deed
	for _, d := range all {
		some = append(some, shownDeed(d))
	}
	return some
}

// deedsFor returns the deeds that somebody with a role may do to anybody.
func deedsFor(by directory.Role) (plain, roles []deed) {
	p, r := administration.DeedsFor(by, nil)
	return shownDeeds(p), shownDeeds(r)
}

// roleKey returns the catalogue key of a role.
func roleKey(r directory.Role) string { return "console.role." + string(r) }
