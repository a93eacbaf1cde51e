package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/tam/audit"
)

// encryptionKeyRotated is the audit event of a new key for reports and evidence.
const encryptionKeyRotated audit.Action = "encryption-key.rotated"

// maxRetired is how many earlier keys stay beside the one in use: cosekit tries eight on a
// message that names none.
const maxRetired = 7

// encryptionKey is the private key file to which devices encrypt reports and evidence,
// and the folder of those that came before it, which decrypt what still arrives for them.
type encryptionKey struct{ private string }

func (k encryptionKey) public() string { return publicHalf(k.private) }

func (k encryptionKey) retiredDir() string { return strings.TrimSuffix(k.private, ".pem") + "-retired" }

// next is the new key while a rotation is under way.
func (k encryptionKey) next() string { return strings.TrimSuffix(k.private, ".pem") + "-next.pem" }

// load loads the key in use or makes it, and leaves its public half beside it. The public
// half that stands there is always that of a key which a server has loaded.
func (k encryptionKey) load() (current cosekit.AgreementKey, err error) {
	if err := os.MkdirAll(filepath.Dir(k.private), 0o700); err != nil {
		return nil, err
	}
	missing, err := checkKeyFiles(k.private, k.public())
	switch {
	case err != nil:
	case missing:
		current, err = cosekit.CreateAgreementKeyFile(k.private)
	default:
		current, err = cosekit.LoadAgreementKey(k.private)
	}
	if err != nil {
		return nil, fmt.Errorf("encryption key: %w", err)
	}
	return current, writePublic(k.public(), current.PublicKey().PEM())
}

// retired is an earlier key. Its name begins with when it was retired.
type retired struct {
	file       string
	thumbprint string
}

