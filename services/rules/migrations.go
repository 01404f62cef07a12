package rules

import (
	"embed"

	"github.com/neuronx/engine/pkg/postgres"
)

//go:embed migrations/*.sql
var migrationFS embed.FS

// Migrations is the set of the tables of this service. It needs those of pkg/consumer and pkg/outbox, too.
func Migrations() postgres.Migrations {
	return postgres.Migrations{Name: "rules", FS: postgres.Sub(migrationFS, "migrations")}
}
