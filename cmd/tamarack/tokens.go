package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/tam/store"
)

func tokensCommand(env []string) *cobra.Command {
	cmd := group("tokens", "Handle the keys of the tokens that devices are sent")
	rotate := &cobra.Command{
		Use:   "rotate",
		Short: "Make a new token key and drop all others, after a database was restored",
		Long: `Rotate voids every token, challenge and Update that is out. Run it after you restored
the database from a backup and before you serve again: the backup does not know which
tokens were answered since, and would take their answers a second time.

Devices lose nothing: they ask anew at their next poll. The server rotates its keys by
itself otherwise. One that runs takes the new key over within a minute; until then it
still answers tokens from before, each once.`,
		Example: "  tamarack tokens rotate --config /etc/tamarack.yaml",
		Args:    cobra.NoArgs,
	}
	load := configFlags(rotate, env)
	rotate.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		c, err := load()
		if err != nil {
			return err
		}
		db, err := openDatabase(cmd.Context(), c)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, db.Close()) }()
		if err := tam.ReplaceTokenKeys(cmd.Context(), db, "operator:local", time.Now(), rand.Reader); err != nil {
			return err
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), `%s has one new token key; Updates that are out are void.
Running servers take the key over within a minute: older tokens and challenges are void then.
`, c.database())
		return err
	}
	cmd.AddCommand(rotate)
	return cmd
}

func (c *Config) database() string { return filepath.Join(c.Data, "tamarack.db") }

// openDatabase opens one that is there.
func openDatabase(ctx context.Context, c Config) (*store.SQLite, error) {
	if _, err := os.Stat(c.database()); err != nil {
		return nil, fmt.Errorf("no database: %w; name its directory with --data", err)
	}
	return store.OpenSQLite(ctx, c.database(), store.Options{})
}
