package directory

import (
	"context"

	"parvis/internal/db"
	"parvis/internal/naming"
)

// Names are those by which an organization is known, or was until lately, as they are compared.
type Names struct {
	Keys            []string // display name, short name, and both together
	ShortSkeleton   string
	DisplaySkeleton string // empty for a former short name
}

// Keys returns how what people type is compared with an organization's names.
func (o Organization) Keys() []string {
	return []string{naming.OrganizationKey(o.ShortName), naming.OrganizationKey(o.DisplayName), naming.OrganizationKey(o.Distinct())}
}

// NamesOf returns how the names of an organization would be compared, whether or not there is one.
func NamesOf(display, short string) (Names, error) {
	d, err := naming.CleanName(display, "organization")
	if err != nil {
		return Names{}, err
	}
	s, err := naming.ParseShortName(short)
	return Names{
		Keys: Organization{DisplayName: d, ShortName: s.Text}.Keys(), ShortSkeleton: s.Skeleton, DisplaySkeleton: naming.DisplaySkeleton(d),
	}, err
}

// EachName calls each with the names of every organization, and with those that one gave up and that
// still lead to it.
func EachName(ctx context.Context, r db.Reader, each func(OrgID, Names)) error {
	if err := r.Rows(ctx, func(scan func(...any) error) error {
		var o Organization
		var n Names
		err := scan(&o.ID, &o.ShortName, &o.DisplayName, &n.ShortSkeleton, &n.DisplaySkeleton)
		n.Keys = o.Keys()
		each(o.ID, n)
		return err
	}, `select id, short_name, display_name, short_name_skeleton, display_name_skeleton from organizations`); err != nil {
		return err
	}
	return r.Rows(ctx, func(scan func(...any) error) error {
		var id OrgID
		var key string
		var n Names
		err := scan(&id, &key, &n.ShortSkeleton)
		n.Keys = []string{key}
		each(id, n)
		return err
	}, `select org_id, short_name_key, short_name_skeleton from former_short_names where ends_at > $1`, db.Time(r.Now()))
}
