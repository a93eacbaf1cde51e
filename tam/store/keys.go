package store

import (
	"sync"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// keys spares the parsing of a stored key that was parsed before: a session reads
// its agent several times.
var keys keyCache

// keyGeneration is how many keys make a generation of the cache, about 3 MB.
const keyGeneration = 4096

// keyCache keeps parsed keys under their encoding: those of the generation that is
// filling, and the one before. Keys do not change, so none can be stale.
type keyCache struct {
	mu          sync.Mutex
	young, aged map[string]*cosekit.PublicKey
}

func (c *keyCache) parse(coseKey []byte) (*cosekit.PublicKey, error) {
	if k := c.find(coseKey); k != nil {
		return k, nil
	}
	k, err := cosekit.ParseManifestKey(coseKey) // what was admitted for its purpose is in the store
	if err == nil {
		c.keep(coseKey, k)
	}
	return k, err
}

func (c *keyCache) find(coseKey []byte) *cosekit.PublicKey {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k := c.young[string(coseKey)]; k != nil {
		return k
	}
	return c.aged[string(coseKey)]
}

func (c *keyCache) keep(coseKey []byte, k *cosekit.PublicKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.young == nil || len(c.young) >= keyGeneration {
		c.young, c.aged = make(map[string]*cosekit.PublicKey), c.young
	}
	c.young[string(coseKey)] = k
}
