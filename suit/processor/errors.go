package processor

import "errors"

// Why a procedure fails; test with errors.Is on the error of a procedure.
var (
	// ErrNoImage: the component has no image. Hosts return it from Open.
	ErrNoImage = errors.New("component has no image")
	// ErrNotInstalled: the manifest is not on the device. Hosts return it from Commit.
	ErrNotInstalled = errors.New("manifest is not installed")

	ErrVersion              = errors.New("manifest version not supported")
	ErrRollback             = errors.New("sequence number is lower than the last one installed")
	ErrReferenced           = errors.New("component is referenced by another manifest")
	ErrUnauthorized         = errors.New("signer has no right to the component")
	ErrUnauthenticated      = errors.New("dependency is not authentic")
	ErrUnsupportedCommand   = errors.New("command not supported")
	ErrUnsupportedParameter = errors.New("parameter not supported")
	ErrUnsupportedComponent = errors.New("component not supported")
	ErrUnsupportedCOSE      = errors.New("COSE structure not supported")
	ErrUnsupportedElement   = errors.New("manifest element not supported")
	ErrSevered              = errors.New("section was severed and did not come with the envelope")
	ErrIncompatible         = errors.New("manifest does not say which devices it is for")
	ErrRule                 = errors.New("manifest breaks a rule that only the compatibility mode bends")
	ErrLimit                = errors.New("limit exceeded")
	ErrMissingParameter     = errors.New("parameter not set")
	ErrMismatch             = errors.New("condition not met")
	ErrUnknown              = errors.New("device does not know")
	ErrAbort                = errors.New("manifest asks to abort")
	ErrOrder                = errors.New("commands whose order was left open depend on it")
	ErrNotDependency        = errors.New("component is not a dependency")
	ErrCycle                = errors.New("manifest depends on itself")
	ErrConflict             = errors.New("manifests of one tree contradict each other")
	ErrUnchecked            = errors.New("image was written but never checked")
	ErrNotInvoked           = errors.New("nothing was invoked")
	ErrURI                  = errors.New("cannot fetch from this URI")
	ErrFetch                = errors.New("fetch failed")
	ErrStalled              = errors.New("no data came for too long")
)
