package projector

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/services/projector/fold"
)

// sqlType is how a column's values are cast; they travel as text, one array a column.
func sqlType(t fold.Type) string {
	if t == fold.Numeric {
		return "numeric(24,4)"
	}
	return string(t)
}

// load reads the rows that are touched, in one statement.
func load(ctx context.Context, tx pgx.Tx, s *fold.Spec, touched []touch) (map[place]fold.Row, error) {
	keys := make([][]*string, len(s.Key))
	var tenants []string
	var generations []int64
	met := map[place]bool{}
	for _, t := range touched {
		if met[t.place] {
			continue
		}
		met[t.place] = true
		tenants, generations = append(tenants, t.tenant), append(generations, t.generation)
		for i, k := range s.Key {
			v, err := encode(t.Key[k])
			if err != nil {
				return nil, err
			}
			keys[i] = append(keys[i], v)
		}
	}
	args := []any{tenants, generations}
	var arrays, names, on strings.Builder
	for i, k := range s.Key {
		args = append(args, keys[i])
		fmt.Fprintf(&arrays, ", $%d::text[]", i+3)
		fmt.Fprintf(&names, ", %s", k)
		fmt.Fprintf(&on, " AND t.%s = v.%s::%s", k, k, sqlType(typeOf(s, k)))
	}
	var selected strings.Builder
	for _, c := range s.Columns {
		switch c.Type {
		case fold.Numeric, fold.Date:
			fmt.Fprintf(&selected, ", t.%s::text", c.Name)
		default:
			fmt.Fprintf(&selected, ", t.%s", c.Name)
		}
	}
	rows, err := tx.Query(ctx, `SELECT t.tenant_id, t.generation, t.sequence`+selected.String()+` FROM projection.`+s.Table+` t
		JOIN unnest($1::text[], $2::bigint[]`+arrays.String()+`) AS v (tenant_id, generation`+names.String()+`)
		ON t.tenant_id = v.tenant_id AND t.generation = v.generation`+on.String(), args...)
	if err != nil {
		return nil, fmt.Errorf("load rows of %s: %w", s.Table, err)
	}
	out := map[place]fold.Row{}
	defer rows.Close()
	for rows.Next() {
		at, row, err := scan(rows, s)
		if err != nil {
			return nil, fmt.Errorf("load rows of %s: %w", s.Table, err)
		}
		out[at] = row
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("load rows of %s: %w", s.Table, err)
	}
	return out, nil
}

// scan reads one row in the forms of package fold.
func scan(rows pgx.Rows, s *fold.Spec) (place, fold.Row, error) {
	var at place
	var sequence int64
	dst := []any{&at.tenant, &at.generation, &sequence}
	for _, c := range s.Columns {
		dst = append(dst, target(c.Type))
	}
	if err := rows.Scan(dst...); err != nil {
		return at, nil, err
	}
	row := fold.Row{"sequence": sequence}
	for i, c := range s.Columns {
		row[c.Name] = value(dst[i+3])
	}
	at.id = fold.KeyID(s, row)
	return at, row, nil
}

// target is where a column is scanned to; every column may be null.
func target(t fold.Type) any {
	switch t {
	case fold.BigInt:
		return new(*int64)
	case fold.Boolean:
		return new(*bool)
	case fold.Timestamptz:
		return new(*time.Time)
	case fold.TextArray:
		return new([]string)
	default:
		return new(*string)
	}
}

func value(dst any) any {
	switch p := dst.(type) {
	case **int64:
		return deref(*p)
	case **bool:
		return deref(*p)
	case **string:
		return deref(*p)
	case **time.Time:
		if *p == nil {
			return nil
		}
		return (**p).UTC()
	case *[]string:
		if *p == nil {
			return nil
		}
		return *p
	}
	return nil
}

func deref[T any](p *T) any {
	if p == nil {
		return nil
	}
	return *p
}

// encode writes a value as the text that Postgres casts; nil is null.
func encode(v any) (*string, error) {
	var s string
	switch x := v.(type) {
	case nil:
		return nil, nil
	case string:
		s = x
	case time.Time:
		s = x.UTC().Format(time.RFC3339Nano)
	case []string:
		b, err := json.Marshal(x)
		if err != nil {
			return nil, fmt.Errorf("encode list: %w", err)
		}
		s = string(b)
	default:
		s = fmt.Sprint(x)
	}
	return &s, nil
}

// store writes rows, in one statement.
func store(ctx context.Context, tx pgx.Tx, s *fold.Spec, order []place, rows map[place]fold.Row) error {
	tenants, generations, sequences := make([]string, len(order)), make([]int64, len(order)), make([]int64, len(order))
	columns := make([][]*string, len(s.Columns))
	for i, at := range order {
		row := rows[at]
		tenants[i], generations[i], sequences[i] = at.tenant, at.generation, row["sequence"].(int64)
		for j, c := range s.Columns {
			v, err := encode(row[c.Name])
			if err != nil {
				return fmt.Errorf("store rows of %s: column %s: %w", s.Table, c.Name, err)
			}
			columns[j] = append(columns[j], v)
		}
	}
	args := []any{tenants, generations, sequences}
	var arrays, names, casts, sets strings.Builder
	for j, c := range s.Columns {
		args = append(args, columns[j])
		fmt.Fprintf(&arrays, ", $%d::text[]", j+4)
		fmt.Fprintf(&names, ", %s", c.Name)
		if c.Type == fold.TextArray {
			fmt.Fprintf(&casts, ", CASE WHEN v.%[1]s IS NULL THEN NULL ELSE ARRAY(SELECT jsonb_array_elements_text(v.%[1]s::jsonb)) END", c.Name)
		} else {
			fmt.Fprintf(&casts, ", v.%s::%s", c.Name, sqlType(c.Type))
		}
		fmt.Fprintf(&sets, ", %[1]s = excluded.%[1]s", c.Name)
	}
	_, err := tx.Exec(ctx, `INSERT INTO projection.`+s.Table+` (tenant_id, generation, sequence`+names.String()+`)
		SELECT v.tenant_id, v.generation, v.sequence`+casts.String()+`
		FROM unnest($1::text[], $2::bigint[], $3::bigint[]`+arrays.String()+`) AS v (tenant_id, generation, sequence`+names.String()+`)
		ON CONFLICT (tenant_id, generation, `+strings.Join(s.Key, ", ")+`) DO UPDATE SET sequence = excluded.sequence`+sets.String(), args...)
	if err != nil {
		return fmt.Errorf("store rows of %s: %w", s.Table, err)
	}
	return nil
}

func typeOf(s *fold.Spec, column string) fold.Type {
	for _, c := range s.Columns {
		if c.Name == column {
			return c.Type
		}
	}
	return fold.Text
}
