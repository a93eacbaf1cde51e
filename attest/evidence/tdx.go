package evidence

import "github.com/tamarack-tam/tamarack/attest"

func readTDX(_ attest.MediaType, _ []byte) (*Reading, error) { return nil, attest.ErrFormat }
