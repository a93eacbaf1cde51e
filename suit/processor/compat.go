package processor

import (
	"fmt"
	"slices"
)

// The rules that the published examples break, and that Compat bends. Each names what it
// lets pass (docs/decisions/0014).
const (
	// RuleCompatibility: the shared sequence checks vendor and class
	// (draft-ietf-suit-manifest-37 section 6.2).
	RuleCompatibility Rule = "no vendor or class check"
	// RuleIntegrity: a dependency is processed after dependency-integrity only
	// (draft-ietf-suit-trust-domains, suit-directive-process-dependency). Compat makes
	// the check there.
	RuleIntegrity Rule = "no dependency-integrity"
	// RuleSections: a dependent reaches every section of its procedure that the
	// dependency provides.
	RuleSections Rule = "section of a dependency not processed"
	// RuleDependenciesFirst: all dependencies are at hand and checked before any payload is
	// stored.
	RuleDependenciesFirst Rule = "payload before the dependencies"
	// RuleFetchDecrypts: payloads are decrypted by write and copy
	// (draft-ietf-suit-firmware-encryption-24 section 5); a template of trust domains
	// has fetch do it.
	RuleFetchDecrypts Rule = "fetch decrypts"
	// RuleDecryptedUnchecked: what is stored is held against a digest. Compat takes the tag
	// of an AEAD under a key from the signed manifest for one.
	RuleDecryptedUnchecked Rule = "no digest of a decrypted payload"
	// RuleUnlink: unlink stands in the uninstall section. The text also has components
	// unlinked before they are overwritten (draft-ietf-suit-trust-domains,
	// suit-directive-unlink); Compat leaves that out, as a device may.
	RuleUnlink Rule = "unlink outside uninstall"
)

// bend lets a broken rule pass in compatibility mode, where it is noted once; else it
// returns an error that says what was found.
func (m *machine) bend(rule Rule, format string, args ...any) error {
	if m.config.Mode != Compat {
		return fmt.Errorf("%w: %s: %s", ErrRule, rule, fmt.Sprintf(format, args...))
	}
	if !slices.Contains(m.bent, rule) {
		m.bent = append(m.bent, rule)
	}
	return nil
}
