package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"parvis/internal/api/form"
	"parvis/internal/db"
	"parvis/internal/fault"
	"parvis/internal/naming"
)

// mostListed is how many things a section may list: more than an organization has of any.
const mostListed = 1000

var errLong = fault.Field("", "api.configuration_long")

// combine lays what was sent over what is: what was not sent stays, and each thing of a list is laid
// over the one that it names.
func combine(was, sent object) (whole object, mistakes []error) {
	whole = maps.Clone(was)
	for name, section := range sent {
		i := slices.IndexFunc(parts, func(p part) bool { return p.name == name })
		list, ok := section.([]any)
		if named, ok := section.(object); ok && name == "organization" && textOf(named, "id") == "" {
			section = without(named, "short_name") // by which it is only named
		}
		if i < 0 || !ok {
			whole[name] = merge(was[name], section)
			continue
		}
		if len(list) > mostListed {
			mistakes = append(mistakes, wrong{pointer: "/" + name, why: errLong.With("Most", mostListed)})
			continue
		}
		before, _ := was[name].([]any)
		all, some := parts[i].overlay(before, list)
		whole[name], mistakes = all, append(mistakes, some...)
	}
	return whole, mistakes
}

// overlay lays things that were sent over those that they name: by their ids first, then by the
// names of those that have no id.
func (p part) overlay(was, sent []any) ([]any, []error) {
	all := make([]any, 0, len(sent))
	over, mistakes := p.named(was, sent)
	for i, one := range sent {
		changes, ok := one.(object)
		if !ok {
			all = append(all, one) // fill says what is wrong with it
			continue
		}
		// By a name that means the same nothing is renamed.
		if now := textOf(one, "name"); now != "" && textOf(one, "id") == "" && p.fold(now) == p.fold(textOf(over[i], "name")) {
			changes = maps.Clone(changes)
			delete(changes, "name")
		}
		all = append(all, merge(maps.Clone(over[i]), changes))
	}
	return all, mistakes
}

// named returns what each of the things that were sent is laid over: the one that it names, or the
// blank of a new one.
func (p part) named(was, sent []any) (over []object, mistakes []error) {
	over = make([]object, len(sent))
	taken, names, called := map[int]bool{}, map[string]bool{}, map[string][]int{}
	for n, w := range was {
		name := p.fold(textOf(w, "name"))
		called[name] = append(called[name], n)
	}
	at := func(i int, field string, why *fault.Error) {
		mistakes = append(mistakes, wrong{pointer: fmt.Sprintf("/%s/%d/%s", p.name, i, field), why: why})
	}
	for i, one := range sent {
		item, _ := one.(object)
		over[i] = p.blank(item)
		id := textOf(one, "id")
		if id == "" {
			continue
		}
		n := slices.IndexFunc(was, func(w any) bool { return textOf(w, "id") == id })
		switch {
		case n < 0:
			at(i, "id", errNoSuchID)
		case taken[n]:
			at(i, "id", errNamed)
		default:
			taken[n], over[i] = true, was[n].(object)
		}
	}
	for i, one := range sent {
		name := p.fold(textOf(one, "name"))
		if textOf(one, "id") != "" || name == "" {
			continue
		}
		found := slices.DeleteFunc(slices.Clone(called[name]), func(n int) bool { return taken[n] })
		switch {
		case names[name]:
			at(i, "name", errNamed)
		case len(found) > 1:
			at(i, "name", errUnclear)
		case len(found) == 1:
			taken[found[0]], over[i] = true, was[found[0]].(object)
		case p.fixed:
			at(i, "name", errNotHere)
		}
		names[name] = true
	}
	return over, mistakes
}

// textOf returns a text field of an object, or an empty text.
func textOf(v any, field string) string {
	o, _ := v.(object)
	text, _ := o[field].(string)
	return text
}

// mostPasses is how often deeds are tried that others of them stood in the way of.
const mostPasses = 3

