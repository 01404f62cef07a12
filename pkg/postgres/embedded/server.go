package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Database is the one database of the cluster that the engine uses; Superuser is the login of AdminURL.
const (
	Database  = "neuronx"
	Superuser = "postgres"
)

// Options of Start.
type Options struct {
	DataDir string       // made if missing; holds the passwords and, where the server's user can reach it, the cluster
	Port    int          // on 127.0.0.1; 0 takes a free one, or the one of a living server
	Log     *slog.Logger // nil: silent
	Out     io.Writer    // progress for a person (a download takes a while); nil: none
	// Shared lets several processes use one server: it is adopted as it is, and Stop leaves it running.
	Shared bool
	// NoSync turns fsync off: for tests only, a crash of the machine then loses the cluster.
	NoSync bool
	// MinMajor refuses older installed binaries for a new cluster (0: 15), so that the download can be chosen.
	MinMajor int
}

// Server is a running PostgreSQL server on 127.0.0.1.
type Server struct {
	opt       Options
	bin       Binaries
	acct      *account
	cluster   string
	port      int
	adopted   bool
	passwords map[string]string
	unlock    func()
}

// AdminURL is the superuser's connection string of Database. It holds a password.
func (s *Server) AdminURL() string { return s.url(Superuser, Database) }

// MaintenanceURL is the superuser's connection string of database postgres, for CREATE DATABASE.
func (s *Server) MaintenanceURL() string { return s.url(Superuser, "postgres") }

// URL is the connection string of a role of pkg/postgres. It works once SetPasswords was given Passwords.
func (s *Server) URL(role string) string { return s.url(role, Database) }

// Passwords maps the login roles of pkg/postgres to their generated passwords, as kept in the data directory.
func (s *Server) Passwords() map[string]string {
	out := map[string]string{}
	for role, pw := range s.passwords {
		if role != Superuser {
			out[role] = pw
		}
	}
	return out
}

// Port is the TCP port on 127.0.0.1.
func (s *Server) Port() int { return s.port }

func (s *Server) url(role, database string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(role, s.passwords[role]), Host: fmt.Sprintf("127.0.0.1:%d", s.port),
		Path: "/" + database, RawQuery: "sslmode=disable"}
	return u.String()
}

// Start returns a server that answers on DataDir, started or adopted. Only one Start at a time may hold a data directory, unless
// Shared. The server outlives the process when that is killed.
func Start(ctx context.Context, opt Options) (_ *Server, err error) {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Out == nil {
		opt.Out = io.Discard
	}
	if opt.DataDir, err = filepath.Abs(opt.DataDir); err != nil {
		return nil, fmt.Errorf("resolve data directory: %w", err)
	}
	if err := os.MkdirAll(opt.DataDir, 0o755); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	s := &Server{opt: opt}
	lock := filepath.Join(opt.DataDir, "lock")
	if opt.Shared {
		unlock, err := lockFile(ctx, lock)
		if err != nil {
			return nil, err
		}
		defer unlock()
	} else {
		unlock, ok, lockErr := tryLock(lock)
		if lockErr != nil {
			return nil, lockErr
		}
		if !ok {
			return nil, fmt.Errorf("another process runs PostgreSQL on %s", opt.DataDir)
		}
		s.unlock = unlock
		defer func() {
			if err != nil { // the named result
				unlock()
			}
		}()
	}
	if err := s.locate(ctx); err != nil {
		return nil, err
	}
	if err := s.run(ctx); err != nil {
		return nil, err
	}
	if err := s.ensureDatabase(ctx); err != nil {
		if !s.adopted {
			err = errors.Join(err, s.halt(context.WithoutCancel(ctx)))
		}
		return nil, err
	}
	opt.Log.Info("postgres is up", "port", s.port, "version", s.bin.Major, "cluster", s.cluster, "adopted", s.adopted)
	return s, nil
}

