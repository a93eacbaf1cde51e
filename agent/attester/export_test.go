package attester

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
)

// Kernel stands in for Linux in a folder of a test: an entry has files, and a report is
// there once its data was written.
type Kernel struct {
	Directory string
	Provider  string
	// Report makes outblob and auxblob; a nil one is not there.
	Report func(inblob []byte) (out, aux []byte)
	// Meddle says that somebody else writes to the entry too.
	Meddle bool
	// Left is how many entries were not removed.
	Left int
}

// Open is OpenTSM with the kernel of the test.
func (k *Kernel) Open() (*TSM, error) { return openTSM(&fakefs{configfs{k.Directory}, k}) }

type fakefs struct {
	configfs
	kernel *Kernel
}

func (f *fakefs) create() (string, error) {
	entry, err := f.configfs.create()
	if err != nil {
		return "", err
	}
	f.kernel.Left++
	for name, content := range map[string]string{"provider": f.kernel.Provider + "\n", "generation": "41\n", "inblob": ""} {
		err = errors.Join(err, os.WriteFile(filepath.Join(entry, name), []byte(content), 0o600))
	}
	return entry, err
}

func (f *fakefs) remove(entry string) error {
	f.kernel.Left--
	return os.RemoveAll(entry)
}

func (f *fakefs) write(entry, attribute string, data []byte) error {
	if err := f.configfs.write(entry, attribute, data); err != nil {
		return err
	}
	generation := 42
	if f.kernel.Meddle {
		generation++
	}
	out, aux := f.kernel.Report(data)
	var err error
	for name, content := range map[string][]byte{"outblob": out, "auxblob": aux, "generation": strconv.AppendInt(nil, int64(generation), 10)} {
		if content != nil {
			err = errors.Join(err, os.WriteFile(filepath.Join(entry, name), content, 0o600))
		}
	}
	return err
}
