package suit

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
