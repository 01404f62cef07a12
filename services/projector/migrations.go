package projector

import (
	"embed"

	"github.com/neuronx/engine/pkg/postgres"
)

//go:embed migrations/*.sql
var migrationFS embed.FS

// Migrations is the set of the read models: base tables in projection, views in read, neuronx.tenants and neuronx.api_keys.
func Migrations() postgres.Migrations {
	return postgres.Migrations{Name: "projector", FS: postgres.Sub(migrationFS, "migrations")}
}
