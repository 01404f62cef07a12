package ledger

import (
	"embed"

	"github.com/neuronx/engine/pkg/postgres"
)

//go:embed migrations/*.sql
var files embed.FS

// Migrations is the set that makes the ledger's tables.
func Migrations() postgres.Migrations {
	return postgres.Migrations{Name: "gohighlevel", FS: postgres.Sub(files, "migrations")}
}
