package store

import (
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/golang-migrate/migrate/v4"
	"github.com/golang-migrate/migrate/v4/database"
	"github.com/golang-migrate/migrate/v4/source"
	"github.com/golang-migrate/migrate/v4/source/iofs"
)

//go:embed migrations
var migrations embed.FS

// migrateUp brings the schema to the newest version that this program knows.
func migrateUp(c *conn) error {
	m, newest, err := newMigration(c)
	if err != nil {
		return err
	}
	switch version, _, err := m.Version(); {
	case errors.Is(err, migrate.ErrNilVersion):
	case err != nil:
		return err
	case version > newest:
		return fmt.Errorf("%w: it has version %d, this program knows %d; run the newer program, or restore a backup made before it",
			ErrNewerSchema, version, newest)
	}
	if err := m.Up(); err != nil && !errors.Is(err, migrate.ErrNoChange) {
		return fmt.Errorf("migrate the schema: %w", err)
	}
	return nil
}

// newMigration returns the migrations on a connection, and their last version.
// They are not to be closed: the connection outlives them.
func newMigration(c *conn) (*migrate.Migrate, uint, error) {
	files, err := iofs.New(migrations, "migrations/sqlite")
	if err != nil {
		return nil, 0, err
	}
	newest, err := lastVersion(files)
	if err != nil {
		return nil, 0, err
	}
	m, err := migrate.NewWithInstance("iofs", files, "sqlite", &schema{conn: c})
	return m, newest, err
}

func lastVersion(files source.Driver) (uint, error) {
	version, err := files.First()
	for err == nil {
		var next uint
		if next, err = files.Next(version); err == nil {
			version = next
		}
	}
	if errors.Is(err, fs.ErrNotExist) && version > 0 {
		err = nil
	}
	return version, err
}

// schema is golang-migrate's database driver for one connection. All pending
// migrations and the version (PRAGMA user_version) are one transaction: a start
// that is killed leaves the old schema, and two starts wait for each other. The
// driver that comes with golang-migrate commits step by step, so that a kill
// leaves a "dirty" database for a person to mend.
type schema struct {
	conn   *conn
	failed bool
}

var _ database.Driver = (*schema)(nil)

func (s *schema) exec(query string) error {
	err := s.conn.script(query)
	if err != nil {
		s.failed = true
	}
	return err
}

// Lock begins the transaction, as the only writer.
func (s *schema) Lock() error {
	s.failed = false
	return s.exec(`BEGIN IMMEDIATE`)
}

// Unlock commits it, or undoes all of it if a step failed.
func (s *schema) Unlock() error {
	if s.failed {
		return s.exec(`ROLLBACK`)
	}
	return s.exec(`COMMIT`)
}

func (s *schema) Run(migration io.Reader) error {
	text, err := io.ReadAll(migration)
	if err != nil {
		s.failed = true
		return err
	}
	return s.exec(string(text))
}

// SetVersion has no use for dirty: what failed is undone.
func (s *schema) SetVersion(version int, _ bool) error {
	return s.exec(fmt.Sprintf(`PRAGMA user_version = %d`, max(version, 0)))
}

func (s *schema) Version() (int, bool, error) {
	var version int
	err := s.conn.ask(`PRAGMA user_version`, func(r *row) bool { version = int(r.int()); return true })
	if err != nil {
		return 0, false, err
	}
	if version == 0 {
		version = database.NilVersion
	}
	return version, false, nil
}

// Open, Close and Drop are for the command line of golang-migrate.

func (s *schema) Open(string) (database.Driver, error) { return nil, errors.ErrUnsupported }
func (s *schema) Close() error                         { return nil }
func (s *schema) Drop() error                          { return errors.ErrUnsupported }
