package projector

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/postgres"
	"github.com/neuronx/engine/services/projector/fold"
)

// sqlType is how a column's values are cast; they travel as text, one array a column.
func sqlType(t fold.Type) string {
	switch t {
	case fold.Numeric:
		return "numeric(24,4)"
	case fold.Total:
		return "numeric(40,4)"
	case fold.Zone:
		return "text"
	}
	return string(t)
}

// keyed is a row's id and its key.
type keyed struct {
	rowID
	key map[string]any
}

// keysOf lists the rows that touches are on their way to, each once.
func keysOf(touched []touch) (out []keyed) {
	met := map[rowID]bool{}
	for _, t := range touched {
		if !met[t.rowID] {
			met[t.rowID] = true
			out = append(out, keyed{t.rowID, t.Key})
		}
	}
	return out
}

// join matches the table t with the rows of keys, as v: the arguments, and SQL for the FROM and for the condition.
func join(s *fold.Spec, at []keyed) (args []any, from, on string, _ error) {
	keys := make([][]*string, len(s.Key))
	var tenants []string
	var generations []int64
	for _, k := range at {
		tenants, generations = append(tenants, k.tenant), append(generations, k.generation)
		for i, name := range s.Key {
			v, err := encode(k.key[name])
			if err != nil {
				return nil, "", "", err
			}
			keys[i] = append(keys[i], v)
		}
	}
	args = []any{tenants, generations}
	from, on = "unnest($1::text[], $2::bigint[]", "t.tenant_id = v.tenant_id AND t.generation = v.generation"
	names := "tenant_id, generation"
	for i, k := range s.Key {
		args = append(args, keys[i])
		from += fmt.Sprintf(", $%d::text[]", i+3)
		names += ", " + k
		on += fmt.Sprintf(" AND t.%s = v.%s::%s", k, k, sqlType(typeOf(s, k)))
	}
	return args, from + ") AS v (" + names + ")", on, nil
}

// columnsOf selects what scan reads.
func columnsOf(s *fold.Spec) string {
	var selected strings.Builder
	selected.WriteString("t.tenant_id, t.generation, t.sequence")
	for _, c := range s.Stored() {
		switch c.Type {
		case fold.Numeric, fold.Total, fold.Date:
			fmt.Fprintf(&selected, ", t.%s::text", c.Name)
		default:
			fmt.Fprintf(&selected, ", t.%s", c.Name)
		}
	}
	if s.Stamped() {
		selected.WriteString(", t.stamps")
	}
	return selected.String()
}

// load reads rows, in one statement.
func load(ctx context.Context, tx pgx.Tx, s *fold.Spec, at []keyed) (map[rowID]fold.Row, error) {
	args, from, on, err := join(s, at)
	if err != nil {
		return nil, err
	}
	out := map[rowID]fold.Row{}
	err = each(ctx, tx, s, "JOIN "+from+" ON "+on, args, func(at rowID, row fold.Row) error {
		out[at] = row
		return nil
	})
	return out, err
}

// each calls fn with the rows of a table t, as far as clause keeps them.
func each(ctx context.Context, tx pgx.Tx, s *fold.Spec, clause string, args []any, fn func(rowID, fold.Row) error) error {
	rows, err := tx.Query(ctx, `SELECT `+columnsOf(s)+` FROM projection.`+s.Table+` t `+clause, args...)
	if err != nil {
		return fmt.Errorf("load rows of %s: %w", s.Table, err)
	}
	defer rows.Close()
	for rows.Next() {
		at, row, err := scan(rows, s)
		if err == nil {
			err = fn(at, row)
		}
		if err != nil {
			return fmt.Errorf("load rows of %s: %w", s.Table, err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("load rows of %s: %w", s.Table, err)
	}
	return nil
}

// remove deletes rows, in one statement.
func remove(ctx context.Context, tx pgx.Tx, s *fold.Spec, at []keyed) error {
	if len(at) == 0 {
		return nil
	}
	args, from, on, err := join(s, at)
	if err != nil {
		return err
	}
	return postgres.Exec(ctx, tx, "remove rows of "+s.Table, `DELETE FROM projection.`+s.Table+` t USING `+from+` WHERE `+on, args...)
}

// scan reads one row in the forms of package fold.
func scan(rows pgx.Rows, s *fold.Spec) (rowID, fold.Row, error) {
	var at rowID
	var sequence int64
	dst := []any{&at.tenant, &at.generation, &sequence}
	for _, c := range s.Stored() {
		dst = append(dst, target(c.Type))
	}
	var stamps []byte
	if s.Stamped() {
		dst = append(dst, &stamps)
	}
	if err := rows.Scan(dst...); err != nil {
		return at, nil, err
	}
	row := fold.Row{"sequence": sequence}
	for i, c := range s.Stored() {
		row[c.Name] = value(dst[i+3])
	}
	if s.Stamped() {
		row["stamps"] = string(stamps)
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
func store(ctx context.Context, tx pgx.Tx, s *fold.Spec, order []rowID, rows map[rowID]fold.Row) error {
	if len(order) == 0 {
		return nil
	}
	tenants, generations, sequences := make([]string, len(order)), make([]int64, len(order)), make([]int64, len(order))
	columns := make([][]*string, len(s.Stored()))
	stamps := make([][]byte, len(order))
	for i, at := range order {
		row := rows[at]
		tenants[i], generations[i], sequences[i] = at.tenant, at.generation, row["sequence"].(int64)
		if s.Stamped() {
			stamps[i] = []byte(row["stamps"].(string))
		}
		for j, c := range s.Stored() {
			v, err := encode(row[c.Name])
			if err != nil {
				return fmt.Errorf("store rows of %s: column %s: %w", s.Table, c.Name, err)
			}
			columns[j] = append(columns[j], v)
		}
	}
	args := []any{tenants, generations, sequences}
	var arrays, names, casts, sets strings.Builder
	for j, c := range s.Stored() {
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
	if s.Stamped() {
		args = append(args, stamps)
		fmt.Fprintf(&arrays, ", $%d::bytea[]", len(args))
		names.WriteString(", stamps")
		casts.WriteString(", v.stamps")
		sets.WriteString(", stamps = excluded.stamps")
	}
	return postgres.Exec(ctx, tx, "store rows of "+s.Table, `INSERT INTO projection.`+s.Table+` (tenant_id, generation, sequence`+names.String()+`)
		SELECT v.tenant_id, v.generation, v.sequence`+casts.String()+`
		FROM unnest($1::text[], $2::bigint[], $3::bigint[]`+arrays.String()+`) AS v (tenant_id, generation, sequence`+names.String()+`)
		ON CONFLICT (tenant_id, generation, `+strings.Join(s.Key, ", ")+`) DO UPDATE SET sequence = excluded.sequence`+sets.String(), args...)
}

func typeOf(s *fold.Spec, column string) fold.Type {
	for _, c := range s.Columns {
		if c.Name == column {
			return c.Type
		}
	}
	return fold.Text
}