// perform does deeds one after the other, and names all that is wrong with them. One that is refused
// is tried again after the others: a name may be free then, or a rule no longer in the way.
func perform(ctx context.Context, tx *db.Tx, steps []step) error {
	for pass := 1; ; pass++ {
		var refused []step
		var mistakes []error
		for _, s := range steps {
			err := s.do(ctx, tx)
			all := fault.All(err)
			switch {
			case err == nil:
				continue
			case len(all) == 0 || all[0].Kind == fault.Unproven || all[0].Kind == fault.Throttled:
				return err
			}
			refused, mistakes = append(refused, s), append(mistakes, under(s.pointer, err))
		}
		if len(refused) == 0 || len(refused) == len(steps) || pass == mostPasses {
			return errors.Join(mistakes...)
		}
		steps = refused
	}
}

// under names the places of faults in the whole that was sent, of which pointer leads to a part.
func under(pointer string, err error) error {
	all := places(err)
	if all == nil {
		return wrong{pointer: pointer, why: fault.All(err)[0]}
	}
	mistakes := make([]error, len(all))
	for i, w := range all {
		w.pointer = pointer + w.pointer
		mistakes[i] = w
	}
	return errors.Join(mistakes...)
}

// differences lists what is another thing now, in the order of the configuration.
func (x *call) differences(before, after form.Configuration) []form.Change {
	was, now := tree(before), tree(after)
	all := []form.Change{}
	changed := func(kind, name string, id *string, from, to any) {
		if fields := x.secretly(id, differing("", from, to)); len(fields) > 0 {
			all = append(all, form.Change{Do: "change", Kind: kind, ID: id, Name: name, Fields: fields})
		}
	}
	changed("organization", after.Organization.Name, &after.Organization.ID, was["organization"], now["organization"])
	wasRules, nowRules := was["rules"].(object), now["rules"].(object)
	for _, name := range []string{"password", "second_step", "sessions"} {
		changed("rules", name, nil, wasRules[name], nowRules[name])
	}
	for _, p := range parts {
		before, after := was[p.name].([]any), now[p.name].([]any)
		// What is made at one time has no other order that stays.
		for _, list := range [][]any{before, after} {
			slices.SortStableFunc(list, func(a, b any) int { return cmp.Compare(naming.Fold(textOf(a, "name")), naming.Fold(textOf(b, "name"))) })
		}
		for _, one := range after {
			id, name := textOf(one, "id"), textOf(one, "name")
			if n := slices.IndexFunc(before, func(w any) bool { return textOf(w, "id") == id }); n >= 0 {
				changed(p.kind, name, &id, before[n], one)
				continue
			}
			made := form.Change{Do: "create", Kind: p.kind, ID: &id, Name: name, Fields: x.secretly(&id, differing("", p.made(one), without(one, "id")))}
			if shown, ok := x.secrets[id]; ok && p.kind == configuredWebhooks.kind {
				made.Secret = &shown
			} else if ok {
				made.ClientSecret = &shown
			}
			if x.dry {
				made.ID = nil // it will have another one
			}
			all = append(all, made)
		}
		for _, one := range before {
			if id := textOf(one, "id"); !slices.ContainsFunc(after, func(n any) bool { return textOf(n, "id") == id }) {
				all = append(all, form.Change{Do: "delete", Kind: p.kind, ID: &id, Name: textOf(one, "name"), Fields: []form.ChangedField{}})
			}
		}
	}
	return all
}

// secretly adds secrets, of which it does not show the values, to the fields that changed.
func (x *call) secretly(id *string, fields []form.ChangedField) []form.ChangedField {
	if id == nil {
		return fields
	}
	for _, name := range x.secretOf[*id] {
		fields = append(fields, form.ChangedField{Name: name})
	}
	return fields
}

// made returns what a thing has without anybody's asking.
func (p part) made(one any) object {
	if p.usual == nil {
		return p.blank(nil)
	}
	return p.usual(one.(object))
}

// without returns an object without a field.
func without(v any, field string) object {
	o := maps.Clone(v.(object))
	delete(o, field)
	return o
}

// differing lists the fields in which two values differ; those of objects inside are named with a
// dot.
func differing(name string, from, to any) (all []form.ChangedField) {
	was, ok := from.(object)
	now, both := to.(object)
	if !ok || !both {
		if !reflect.DeepEqual(from, to) {
			all = append(all, form.ChangedField{Name: name, From: from, To: to})
		}
		return all
	}
	for _, field := range slices.Sorted(maps.Keys(now)) {
		inside := field
		if name != "" {
			inside = name + "." + field
		}
		all = append(all, differing(inside, was[field], now[field])...)
	}
	return all
}
