package consumer

import (
	"embed"

	"github.com/neuronx/engine/pkg/postgres"
)

//go:embed migrations/*.sql
var migrationFS embed.FS

// Migrations is the set of the tables that every consumer needs: neuronx.progress, neuronx.partition_progress, neuronx.resets.
func Migrations() postgres.Migrations {
	return postgres.Migrations{Name: "consumer", FS: postgres.Sub(migrationFS, "migrations")}
}
