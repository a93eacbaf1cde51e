package author

import (
	"cmp"
	"io"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// maxCoSWID is the largest software description, in bytes.
const maxCoSWID = suit.MaxManifestSize / 2

// addElements adds what is not executed.
func (b *builder) addElements(m *suit.Manifest) error {
	if b.Version != "" {
		var err error
		if m.SetVersion, err = suit.ParseVersion(b.Version); err != nil {
			return b.refuse("version", "%v", err)
		}
	}
	if b.CoSWID != "" {
		var err error
		if m.CoSWID, err = b.readCoSWID(); err != nil {
			return err
		}
	}
	if len(b.Severable) == 0 {
		return nil
	}
	if err := m.MakeSeverable(b.Severable...); err != nil {
		return b.refuse("severable", "severable: %v", err)
	}
	return nil
}

func (b *builder) readCoSWID() ([]byte, error) {
	f, err := openRegular(b.CoSWID)
	if err != nil {
		return nil, err
	}
	defer f.Close() // it was only read
	tag, err := io.ReadAll(io.LimitReader(f, maxCoSWID+1))
	if err != nil {
		return nil, err
	}
	if len(tag) > maxCoSWID {
		return nil, b.refuse("coswid", "coswid %s is over %d bytes", b.CoSWID, maxCoSWID)
	}
	if err := cosekit.Validate(tag); err != nil {
		return nil, b.refuse("coswid", "coswid %s: %v", b.CoSWID, err)
	}
	return tag, nil
}

// measureFile is for a file that is not part of the update.
func measureFile(path string) (Image, error) {
	f, err := openRegular(path)
	if err != nil {
		return Image{}, err
	}
	defer f.Close() // it was only read
	m := newMeter()
	if _, err := io.Copy(m, f); err != nil {
		return Image{}, err
	}
	return m.image(), nil
}

func (b *builder) text() suit.Text {
	if len(b.Text) == 0 {
		return nil
	}
	out := suit.Text{}
	for tag, t := range b.Text {
		l := suit.LanguageText{
			ManifestDescription: t.Manifest, UpdateDescription: t.Update,
			JSONSource: t.JSONSource, YAMLSource: t.YAMLSource,
		}
		for _, p := range b.parts {
			l.Components = append(l.Components, b.componentText(p, &t))
		}
		out[tag] = l
	}
	return out
}

func (b *builder) componentText(p *part, t *Text) suit.ComponentText {
	own := t.Components[p.ID.String()]
	return suit.ComponentText{
		Component:       p.ID,
		VendorName:      cmp.Or(own.VendorName, t.VendorName),
		ModelName:       cmp.Or(own.ModelName, t.ModelName),
		VendorDomain:    b.VendorDomain,
		ModelInfo:       b.ClassInfo,
		Description:     cmp.Or(own.Description, t.Component),
		Version:         cmp.Or(p.Version, b.Version),
		VersionRequired: cmp.Or(own.VersionRequired, t.VersionRequired),
		CurrentVersion:  cmp.Or(own.CurrentVersion, t.CurrentVersion),
	}
}