// locate finds account, cluster folder, passwords and binaries.
func (s *Server) locate(ctx context.Context) (err error) {
	if s.acct, err = serverAccount(); err != nil {
		return err
	}
	var remote bool
	if s.cluster, remote, err = clusterDir(s.opt.DataDir, s.acct); err != nil {
		return err
	}
	s.acct = ownerOf(s.cluster, s.acct)
	var fresh bool
	if s.passwords, fresh, err = loadPasswords(s.opt.DataDir); err != nil {
		return err
	}
	major, err := clusterVersion(s.cluster)
	if err != nil {
		return err
	}
	if fresh && major != 0 {
		if !remote {
			return fmt.Errorf("%s holds a cluster without its passwords (%s)", s.opt.DataDir, passwordFile)
		}
		// The data directory was deleted and recreated; what lies here belonged to the old one, and its passwords are gone.
		fmt.Fprintf(s.opt.Out, "removing the PostgreSQL cluster of the deleted data directory: %s\n", s.cluster)
		s.bin.Dir = ""
		if err := s.discard(ctx, major); err != nil {
			return err
		}
		major = 0
	}
	if remote {
		if err := os.WriteFile(filepath.Join(s.opt.DataDir, locationFile), []byte(s.cluster+"\n"), 0o644); err != nil {
			return fmt.Errorf("remember location of the cluster: %w", err)
		}
	}
	s.bin, err = s.findBinaries(ctx, major)
	return err
}

func (s *Server) findBinaries(ctx context.Context, major int) (Binaries, error) {
	have := installed(ctx)
	if b, ok := chooseBinaries(have, major); ok && (major != 0 || b.Major >= s.opt.MinMajor) {
		return b, nil
	}
	if major == 0 {
		major = 18
	}
	cache, err := cacheDir(s.acct)
	if err != nil {
		return Binaries{}, err
	}
	return download(ctx, major, cache, s.opt.Out)
}

// discard stops whatever runs on the cluster and removes it.
func (s *Server) discard(ctx context.Context, major int) error {
	if p, err := readPidFile(s.cluster); err == nil && p.alive(s.cluster) {
		bin, err := s.findBinaries(ctx, major)
		if err != nil {
			return err
		}
		s.bin = bin
		if err := s.halt(ctx); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(s.cluster); err != nil {
		return fmt.Errorf("remove cluster: %w", err)
	}
	return nil
}

// clusterVersion reads PG_VERSION; 0 means there is no cluster yet.
func clusterVersion(dir string) (int, error) {
	b, err := os.ReadFile(filepath.Join(dir, "PG_VERSION"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read version of the cluster: %w", err)
	}
	v, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0, fmt.Errorf("read version of the cluster in %s: %w", dir, err)
	}
	return v, nil
}

func (s *Server) ensureDatabase(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, s.MaintenanceURL())
	if err != nil {
		return fmt.Errorf("connect to the started server: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	var have bool
	if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)`, Database).Scan(&have); err != nil {
		return fmt.Errorf("look up database: %w", err)
	}
	if have {
		return nil
	}
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+Database+" TEMPLATE template0 ENCODING 'UTF8'"); err != nil {
		return fmt.Errorf("create database %s: %w", Database, err)
	}
	return nil
}

// Stop ends the server, clients or not (mode fast: open transactions roll back, data is synced), and frees the data directory.
// A Shared server is left running.
func (s *Server) Stop() error {
	if s.opt.Shared {
		return nil
	}
	defer s.unlock()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.halt(ctx); err != nil {
		return err
	}
	s.opt.Log.Info("postgres stopped", "port", s.port)
	return nil
}

// Remove stops the server of a data directory and deletes its cluster, wherever it lies, and the directory.
func Remove(ctx context.Context, dataDir string) error {
	dataDir, err := filepath.Abs(dataDir)
	if err != nil {
		return fmt.Errorf("resolve data directory: %w", err)
	}
	if _, err := os.Stat(dataDir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	unlock, ok, err := tryLock(filepath.Join(dataDir, "lock"))
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("another process runs PostgreSQL on %s", dataDir)
	}
	defer unlock()
	s := &Server{opt: Options{DataDir: dataDir, Log: slog.New(slog.DiscardHandler), Out: io.Discard}}
	if s.acct, err = serverAccount(); err != nil {
		return err
	}
	if s.cluster, _, err = clusterDir(dataDir, s.acct); err != nil {
		return err
	}
	s.acct = ownerOf(s.cluster, s.acct)
	major, err := clusterVersion(s.cluster)
	if err != nil {
		return err
	}
	if err := s.discard(ctx, major); err != nil {
		return err
	}
	if err := os.RemoveAll(dataDir); err != nil {
		return fmt.Errorf("remove data directory: %w", err)
	}
	return nil
}
