package deadletters

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/neuronx/engine/pkg/avro"
	"github.com/neuronx/engine/pkg/event"
	"github.com/neuronx/engine/services/archiver/deadletter"
	"github.com/neuronx/engine/services/neuronx/operate"
)

// Decode renders a letter's value under its schema, as the archive knows it or else the registry; nil when that can't be.
func Decode(ctx context.Context, env *operate.Env, l *deadletter.Letter) json.RawMessage {
	id, body, err := event.Unframe(l.Value)
	if err != nil {
		return nil
	}
	schema := schemaByID(ctx, env, id)
	if schema == nil || schema.Check(body) != nil {
		return nil
	}
	text, err := schema.RenderJSON(body)
	if err != nil {
		return nil
	}
	return text
}

func schemaByID(ctx context.Context, env *operate.Env, id int32) *avro.Schema {
	pool, err := env.Pool(ctx)
	if err != nil {
		return nil
	}
	var text string
	err = pool.QueryRow(ctx, `SELECT schema FROM neuronx.schemas WHERE schema_id = $1 ORDER BY seen_at DESC LIMIT 1`, id).Scan(&text)
	if err == nil {
		if s, err := avro.Parse([]byte(text)); err == nil {
			return s
		}
	}
	if !errors.Is(err, pgx.ErrNoRows) || env.Value(operate.EnvRegistry) == "" {
		return nil
	}
	reg, err := env.Registry()
	if err != nil {
		return nil
	}
	s, err := reg.SchemaByID(ctx, id)
	if err != nil {
		return nil
	}
	return s
}

// Encode is JSON data under the newest schema of a type, framed; every problem of it is told.
func Encode(ctx context.Context, env *operate.Env, typ string, data []byte) ([]byte, error) {
	if !event.ValidType(typ) {
		return nil, operate.Fail("edit the dead letter", event.Refuse(event.CodeNotRetriable, "it does not tell its type, so no schema is known for it"))
	}
	reg, err := env.Registry()
	if err != nil {
		return nil, err
	}
	id, schema, err := reg.ByType(ctx, typ)
	if err != nil {
		return nil, operate.Fail("find the schema of "+typ, err)
	}
	body, err := schema.EncodeJSON(data)
	if err != nil {
		return nil, &operate.Error{Kind: operate.KindFailed, What: "the data does not fit the schema of " + typ, Why: err.Error(), Code: event.CodeInvalidBody}
	}
	return event.Frame(id, body), nil
}
