// Command console multiplies the associations in the state of a stopped server, for a test of what so many look like:
// by the API each would cost etcd a look at all that the cluster has.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/openlanyard/lanyard/store"
)

// association is one as it is stored (registry/record.go): a record of another version is refused.
type association = map[string]any

var codec = store.Codec[association]{
	Version: 2,
	Encode:  func(_ *store.Sealer, _ string, v association) ([]byte, error) { return json.Marshal(v) },
	Decode: func(_ *store.Sealer, _ string, version int, data []byte) (v association, err error) {
		if version != 2 {
			return nil, fmt.Errorf("an association of version %d", version)
		}
		return v, json.Unmarshal(data, &v)
	},
}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 3 {
		log.Fatal("usage: console FOLDER COUNT")
	}
	count, err := strconv.Atoi(os.Args[2])
	if err == nil {
		err = multiply(context.Background(), os.Args[1], count)
	}
	if err != nil {
		log.Fatal(err)
	}
}

func multiply(ctx context.Context, dir string, count int) (err error) {
	text, err := os.ReadFile(filepath.Join(dir, "master.key"))
	if err != nil {
		return err
	}
	key, err := store.ParseMasterKey(text)
	if err != nil {
		return err
	}
	st, err := store.Open(ctx, store.Config{Dir: filepath.Join(dir, "state"), MasterKey: key})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	table := store.NewTable(st, "association", codec)
	if err := st.Start(ctx); err != nil {
		return err
	}
	found, err := table.List("", "", count)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return fmt.Errorf("%s has no association to multiply", dir)
	}
	return st.Update(ctx, func(tx *store.Tx) error {
		for i := range count - len(found) {
			a := maps.Clone(found[i%len(found)].Value)
			a["id"] = fmt.Sprintf("a-%017d", i)
			a["namespace"], a["serviceAccount"] = fmt.Sprintf("team-%02d", i%100), fmt.Sprintf("service-%05d", i)
			key := strings.Join([]string{a["clusterId"].(string), a["namespace"].(string), a["serviceAccount"].(string)}, "/")
			if err := table.Put(tx, key, a); err != nil {
				return err
			}
		}
		return nil
	})
}
