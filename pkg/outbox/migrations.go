package outbox

import (
	"embed"

	"github.com/neuronx/engine/pkg/postgres"
)

//go:embed migrations/*.sql
var files embed.FS

// Migrations is the set that makes neuronx.outbox and neuronx.outbox_numbers.
func Migrations() postgres.Migrations {
	return postgres.Migrations{Name: "outbox", FS: postgres.Sub(files, "migrations")}
}
