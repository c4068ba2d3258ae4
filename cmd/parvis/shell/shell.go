// Package shell writes what a shell and a reader want to know of all commands: completions and the manual
// page. Both come from the commands themselves.
package shell

import (
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

// Completion returns a script that completes commands and flags in a shell: bash, zsh or fish.
func Completion(shell string, root *kong.Node) string {
	return map[string]func(*kong.Node) string{"bash": bash, "zsh": zsh, "fish": fish}[shell](root)
}

// eachCommand visits every command that is not hidden, with the words that lead to it, a space before
// each.
func eachCommand(n *kong.Node, path string, each func(path string, n *kong.Node)) {
	each(path, n)
	for _, child := range n.Children {
		if child.Type == kong.CommandNode && !child.Hidden {
			eachCommand(child, path+" "+child.Name, each)
		}
	}
}

// nextWords lists what may follow a command: commands and flags, with their help.
func nextWords(n *kong.Node) (words, help []string) {
	for _, child := range n.Children {
		if child.Type == kong.CommandNode && !child.Hidden {
			words, help = append(words, child.Name), append(help, child.Help)
		}
	}
	for _, group := range n.AllFlags(true) {
		for _, f := range group {
			words, help = append(words, "--"+f.Name), append(help, f.Help)
		}
	}
	return words, help
}

// steps is a case for each command: it goes one word further, whatever flags are in between.
func steps(root *kong.Node) string {
	var all []string
	eachCommand(root, "", func(path string, n *kong.Node) {
		if n != root {
			all = append(all, `"`+path+`"`)
		}
	})
	return strings.Join(all, "|")
}

func bash(root *kong.Node) string {
	var s strings.Builder
	fmt.Fprintf(&s, "_parvis() {\n\tlocal path= word\n\tfor word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n\t\tcase \"$path $word\" in\n\t\t%s) path+=\" $word\" ;;\n\t\tesac\n\tdone\n\tcase $path in\n", steps(root))
	eachCommand(root, "", func(path string, n *kong.Node) {
		words, _ := nextWords(n)
		fmt.Fprintf(&s, "\t%q) mapfile -t COMPREPLY < <(compgen -W %q -- \"${COMP_WORDS[COMP_CWORD]}\") ;;\n", path, strings.Join(words, " "))
	})
	s.WriteString("\tesac\n}\ncomplete -o default -F _parvis parvis\n")
	return s.String()
}

func zsh(root *kong.Node) string {
	var s strings.Builder
	fmt.Fprintf(&s, "#compdef parvis\nlocal at= word\nlocal -a next\nfor word in ${words[2,CURRENT-1]}; do\n\tcase \"$at $word\" in\n\t%s) at+=\" $word\" ;;\n\tesac\ndone\ncase $at in\n", steps(root))
	eachCommand(root, "", func(path string, n *kong.Node) {
		words, help := nextWords(n)
		fmt.Fprintf(&s, "%q) next=(", path)
		for i, w := range words {
			fmt.Fprintf(&s, " '%s:%s'", w, strings.NewReplacer("'", `'\''`, ":", `\:`).Replace(help[i]))
		}
		s.WriteString(" ) ;;\n")
	})
	s.WriteString("esac\n_describe parvis next || _files\n")
	return s.String()
}

func fish(root *kong.Node) string {
	var s strings.Builder
	s.WriteString("function __parvis_at\n\tset -l at ''\n\tfor word in (commandline -opc)[2..]\n\t\tswitch \"$at $word\"\n\t\t\tcase")
	eachCommand(root, "", func(path string, n *kong.Node) {
		if n != root {
			fmt.Fprintf(&s, " %q", path)
		}
	})
	s.WriteString("\n\t\t\t\tset at \"$at $word\"\n\t\tend\n\tend\n\ttest \"$at\" = \"$argv[1]\"\nend\n")
	eachCommand(root, "", func(path string, n *kong.Node) {
		words, help := nextWords(n)
		for i, w := range words {
			fmt.Fprintf(&s, "complete -c parvis -n '__parvis_at %q' -a '%s' -d '%s'\n", path, w, strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(help[i]))
		}
	})
	return s.String()
}

// Manual writes the manual page (man-pages(7)): what --help says of every command, on one page.
func Manual(w io.Writer, root *kong.Node) {
	text := func(s string) string {
		s = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(s)
		if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
			s = `\&` + s
		}
		return s
	}
	fmt.Fprintf(w, ".TH PARVIS 1\n.SH NAME\nparvis \\- front door for business applications\n.SH SYNOPSIS\n.B parvis\n.I command\n[flags]\n.SH DESCRIPTION\n%s\n.SH COMMANDS\n", text(root.Help))
	eachCommand(root, "", func(path string, n *kong.Node) {
		if len(n.Children) > 0 && n != root {
			return
		}
		if n != root {
			fmt.Fprintf(w, ".SS %s\n%s\n", text(strings.TrimPrefix(n.Summary(), "parvis ")), text(n.Help))
		} else {
			fmt.Fprint(w, ".SS every command\n")
		}
		for _, a := range n.Positional {
			fmt.Fprintf(w, ".TP\n.I %s\n%s\n", text(a.Name), text(a.Help))
		}
		for _, f := range n.Flags {
			fmt.Fprintf(w, ".TP\n.B %s\n%s\n", text(strings.TrimSpace(f.String())), text(f.Help))
		}
	})
	fmt.Fprint(w, ".SH ENVIRONMENT\nEach setting of the configuration file can be a variable: PARVIS_MAIL_ADDRESS is [mail] address.\n"+
		".SH FILES\n.TP\n.I /etc/parvis/parvis.toml\nthe configuration of the packages' service; 'parvis config \\-\\-example' prints one with every setting\n"+
		".TP\n.I /var/lib/parvis\nthe keys and, on SQLite, the database of that service\n"+
		".SH EXIT STATUS\n0 if it was done, 1 if not, 2 if it was asked wrongly, 3 if 'parvis admin apply \\-\\-plan' would change something.\n")
}