// retired lists the earlier keys, the last retired first.
func (k encryptionKey) retired() ([]retired, error) {
	entries, err := os.ReadDir(k.retiredDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []retired
	for _, e := range slices.Backward(entries) {
		name, isKey := strings.CutSuffix(e.Name(), ".pem")
		if _, thumbprint, ok := strings.Cut(name, "-"); ok && isKey {
			list = append(list, retired{filepath.Join(k.retiredDir(), e.Name()), thumbprint})
		}
	}
	return list, nil
}

// loadRetired loads the earlier keys but for the one in use, which is among them where a
// rotation was interrupted.
func (k encryptionKey) loadRetired(current cosekit.AgreementKey, log *slog.Logger) ([]cosekit.AgreementKey, error) {
	list, err := k.retired()
	if err != nil {
		return nil, err
	}
	var keys []cosekit.AgreementKey
	for _, r := range list {
		if _, err := checkKeyFiles(r.file, ""); err != nil {
			return nil, err
		}
		key, err := cosekit.LoadAgreementKey(r.file)
		if err != nil {
			return nil, fmt.Errorf("retired encryption key: %w; restore it, or remove it if no device encrypts to it any more", err)
		}
		if key.PublicKey().Thumbprint() != current.PublicKey().Thumbprint() {
			keys = append(keys, &retiredKey{AgreementKey: key, log: log})
		}
	}
	return keys, nil
}

// retiredKey tells once that somebody still encrypts to it.
type retiredKey struct {
	cosekit.AgreementKey
	log  *slog.Logger
	once sync.Once
}

// SharedSecret implements cosekit.AgreementKey.
func (k *retiredKey) SharedSecret(ephemeral *cosekit.AgreementPublicKey) ([]byte, error) {
	k.once.Do(func() {
		k.log.Info("a device encrypts to a retired key; give it the new one before you remove this", slog.String("key", k.PublicKey().Thumbprint().String()))
	})
	return k.AgreementKey.SharedSecret(ephemeral)
}

// loadEncryptionKeys loads all keys that decrypt, the one in use first.
func (s *server) loadEncryptionKeys(k encryptionKey) error {
	current, err := k.load()
	if err != nil {
		return err
	}
	old, err := k.loadRetired(current, s.log)
	if err != nil {
		return err
	}
	s.encryption.Agreements = append([]cosekit.AgreementKey{current}, old...)
	s.encryptTo = k.public()
	return nil
}

// rotate retires the key in use and puts a new one in its place. Interrupted, it is done
// again: the key in use stays in its place until the new one, whole, takes it.
func (k encryptionKey) rotate(now time.Time, record func(from, to cosekit.Thumbprint) error) (from, to cosekit.AgreementKey, err error) {
	missing, err := checkKeyFiles(k.private, k.public())
	if err != nil {
		return nil, nil, err
	}
	if missing {
		return nil, nil, fmt.Errorf("%s is not there; the first start of 'tamarack serve' makes it", k.private)
	}
	if from, err = cosekit.LoadAgreementKey(k.private); err != nil {
		return nil, nil, err
	}
	if err = k.retire(from.PublicKey().Thumbprint(), now); err != nil {
		return nil, nil, err
	}
	to, err = cosekit.CreateAgreementKeyFile(k.next())
	if errors.Is(err, fs.ErrExist) { // of a rotation that was interrupted
		to, err = cosekit.LoadAgreementKey(k.next())
	}
	if err != nil {
		return nil, nil, err
	}
	if err := record(from.PublicKey().Thumbprint(), to.PublicKey().Thumbprint()); err != nil {
		return nil, nil, err
	}
	if err := os.Rename(k.next(), k.private); err != nil {
		return nil, nil, err
	}
	return from, to, syncDir(filepath.Dir(k.private))
}

// retire keeps the file of the key in use under a second name.
func (k encryptionKey) retire(current cosekit.Thumbprint, now time.Time) error {
	list, err := k.retired()
	if err != nil {
		return err
	}
	if slices.ContainsFunc(list, func(r retired) bool { return r.thumbprint == current.String() }) {
		return nil
	}
	if len(list) >= maxRetired {
		return fmt.Errorf("%d retired keys are in %s, and no more are tried on a message; remove the oldest, %s, once no device encrypts to it",
			len(list), k.retiredDir(), filepath.Base(list[len(list)-1].file))
	}
	if err := os.MkdirAll(k.retiredDir(), 0o700); err != nil {
		return err
	}
	name := now.UTC().Format("20060102T150405Z") + "-" + current.String() + ".pem"
	if err := os.Link(k.private, filepath.Join(k.retiredDir(), name)); err != nil {
		return err
	}
	return errors.Join(syncDir(k.retiredDir()), syncDir(filepath.Dir(k.private)))
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func rotateEncryptionCommand(env []string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "encryption",
		Short: "Make a new key for devices to encrypt reports and evidence to, and keep the old one to decrypt",
		Long: `Encryption makes a new key to which devices encrypt their reports and evidence. The key
before it is retired: it still decrypts what arrives for it, until you remove its file.

The server takes the new key over when it is started again, and only then is its public
half written and shown: nobody is told of a key that the server does not have. Give
it to the devices, and remove the retired key when all have it.`,
		Example: "  tamarack keys rotate encryption --config /etc/tamarack.yaml",
		Args:    cobra.NoArgs,
	}
	load := configFlags(cmd, env)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := load()
		if err != nil {
			return err
		}
		k := c.encryptionKey()
		from, to, err := k.rotate(time.Now(), func(from, to cosekit.Thumbprint) error {
			return recordRotation(cmd.Context(), c, from, to)
		})
		if err != nil {
			return fmt.Errorf("rotate the encryption key: %w", err)
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), `new      %s  %s
retired  %s, still decrypts; in %s
next: start 'tamarack serve' again, give %s to the devices,
and remove the retired key when none encrypts to it any more
`, to.PublicKey().Thumbprint(), k.private, from.PublicKey().Thumbprint(), k.retiredDir(), k.public())
		return err
	}
	return cmd
}

// recordRotation writes the audit event, before the new key takes its place: a rotation
// that is on record and was not done is done again, one that nobody knows of is not.
func recordRotation(ctx context.Context, c Config, from, to cosekit.Thumbprint) (err error) {
	db, err := openDatabase(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return db.Update(ctx, func(tx tam.Tx) error {
		return tx.AppendEvent(audit.Event{
			At: time.Now(), Actor: "operator:local", Action: encryptionKeyRotated, Subject: "key:" + to.String(),
			Details: map[string]string{"retired": from.String()},
		})
	})
}
