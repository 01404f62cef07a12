package ledger

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/neuronx/engine/pkg/alias"
	"github.com/neuronx/engine/pkg/crm"
	"github.com/neuronx/engine/pkg/postgres"
)

// Aliases reads the merges that concern some subjects: all that make one what they are by now.
func (l Ledger) Aliases(ctx context.Context, q Querier, tenant string, subjects ...string) (alias.Aliases, error) {
	rows, err := q.Query(ctx, `WITH RECURSIVE up (subject) AS (
			SELECT unnest($3::text[])
			UNION
			SELECT a.merged_into FROM up JOIN neuronx.crm_aliases a ON a.tenant_id = $1 AND a.adapter = $2 AND a.subject = up.subject
		), tree (subject, merged_into, sequence) AS (
			SELECT a.subject, a.merged_into, a.sequence FROM up JOIN neuronx.crm_aliases a ON a.tenant_id = $1 AND a.adapter = $2 AND a.merged_into = up.subject
			UNION
			SELECT a.subject, a.merged_into, a.sequence FROM tree t JOIN neuronx.crm_aliases a ON a.tenant_id = $1 AND a.adapter = $2 AND a.merged_into = t.subject
		) SELECT subject, merged_into, sequence FROM tree`, tenant, l.Adapter, subjects)
	out := alias.Aliases{}
	var subject string
	var e alias.Edge
	err = postgres.ForEach(rows, err, "read merged subjects", []any{&subject, &e.Into, &e.Sequence}, func() error { out[subject] = e; return nil })
	return out, err
}

