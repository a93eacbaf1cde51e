package evidence

import (
	"fmt"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// MaxSize caps evidence of any format, in bytes. Formats have smaller caps of their own;
// the event log of a TPM takes the most.
const MaxSize = 256 << 10

// Reading is what evidence says, before or after anybody has verified it.
type Reading struct {
	Media attest.MediaType
	// Claims are the EAT claims that the evidence has, whatever its format calls them:
	// the nonce at least. Of a bound bundle they are those of its claims set, to which
	// the inner evidence was found to commit.
	Claims *attest.Claims
	// Hardware names the piece of hardware by an identifier in the evidence that does
	// not change, as attest.Result.AttestationKey has it; zero where only the key that
	// signs names it.
	Hardware cosekit.Thumbprint
	// Inner is the evidence within a bound bundle; nil for any other format.
	Inner *Inner

	said documented
}

// documented writes all that evidence says by name.
type documented interface{ Document() map[string]any }

// Document writes all claims by name; see attest.Result. It costs more than all else here,
// so it is for evidence that somebody has verified.
func (r *Reading) Document() map[string]any { return r.said.Document() }

// Inner is the hardware's part of a bound bundle.
type Inner struct {
	Evidence attest.Evidence // Challenge is the digest of the claims set
	Reading  *Reading
}

// Read decodes evidence of any format that Tamarack knows, strictly, without verifying
// a signature. Test the error with errors.Is for attest.ErrFormat, attest.ErrMediaType,
// attest.ErrToken, attest.ErrClaims, attest.ErrTooLarge, and of a bound bundle also for
// attest.ErrNonce and attest.ErrProfile.
func Read(mediaType string, payload []byte) (*Reading, error) {
	if len(payload) > MaxSize {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", attest.ErrTooLarge, len(payload), MaxSize)
	}
	media, err := attest.ParseMediaType(mediaType)
	if err != nil {
		return nil, err
	}
	f, ok := formatOf(media)
	if !ok {
		return nil, fmt.Errorf("%w: %.128s", attest.ErrFormat, media)
	}
	return f.reading(media, payload)
}

func (f format) reading(media attest.MediaType, payload []byte) (*Reading, error) {
	r, err := guarded(func() (*Reading, error) { return f.read(media, payload) })
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.name, attest.Excerpt(err))
	}
	r.Media = media
	return r, nil
}

// shown writes an item of evidence for an error: so much of it that a sender can find it.
func shown(item cosekit.RawMessage) string {
	if len(item) > 128 {
		return fmt.Sprintf("%x…", []byte(item[:16]))
	}
	return fmt.Sprintf("%.64s", fmt.Sprint(attest.PlainItem(item)))
}
