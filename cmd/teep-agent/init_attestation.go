package main

import (
	"errors"
	"fmt"

	"github.com/spf13/pflag"

	"github.com/tamarack-tam/tamarack/agent/device"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/internal/lines"
)

// attestationFlags are those of init about evidence, of the device and of the TAM.
type attestationFlags struct {
	attester, certificates, implementationID string
	tpm                                      string
	pcrs                                     []uint
	passport                                 bool
	evidenceKey                              string
	tamKeys, verifierKeys                    []string
}

func (f *attestationFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.attester, "attester", "eat", "what makes evidence: eat, psa, tpm or tsm")
	flags.StringVar(&f.certificates, "certificates", "", "`file` for the certificates of the attestation key, PEM, its own first (default: the TAM registers the key)")
	flags.StringVar(&f.implementationID, "psa-implementation-id", "", "implementation id of --attester psa, 32 bytes in `hex`")
	flags.StringVar(&f.tpm, "tpm", "", "`address` of --attester tpm: a device, a unix socket or host:port (default: "+device.DefaultTPM+")")
	flags.UintSliceVar(&f.pcrs, "pcrs", nil, "`PCRs` that --attester tpm quotes (default 0,2,4,7)")
	flags.Lookup("pcrs").DefValue = "" // pflag would add its own, which is none
	flags.BoolVar(&f.passport, "passport", false, "keep an attestation result that the TAM passes back, and present it where no challenge is sent")
	flags.StringVar(&f.evidenceKey, "evidence-key", "", "`file` with the public key of the TAM that evidence is encrypted to (default: it is signed only)")
	flags.StringArrayVar(&f.tamKeys, "tam-attestation-key", nil, "`file` with a public key that attests the TAM, which has to show evidence before it is told anything; may be repeated")
	flags.StringArrayVar(&f.verifierKeys, "verifier-key", nil, "`file` with the public key of a verifier, of whom the device believes attestation results; may be repeated")
}

// apply puts the flags into the settings.
func (f *attestationFlags) apply(s *device.Settings) error {
	a := &s.Attestation
	if err := a.Attester.UnmarshalText([]byte(f.attester)); err != nil {
		return fmt.Errorf("--attester: %w", err)
	}
	if a.Attester == device.AttesterPSA && f.implementationID == "" {
		return errors.New("--psa-implementation-id is missing: 32 bytes in hex, which all devices of one make share")
	}
	if f.implementationID != "" {
		if err := a.PSA.ImplementationID.UnmarshalText([]byte(f.implementationID)); err != nil {
			return fmt.Errorf("--psa-implementation-id: %w", err)
		}
	}
	a.Certificates, a.Passport, a.TPM.Address = f.certificates, f.passport, f.tpm
	for _, pcr := range f.pcrs {
		a.TPM.PCRs = append(a.TPM.PCRs, uint32(min(pcr, 1<<16)))
	}
	s.TAM.Attest, s.TAM.EvidenceKey = len(f.tamKeys) > 0, f.evidenceKey
	if f.evidenceKey != "" {
		if _, err := readAgreementKey("--evidence-key", f.evidenceKey); err != nil {
			return err
		}
	}
	return nil
}

// anchors makes one of each key that vouches for a TAM, or says what a device is worth.
func (f *attestationFlags) anchors(givenAs map[cosekit.Thumbprint]string) ([]anchor.Anchor, error) {
	var list []anchor.Anchor
	for _, keys := range []struct {
		flag, title string
		files       []string
		purpose     anchor.Purpose
	}{
		{"--tam-attestation-key", "attester of the TAM", f.tamKeys, anchor.Attester},
		{"--verifier-key", "verifier", f.verifierKeys, anchor.Verifier},
	} {
		for _, file := range keys.files {
			key, err := readKey(keys.flag, file, cosekit.ReadPublicKey)
			if err != nil {
				return nil, err
			}
			if earlier, known := givenAs[key.Thumbprint()]; known {
				return nil, fmt.Errorf("%s %s: %w, from %s; each has a key of its own", keys.flag, file, anchor.ErrExists, earlier)
			}
			givenAs[key.Thumbprint()] = keys.flag + " " + file
			list = append(list, anchor.Anchor{Key: key, Title: keys.title, Purposes: []anchor.Purpose{keys.purpose}})
		}
	}
	return list, nil
}

// introduction is how the TAM comes to know what makes the evidence of this device, and the
// command for it where there is one.
func (p *program) introduction(a device.Attestation) (text, command string) {
	switch {
	case a.Attester == device.AttesterTSM:
		return "let the TAM know reference values for this system", ""
	case a.Certificates != "":
		return fmt.Sprintf("put the certificate of %s into %s", lines.Quote(device.PublicKeyPath(p.dir)), lines.Quote(a.Certificates)), ""
	}
	return "let the TAM know the attestation key", p.registration(a.Attester)
}
