package postgres

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/neuronx/engine/pkg/app"
)

// plain says in plain words what an SQLSTATE of a server that can't work means.
var plain = map[string]string{
	"53100": "the disk of Postgres is full",
	"53200": "Postgres is out of memory",
	"53300": "Postgres has no free connection",
	"53400": "a limit of Postgres' configuration is reached",
	"57P01": "Postgres is shutting down",
	"57P02": "Postgres crashed",
	"57P03": "Postgres is starting or shutting down",
	"25006": "Postgres is read-only, such as a standby",
	"28P01": "Postgres does not accept the password",
	"28000": "Postgres does not accept the user",
	"3D000": "the database does not exist",
	"42501": "the role has no right to this",
}

// Explain puts plain words in front of an error of a server that can't work, unless they stand there, and returns every other one as it is.
func Explain(err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || plain[pg.Code] == "" || strings.HasPrefix(err.Error(), plain[pg.Code]) {
		return err
	}
	return fmt.Errorf("%s: %w", plain[pg.Code], err)
}

// Fault is Explain for an error at start, and marks what waiting can't mend with app.Fatal: Postgres knows the user, the password or
// the database not, the role may too little, the URL can't be read, or the certificate is not trusted. Every other error is one of a
// server that is away, starting, full or overloaded.
func Fault(err error) error {
	err = Explain(err)
	var pg *pgconn.PgError
	var parse *pgconn.ParseConfigError
	var unknownCA x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &pg):
		if strings.HasPrefix(pg.Code, "28") || pg.Code == "3D000" || pg.Code == "42501" {
			return app.Fatal(err)
		}
	case errors.As(err, &parse), errors.As(err, &unknownCA), errors.As(err, &host), errors.As(err, &invalid):
		return app.Fatal(err)
	}
	return err
}
