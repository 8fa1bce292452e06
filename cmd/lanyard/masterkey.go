package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/openlanyard/lanyard/dev"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/store"
)

// readMasterKey reads the master key of a folder whose state is there already. One that is missing, as of a volume that is
// not mounted, is an error: a server must not begin anew in its place.
func readMasterKey(file, state string) (store.MasterKey, error) {
	if _, err := os.Stat(state); err != nil {
		return store.MasterKey{}, fault.New(fault.BadState, "the state in %s is missing: is its volume mounted?", state)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return store.MasterKey{}, fmt.Errorf("reading the master key: %w", err)
	}
	return store.ParseMasterKey(text)
}

// readOrMakeMasterKey reads the master key, and makes it where there is no state yet that another key might have sealed.
func readOrMakeMasterKey(file, state string) (store.MasterKey, error) {
	text, err := os.ReadFile(file)
	if err == nil {
		return store.ParseMasterKey(text)
	}
	if _, sealed := os.Stat(state); !errors.Is(err, fs.ErrNotExist) || !errors.Is(sealed, fs.ErrNotExist) {
		return store.MasterKey{}, fmt.Errorf("reading the master key: %w", err)
	}
	key := store.NewMasterKey()
	return key, dev.Replace(file, key.Text())
}
