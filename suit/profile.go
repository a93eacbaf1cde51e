package suit

import (
	"fmt"
	"slices"
	"strings"
)

// COSEProfile is a suit-cose-profile: digest, authentication, key exchange and
// encryption algorithm (draft-ietf-suit-mti).
type COSEProfile [4]int64

// The profiles of draft-ietf-suit-mti.
var (
	ProfileHMACA128KWA128CTR     = COSEProfile{-16, 5, -3, -65534}
	ProfileESP256ECDHA128CTR     = COSEProfile{-16, -9, -29, -65534}
	ProfileEd25519ECDHA128CTR    = COSEProfile{-16, -19, -29, -65534}
	ProfileESP256ECDHA128GCM     = COSEProfile{-16, -9, -29, 1}
	ProfileEd25519ECDHChaChaPoly = COSEProfile{-16, -19, -29, 24}
	ProfileHSSLMSA256KWA256CTR   = COSEProfile{-16, -46, -5, -65532}
)

// profileNames are those of the draft, in its order.
var profileNames = []struct {
	name    string
	profile COSEProfile
}{
	{"suit-sha256-hmac-a128kw-a128ctr", ProfileHMACA128KWA128CTR},
	{"suit-sha256-esp256-ecdh-a128ctr", ProfileESP256ECDHA128CTR},
	{"suit-sha256-ed25519-ecdh-a128ctr", ProfileEd25519ECDHA128CTR},
	{"suit-sha256-esp256-ecdh-a128gcm", ProfileESP256ECDHA128GCM},
	{"suit-sha256-ed25519-ecdh-chacha-poly", ProfileEd25519ECDHChaChaPoly},
	{"suit-sha256-hsslms-a256kw-a256ctr", ProfileHSSLMSA256KWA256CTR},
}

// COSEProfiles returns the profiles of draft-ietf-suit-mti, which authors have all.
func COSEProfiles() []COSEProfile {
	var list []COSEProfile
	for _, p := range profileNames {
		list = append(list, p.profile)
	}
	return list
}

// String returns the registered name, "suit-sha256-esp256-ecdh-a128gcm", or the algorithms
// of another profile, "[-16 -9 -29 3]".
func (p COSEProfile) String() string {
	for _, known := range profileNames {
		if known.profile == p {
			return known.name
		}
	}
	return fmt.Sprint([4]int64(p))
}

// ParseCOSEProfile returns the profile of a registered name.
func ParseCOSEProfile(name string) (COSEProfile, error) {
	names := make([]string, len(profileNames))
	for i, known := range profileNames {
		names[i] = known.name
	}
	if i := slices.Index(names, name); i >= 0 {
		return profileNames[i].profile, nil
	}
	return COSEProfile{}, fmt.Errorf("%q is no COSE profile of SUIT: want one of %s", name, strings.Join(names, ", "))
}
