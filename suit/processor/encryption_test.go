package processor

import (
	"bytes"
	"slices"
	"testing"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// A distributor encrypts for each device: it sets the encryption-info of what the author's
// manifest installs (draft-ietf-suit-trust-domains, Overriding Encryption Info). With a key of
// its own it could make anything of the author's ciphertext: that is not installed on the
// author's word.
func TestDecryptedOnTheWordOfAnother(t *testing.T) {
	match, copies, writes := check(suit.ConditionImageMatch), check(suit.DirectiveCopy), check(suit.DirectiveWrite)
	plain := override(suit.Parameters{ImageDigest: ptr(suit.SumSHA256(libImage)), ImageSize: ptr(uint64(len(libImage)))})
	for name, content := range map[string]cosekit.Algorithm{"counter mode": cosekit.A128CTR, "gcm": cosekit.A128GCM} {
		ciphertext, good := encrypt(t, content, libImage)
		_, foreign := encrypt(t, cosekit.A128CTR, libImage) // another key and counter
		digest, size := suit.SumSHA256(ciphertext), uint64(len(ciphertext))
		fetched := func(i uint64) []suit.Command {
			return []suit.Command{index(i), override(suit.Parameters{ImageDigest: &digest, ImageSize: &size, URI: ptr("#image")}), check(suit.DirectiveFetch), match}
		}
		staged := append(fetched(1), index(0), override(suit.Parameters{SourceComponent: ptr(uint64(1))}))
		written := []suit.Command{index(0), override(suit.Parameters{Content: ciphertext})}
		own := override(suit.Parameters{EncryptionInfo: good})
		takenOver := do(suit.DirectiveCopyParams, suit.ParameterCopies{2: {suit.ParameterEncryptionInfo}})
		rows := []struct {
			name    string
			install []suit.Command  // of the author
			sets    suit.Parameters // of the distributor
			err     error
		}{
			{"copy, foreign key", slices.Concat(staged, []suit.Command{copies}), suit.Parameters{EncryptionInfo: foreign}, ErrUnchecked},
			{"copy", slices.Concat(staged, []suit.Command{copies}), suit.Parameters{EncryptionInfo: good}, ErrUnchecked},
			{"copy, checked", slices.Concat(staged, []suit.Command{copies, plain, match}), suit.Parameters{EncryptionInfo: good}, nil},
			{"copy by the author's key", slices.Concat(staged, []suit.Command{own, copies}), suit.Parameters{EncryptionInfo: foreign}, nil},
			{"copy by a key taken over", slices.Concat(staged, []suit.Command{takenOver, copies}), suit.Parameters{EncryptionInfo: foreign}, ErrUnchecked},
			{"write, foreign key", slices.Concat(written, []suit.Command{writes}), suit.Parameters{EncryptionInfo: foreign}, ErrUnchecked},
			{"write", slices.Concat(written, []suit.Command{writes}), suit.Parameters{EncryptionInfo: good}, ErrUnchecked},
			{"write, checked", slices.Concat(written, []suit.Command{writes, plain, match}), suit.Parameters{EncryptionInfo: good}, nil},
			{"write by the author's key", slices.Concat(written, []suit.Command{own, writes}), suit.Parameters{EncryptionInfo: foreign}, nil},
			{"copy of another ciphertext", slices.Concat(fetched(2), []suit.Command{index(0), own, copies}), suit.Parameters{SourceComponent: ptr(uint64(2))}, ErrUnchecked},
		}
		if content == cosekit.A128GCM { // the tag of which says whose ciphertext it is
			rows = rows[:len(rows)-1]
		}
		for _, tt := range rows {
			for mode, modeName := range map[Mode]string{Strict: "strict", Compat: "compat"} {
				t.Run(name+"/"+tt.name+"/"+modeName, func(t *testing.T) {
					tr := newTrial()
					tr.Mode = mode
					_, tr.Keys = secret(t)
					m := tr.encrypting(t, inLib(t, ofAuthor(tt.install), ciphertext), tt.sets)
					if tt.err != nil {
						tr.fail(t, m, tt.err)
						return
					}
					tr.succeed(t, m, newImage)
					if got := tr.host.images[lib.Key()]; !bytes.Equal(got, libImage) {
						t.Errorf("library %q", got)
					}
				})
			}
		}
	}
}

// ofAuthor is a library that comes encrypted.
func ofAuthor(install []suit.Command) *suit.Manifest {
	m := library(nil)
	m.Common.Components = []suit.ComponentID{lib, {[]byte("stage")}, {[]byte("key")}}
	m.Common.Shared = shared(append([]suit.Command{index(0)}, compatible(suit.Parameters{})...)...)
	m.Sections = map[suit.Section]suit.Severable{suit.SectionInstall: sequence(install...)}
	return m
}

// encrypting is a distributor's manifest, which may set these parameters of the author's
// components and do nothing else there.
func (tr *trial) encrypting(t *testing.T, d dependency, sets suit.Parameters) *suit.Manifest {
	m := tr.dependent(t, d)
	m.Common.Components = append(m.Common.Components, lib, suit.ComponentID{[]byte("key")})
	m.Common.Dependencies[0].Index = 3
	for section := range m.Sections {
		edit(m, section, moved(3))
	}
	m.Common.Shared.Commands = moved(3)(m.Common.Shared.Commands)
	edit(m, suit.SectionInstall, func(c []suit.Command) []suit.Command {
		out := []suit.Command{index(1), override(sets)}
		if sets.SourceComponent == nil {
			out = append(out, index(2), override(sets))
		}
		return append(out, c...)
	})
	tr.rights = func(a Access) bool {
		return a.Parameter == 0 || sets.Has(a.Parameter) ||
			slices.ContainsFunc([]suit.ComponentID{appSUIT, app, libSUIT}, a.Component.Equal)
	}
	return m
}

// A staged image that nobody checked counts as checked where a copy of it was found right,
// but not on the word of somebody who may not set its digest.
func TestStagedOnTheWordOfAnother(t *testing.T) {
	l := library(libImage)
	l.Common.Shared.Commands = compatible(suit.Parameters{})
	l.Sections = map[suit.Section]suit.Severable{suit.SectionInstall: sequence(override(suit.Parameters{URI: ptr("#image")}), check(suit.DirectiveFetch))}
	mine := suit.ComponentID{[]byte("app"), []byte("mine")}
	for may, want := range map[bool]error{true: nil, false: ErrUnchecked} {
		tr := newTrial()
		m := tr.dependent(t, inLib(t, l, libImage))
		m.Common.Components = append(m.Common.Components, lib, mine)
		m.Common.Dependencies[0].Index = 3
		for section := range m.Sections {
			edit(m, section, moved(3))
		}
		m.Common.Shared.Commands = moved(3)(m.Common.Shared.Commands)
		edit(m, suit.SectionInstall, func(c []suit.Command) []suit.Command {
			return append(c, index(2), override(suit.Parameters{SourceComponent: ptr(uint64(1)), ImageDigest: ptr(suit.SumSHA256(libImage))}),
				check(suit.DirectiveCopy), check(suit.ConditionImageMatch))
		})
		tr.rights = func(a Access) bool { return may || !a.Component.Equal(lib) || a.Parameter == 0 }
		if want != nil {
			tr.fail(t, m, want)
		} else {
			tr.succeed(t, m, newImage)
		}
	}
}
