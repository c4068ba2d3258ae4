package page

import (
	"fmt"
	"html/template"
	"strings"
)

// Crumb is a step on the way to a page. The page itself, at the end, has no path.
type Crumb struct{ Name, Path string }

// Room is a part of the installation whose pages have a menu, and breadcrumbs from its first page on.
type Room struct {
	Crumb
	Menu []Line
}

// Line is a line of a room's menu.
type Line struct {
	Crumb
	Here bool // this page, or one below it
}

// Trail returns the frame with the way to its page: a path in the viewer's organization and the
// name of the page there, for each step below the room, and the name of the page itself.
func (f Frame) Trail(steps ...string) Frame {
	f.trail = nil
	for ; len(steps) > 1; steps = steps[2:] {
		f.trail = append(f.trail, Crumb{steps[1], f.v.viewer.Path(steps[0])})
	}
	f.trail = append(f.trail, Crumb{Name: steps[0]})
	return f
}

// Nested returns the frame of a page that stands below the page of the menu that its path is under.
func (f Frame) Nested(name string) Frame {
	f.nested = true
	return f.Trail(name)
}

// Did returns the frame with what was done just before. It becomes the page's heading and begins
// its title, to be seen and heard first. What is no text, such as the false of a template's and,
// says that nothing was done.
func (f Frame) Did(sentence any) Frame {
	f.did, _ = sentence.(string)
	return f
}

// Room returns the frame with the room that its page is in: path and name of the room, and of
// each page of its menu. Further paths that a line of the menu stands for follow the first, after
// spaces. A path that is no text belongs to a line that this viewer does not have.
func (f Frame) Room(path, name string, menu ...any) Frame {
	f.room = Room{Crumb: Crumb{name, f.v.viewer.Path(path)}}
	here, longest := -1, 0
	for ; len(menu) > 1; menu = menu[2:] {
		paths, _ := menu[0].(string)
		if paths == "" {
			continue
		}
		for i, p := range strings.Fields(paths) {
			if i == 0 {
				f.room.Menu = append(f.room.Menu, Line{Crumb: Crumb{fmt.Sprint(menu[1]), f.v.viewer.Path(p)}})
			}
			// Of a page and one below it that has a line of its own, the nearer one is meant.
			if f.Under(p) && len(p) > longest {
				here, longest = len(f.room.Menu)-1, len(p)
			}
		}
	}
	if here >= 0 {
		f.room.Menu[here].Here = true
		if f.nested {
			f.trail = append([]Crumb{f.room.Menu[here].Crumb}, f.trail...)
		}
	}
	return f
}

// Menu returns the lines of the room's menu.
func (f Frame) Menu() []Line { return f.room.Menu }

// RoomName returns the name of the room.
func (f Frame) RoomName() string { return f.room.Name }

// InMenu names the line of the menu that the page is under, or the room.
func (f Frame) InMenu() string {
	for _, c := range f.room.Menu {
		if c.Here {
			return c.Name
		}
	}
	return f.room.Name
}

// Crumbs returns the way to the page, from the room to the page itself.
func (f Frame) Crumbs() []Crumb { return append([]Crumb{f.room.Crumb}, f.trail...) }

// Done reports whether the page shows what was done.
func (f Frame) Done() bool { return f.did != "" }

// Heading returns what was done, or else the page's name.
func (f Frame) Heading() string {
	if f.did != "" {
		return f.did
	}
	return f.trail[len(f.trail)-1].Name
}

// Title returns the title of a page with a trail, the nearest first.
func (f Frame) Title() string {
	var parts []string
	if f.did != "" {
		parts = append(parts, f.did)
	}
	for i := len(f.trail) - 1; i >= 0; i-- {
		parts = append(parts, f.trail[i].Name)
	}
	return strings.Join(append(parts, f.room.Name, "Parvis"), " · ")
}

// The places where a long address may go on in the next line: before these signs, and after those.
const breaksBefore, breaksAfter = "@.?&=#%", "/:,"

// Breaks writes an address, an id, or a text with one in it, with the places marked where it may
// be broken: not in the middle of a word, as long as there is another place.
func (f Frame) Breaks(text any) template.HTML {
	s := fmt.Sprint(text)
	var b strings.Builder
	from := 0
	for i := 1; i < len(s); i++ {
		inside := s[i-1] != ' ' && s[i] != ' ' // what stands beside a space breaks there
		before := strings.IndexByte(breaksBefore, s[i]) >= 0 && i+1 < len(s) && s[i+1] != ' ' && !isDigit(s[i+1])
		after := strings.IndexByte(breaksAfter, s[i-1]) >= 0 && s[i] != '/' && !isDigit(s[i])
		if inside && (before || after) {
			b.WriteString(template.HTMLEscapeString(s[from:i]) + "<wbr>")
			from = i
		}
	}
	return template.HTML(b.String() + template.HTMLEscapeString(s[from:])) //nolint:gosec // All of the text is escaped.
}

// isDigit reports whether what follows belongs to a number, a time or a network address.
func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// Why is an explanation behind a small question mark. It is the dot of the template "why".
type Why struct{ ID, Label, Text string }

// Why returns the explanation of the input with this id; the input is described by id-why.
func (f Frame) Why(id, name, text string) Why {
	return Why{id, f.T("page.why", "Name", name), text}
}

// Number writes a number the way the language does.
func (f Frame) Number(n int) string { return f.v.lang.Number(n) }

// Explained adds what few people need to know, behind a question mark.
func (f Field) Explained(text string) Field {
	f.Why = f.frame.Why(f.Name, f.Label, text)
	return f
}

// DescribedBy lists the ids of the elements that describe the input.
func (f Field) DescribedBy() string {
	var ids []string
	if f.Why.Text != "" {
		ids = append(ids, f.Name+"-why")
	}
	if f.Hint != "" {
		ids = append(ids, f.Name+"-hint")
	}
	if f.Error != "" {
		ids = append(ids, f.Name+"-error")
	}
	if f.described != "" {
		ids = append(ids, f.described)
	}
	return strings.Join(ids, " ")
}