// AnyMerged reports whether a subject of the tenant is another one by now.
func (l Ledger) AnyMerged(ctx context.Context, q Querier, tenant string) (is bool, err error) {
	err = q.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM neuronx.crm_aliases WHERE tenant_id = $1 AND adapter = $2)`, tenant, l.Adapter).Scan(&is)
	return is, wrap("look for merged subjects", err)
}

// Lane is the lane of effects about a subject: the subject that it is by now.
func (l Ledger) Lane(ctx context.Context, q Querier, tenant, subject string) (string, error) {
	edges, err := l.Aliases(ctx, q, tenant, subject)
	return edges.Resolve(subject), err
}

// SamePerson reports whether two leads are one by merges.
func (l Ledger) SamePerson(ctx context.Context, q Querier, tenant, a, b string) (bool, error) {
	edges, err := l.Aliases(ctx, q, tenant, "lead/"+a, "lead/"+b)
	return edges.Resolve("lead/"+a) == edges.Resolve("lead/"+b), err
}

// Merge folds subject.merged: from is into from here on, and effects of both that are not sent yet share a lane. code says why it can't be; then
// nothing is changed.
func (l Ledger) Merge(ctx context.Context, q Querier, tenant, from, into string, sequence int64) (code string, err error) {
	if !alias.IsSubject(from) || !alias.IsSubject(into) {
		return alias.Malformed, nil
	}
	edges, err := l.Aliases(ctx, q, tenant, from, into)
	if err != nil {
		return "", err
	}
	next, code := edges.Merge(from, into, sequence)
	if code != "" {
		return code, nil
	}
	if err := l.insert(ctx, q, tenant, from, next[from]); err != nil {
		return "", err
	}
	_, err = q.Exec(ctx, `UPDATE neuronx.effects SET lane = $3 WHERE tenant_id = $1 AND CASE WHEN lane IS NULL THEN subject ELSE lane END = $2 AND status IN ('pending', 'sending')`,
		tenant, from, next.Resolve(from))
	return "", wrap("merge the lanes of effects", err)
}

// Unmerge folds subject.unmerged: from is a subject of its own again. A contact that was from's goes back to it, but where it was written to for
// into, it stays with into: Remains lists what does not come apart. code says why it can't be; then nothing is changed.
func (l Ledger) Unmerge(ctx context.Context, q Querier, tenant, from, into string) (code string, err error) {
	if !alias.IsSubject(from) || !alias.IsSubject(into) {
		return alias.Malformed, nil
	}
	parts, code, err := l.part(ctx, q, tenant, from, into)
	if err != nil || code != "" {
		return code, err
	}
	if err := postgres.Exec(ctx, q, "unmerge a subject", `DELETE FROM neuronx.crm_aliases WHERE tenant_id = $1 AND adapter = $2 AND subject = $3`,
		tenant, l.Adapter, from); err != nil {
		return "", err
	}
	if _, err := q.Exec(ctx, `UPDATE neuronx.effects SET lane = $4 WHERE tenant_id = $1 AND CASE WHEN lane IS NULL THEN subject ELSE lane END = $2 AND status IN ('pending', 'sending') AND subject = ANY($3)`,
		tenant, parts.root, parts.first, from); err != nil {
		return "", fmt.Errorf("part the lanes of effects: %w", err)
	}
	for _, c := range parts.contacts {
		if !c.stays {
			continue
		}
		if err := l.move(ctx, q, tenant, c.location, c.lead, strings.TrimPrefix(parts.root, "lead/")); err != nil {
			return "", err
		}
	}
	_, err = q.Exec(ctx, `UPDATE neuronx.crm_ids SET used_by = ARRAY(SELECT u FROM unnest(used_by) u WHERE u <> ALL(CASE WHEN local_id = ANY($3) THEN $4::text[] ELSE $3::text[] END))
		WHERE tenant_id = $1 AND adapter = $2 AND used_by <> '{}' AND (local_id = ANY($3) OR local_id = ANY($4))`, tenant, l.Adapter, leads(parts.first), leads(parts.second))
	return "", wrap("forget for whom contacts were written to", err)
}

// Remains lists, for people, what an unmerge would not take apart in the CRM. It lists nothing where the two were not merged.
func (l Ledger) Remains(ctx context.Context, q Querier, tenant, from, into string) ([]string, error) {
	parts, code, err := l.part(ctx, q, tenant, from, into)
	if err != nil || code != "" {
		return nil, err
	}
	var out []string
	for _, c := range parts.contacts {
		by := "lead " + strings.Join(c.users, ", lead ")
		if c.stays {
			out = append(out, fmt.Sprintf("contact %s was that of lead %s and stays with %s, because it was written to for %s; lead %s has none then", c.contact, c.lead, parts.root, by, c.lead))
			continue
		}
		out = append(out, fmt.Sprintf("what was written to contact %s of lead %s for %s stays there", c.contact, c.lead, by))
	}
	return out, nil
}

// parting is what an unmerge parts.
type parting struct {
	root          string   // that both sides are by now, and the second one stays
	first, second []string // subjects of either side
	contacts      []shared // of one side that were written to for the other, by location and lead
}

// shared is a contact of one side that was written to for leads of the other.
type shared struct {
	location, lead, contact string
	users                   []string
	stays                   bool // with the second side, which has no other
}

// part finds what an unmerge parts.
func (l Ledger) part(ctx context.Context, q Querier, tenant, from, into string) (p parting, code string, err error) {
	edges, err := l.Aliases(ctx, q, tenant, from, into)
	if err != nil {
		return p, "", err
	}
	next, _, code := edges.Unmerge(from, into)
	if code != "" {
		return p, code, nil
	}
	p.root = edges.Resolve(into)
	all := []string{p.root}
	for subject := range edges {
		all = append(all, subject)
	}
	slices.Sort(all)
	for _, subject := range all {
		switch next.Resolve(subject) {
		case from:
			p.first = append(p.first, subject)
		case p.root:
			p.second = append(p.second, subject)
		}
	}
	if !strings.HasPrefix(from, "lead/") {
		return p, "", nil
	}
	rows, err := q.Query(ctx, `SELECT i.location, i.local_id, i.remote_id, ARRAY(SELECT u FROM unnest(i.used_by) u WHERE u = ANY(CASE WHEN i.local_id = ANY($3) THEN $4::text[] ELSE $3::text[] END) ORDER BY u) AS users,
			i.local_id = ANY($3) AND NOT EXISTS (SELECT 1 FROM neuronx.crm_ids o WHERE o.tenant_id = $1 AND o.adapter = $2 AND o.location = i.location
				AND o.local_id = ANY($4) AND o.remote_id <> '')
		FROM neuronx.crm_ids i WHERE i.tenant_id = $1 AND i.adapter = $2 AND i.remote_id <> ''
		  AND (i.local_id = ANY($3) AND i.used_by && $4 OR i.local_id = ANY($4) AND i.used_by && $3) ORDER BY i.location, i.local_id`,
		tenant, l.Adapter, leads(p.first), leads(p.second))
	var c shared
	moved := map[string]bool{} // locations: the second side gets one contact there
	err = postgres.ForEach(rows, err, "find contacts that both sides used", []any{&c.location, &c.lead, &c.contact, &c.users, &c.stays}, func() error {
		c.stays = c.stays && !moved[c.location]
		moved[c.location] = moved[c.location] || c.stays
		p.contacts = append(p.contacts, c)
		c.users = nil
		return nil
	})
	return p, "", err
}

func leads(subjects []string) []string {
	out := make([]string, len(subjects))
	for i, s := range subjects {
		out[i] = strings.TrimPrefix(s, "lead/")
	}
	return out
}

// move gives the contact of a lead to another lead, with all that is known of it.
func (l Ledger) move(ctx context.Context, q Querier, tenant, location, lead, to string) error {
	var remote, email, phone string
	var known, facts []byte
	err := q.QueryRow(ctx, `SELECT remote_id, email, phone, known, facts FROM neuronx.crm_ids WHERE tenant_id = $1 AND adapter = $2 AND location = $3 AND local_id = $4 FOR UPDATE`,
		tenant, l.Adapter, location, lead).Scan(&remote, &email, &phone, &known, &facts)
	if err != nil {
		return fmt.Errorf("move a contact: %w", err)
	}
	if err := postgres.Exec(ctx, q, "move a contact", `UPDATE neuronx.crm_ids SET remote_id = '', email = '', phone = '', known = '{}', facts = '{}', used_by = '{}', fresh = false,
			version = version + 1, updated_at = now()
		WHERE tenant_id = $1 AND adapter = $2 AND location = $3 AND local_id = $4`, tenant, l.Adapter, location, lead); err != nil {
		return err
	}
	return postgres.Exec(ctx, q, "move a contact", `INSERT INTO neuronx.crm_ids AS i (tenant_id, adapter, location, local_id, remote_id, email, phone, known, facts) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
		ON CONFLICT (tenant_id, adapter, location, local_id) DO UPDATE SET remote_id = excluded.remote_id, email = excluded.email, phone = excluded.phone, known = excluded.known,
			facts = excluded.facts, fresh = false, version = i.version + 1, updated_at = now()`, tenant, l.Adapter, location, to, remote, email, phone, known, facts)
}

// Used notes that the contact of another lead was written to for this one, as an outcome in the log tells, if the two are one by then.
func (l Ledger) Used(ctx context.Context, q Querier, tenant, location, contact, lead string) error {
	owner, err := l.Owner(ctx, q, tenant, location, contact, lead)
	if err != nil || owner == "" || owner == crm.OtherTenant {
		return err
	}
	if same, err := l.SamePerson(ctx, q, tenant, owner, lead); err != nil || !same {
		return err
	}
	_, err = q.Exec(ctx, `UPDATE neuronx.crm_ids SET used_by = used_by || $5::text WHERE tenant_id = $1 AND adapter = $2 AND location = $3 AND local_id = $4 AND NOT $5 = ANY(used_by)`,
		tenant, l.Adapter, location, owner, lead)
	return wrap("note for whom a contact was written to", err)
}

// SetAliases replaces the merges of a tenant, and lets its effects that are not sent yet wait for one another by them. What is linked stays.
func (l Ledger) SetAliases(ctx context.Context, q Querier, tenant string, edges alias.Aliases) error {
	if _, err := q.Exec(ctx, `DELETE FROM neuronx.crm_aliases WHERE tenant_id = $1 AND adapter = $2`, tenant, l.Adapter); err != nil {
		return fmt.Errorf("set merges: %w", err)
	}
	if _, err := q.Exec(ctx, `UPDATE neuronx.effects SET lane = NULL WHERE tenant_id = $1 AND lane IS NOT NULL AND status IN ('pending', 'sending')`, tenant); err != nil {
		return fmt.Errorf("set merges: %w", err)
	}
	for _, subject := range slices.Sorted(maps.Keys(edges)) {
		if err := l.insert(ctx, q, tenant, subject, edges[subject]); err != nil {
			return err
		}
		if _, err := q.Exec(ctx, `UPDATE neuronx.effects SET lane = $3 WHERE tenant_id = $1 AND CASE WHEN lane IS NULL THEN subject ELSE lane END = $2 AND status IN ('pending', 'sending') AND lane IS NULL`,
			tenant, subject, edges.Resolve(subject)); err != nil {
			return fmt.Errorf("set merges: %w", err)
		}
	}
	return nil
}

func (l Ledger) insert(ctx context.Context, q Querier, tenant, subject string, e alias.Edge) error {
	return postgres.Exec(ctx, q, "merge a subject", `INSERT INTO neuronx.crm_aliases (tenant_id, adapter, subject, merged_into, sequence) VALUES ($1, $2, $3, $4, $5)`,
		tenant, l.Adapter, subject, e.Into, e.Sequence)
}
