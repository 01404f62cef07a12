package archiver

import (
	"embed"

	"github.com/neuronx/engine/pkg/postgres"
)

//go:embed migrations/*.sql
var migrationFS embed.FS

// Migrations is the set of the archive's tables: neuronx.tenant_events, neuronx.dead_letters, neuronx.schemas.
func Migrations() postgres.Migrations {
	return postgres.Migrations{Name: "archiver", FS: postgres.Sub(migrationFS, "migrations")}
}
