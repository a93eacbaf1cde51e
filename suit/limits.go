package suit

// Caps of this package, beyond which [ErrLimit] is returned. The drafts give none;
// these leave room above every published example and keep the work that an
// unauthenticated envelope can cause small. A processor may be stricter. The size
// of a whole envelope is for its reader to bound.
const (
	MaxManifestSize    = 1 << 20  // bytes of an encoded manifest or severed element
	MaxComponents      = 256      // components of one manifest
	MaxDependencies    = 64       // dependencies of one manifest
	MaxCommands        = 1024     // commands of one sequence
	MaxSequenceDepth   = 8        // sequences inside sequences (try-each, run-sequence)
	MaxParameterSize   = 64 << 10 // bytes of one encoded parameter
	MaxURILength       = 2048     // bytes of a URI
	MaxCodes           = 1024     // codes of one list: capabilities, parameters to copy
	MaxVersionNumbers  = 16       // numbers of one version
	MaxVersionMatches  = 16       // versions that one wait compares with
	MaxActors          = 256      // users, groups or roles of one component's metadata
	MaxAuthBlocks      = 8        // authentication blocks of one envelope
	MaxBlockSignatures = 8        // signatures of one COSE_Sign

	MaxReportSize       = 1 << 20 // bytes of an encoded report, after decryption too
	MaxReportEntries    = 2048    // records and property claims of one report
	MaxRecordExtensions = 16      // elements of one record that are not known here
	MaxManifestDepth    = 16      // dependencies on the way from the root to a manifest

	// Signatures and MACs of one envelope that name no key by its thumbprint: each of them is
	// tried under every key that is acceptable.
	MaxUnnamedSignatures = 4

	// A component id stands in inventories, evidence and reports again and again:
	// a long one, once installed, would make them too large to be sent.
	MaxComponentSegments = 16
	MaxComponentSize     = 512 // bytes of the encoded id
)
