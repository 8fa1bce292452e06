package connector

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	kubeerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	core "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

const (
	// PodsName is the ConfigMap, in the connector's namespace, with the pods that a connector has seen.
	PodsName = "lanyard-connector-pods"

	podsKey       = "pods.json.gz"
	rememberEvery = 30 * time.Second
	maxRemembered = 20_000    // pods
	maxMemory     = 900 << 10 // bytes; a ConfigMap has at most 1 MiB
	podsPage      = 500
)

// memory is how pods are found that were deleted while no connector ran. The one that leads leaves a list of the pods that
// it sees, and of those that the server has not been told of; the next one that leads takes for deleted what is on the list
// and not in the cluster. A pod that came and went without any connector was given no token by one.
//
// The list is read first and the cluster after, by a read that etcd confirms: a pod that is missing there existed before
// and does not any more. The watch's own first list would not do, since it may be older than what another replica left.
type memory struct {
	kube      kubernetes.Interface
	namespace string
	pods      *deletedPods
	log       *slog.Logger

	kept []byte // what was written last
}

// run looks once for what was deleted, and then keeps the list until ctx is done, and once more then.
func (m *memory) run(ctx context.Context) {
	if !cache.WaitForCacheSync(ctx.Done(), m.pods.synced.HasSynced) {
		return // it would leave a list that lacks what is not seen yet
	}
	m.kept = nil // another may have led since
	again := retry{log: m.log, what: "pods that are deleted while no connector runs may not be found"}
	looked := false
	for ctx.Err() == nil {
		var err error
		if !looked {
			err = m.look(ctx)
			looked = err == nil
		}
		if looked {
			err = m.keep(ctx)
		}
		wait := rememberEvery
		if err == nil {
			again.ok()
		} else {
			wait = again.failed(ctx, err)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
	if !looked {
		return // what the list says is not known yet
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := m.keep(last); err != nil {
		m.log.LogAttrs(last, slog.LevelWarn, "the list of pods is left as it was", slog.String("reason", err.Error()))
	}
}

// look hands over as deleted what is on the list and not in the cluster.
func (m *memory) look(ctx context.Context) error {
	known, err := m.read(ctx)
	if err != nil || len(known) == 0 {
		return err
	}
	there := map[types.UID]bool{}
	for page := (metav1.ListOptions{Limit: podsPage}); ; { // no resourceVersion: as etcd has them now
		list, err := m.kube.CoreV1().Pods(metav1.NamespaceAll).List(ctx, page)
		if kubeerrors.IsResourceExpired(err) {
			page.Continue = "" // the pages are of one moment, which was too long ago
			clear(there)
			continue
		}
		if err != nil {
			return fmt.Errorf("listing pods: %w", err)
		}
		for i := range list.Items {
			there[list.Items[i].UID] = true
		}
		if page.Continue = list.Continue; page.Continue == "" {
			break
		}
	}
	for _, pod := range known {
		if !there[pod.UID] {
			m.pods.gone(&podRef{metav1.ObjectMeta{UID: pod.UID, Namespace: pod.Namespace, Name: pod.Name}, pod.ServiceAccount})
		}
	}
	return nil
}

func (m *memory) read(ctx context.Context) ([]deletedPod, error) {
	kept, err := m.kube.CoreV1().ConfigMaps(m.namespace).Get(ctx, PodsName, metav1.GetOptions{})
	if kubeerrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the list of pods: %w", err)
	}
	var known []deletedPod
	if packed := kept.BinaryData[podsKey]; len(packed) > 0 {
		known, err = unpackPods(packed)
	}
	if err != nil {
		// It will not become better: what it said is lost, and the next list takes its place.
		m.log.LogAttrs(ctx, slog.LevelError, "the list of pods cannot be read", slog.String("reason", err.Error()))
	}
	return known, nil
}

// keep writes the list if it has changed.
func (m *memory) keep(ctx context.Context) error {
	seen := m.pods.seen()
	if over := len(seen) - maxRemembered; over > 0 {
		m.log.LogAttrs(ctx, slog.LevelError, "more pods than the list holds: if these are deleted while no connector runs, it is not found", slog.Int("pods", over))
		seen = seen[:maxRemembered]
	}
	packed, err := packPods(seen)
	if err != nil || bytes.Equal(packed, m.kept) {
		return err
	}
	if len(packed) > maxMemory {
		return fmt.Errorf("the list of %d pods has %d bytes, which no ConfigMap holds", len(seen), len(packed))
	}
	list := core.ConfigMap(PodsName, m.namespace).
		WithLabels(map[string]string{"app.kubernetes.io/part-of": "lanyard"}).
		WithBinaryData(map[string][]byte{podsKey: packed})
	if _, err := m.kube.CoreV1().ConfigMaps(m.namespace).Apply(ctx, list, metav1.ApplyOptions{FieldManager: FieldManager, Force: true}); err != nil {
		return fmt.Errorf("keeping the list of pods: %w", err)
	}
	m.kept = packed
	return nil
}

// seen returns the pods of associated service accounts that are there, and those that are gone and not told yet.
func (d *deletedPods) seen() []deletedPod {
	d.mu.Lock()
	all := slices.Clone(d.owed)
	d.mu.Unlock()
	for _, one := range d.store.List() {
		if p := one.(*podRef); d.has(p.Namespace, p.serviceAccount) {
			all = append(all, deletedPod{UID: p.UID, Namespace: p.Namespace, Name: p.Name, ServiceAccount: p.serviceAccount})
		}
	}
	// In one order, so that the same pods are the same bytes.
	slices.SortFunc(all, func(a, b deletedPod) int { return strings.Compare(string(a.UID), string(b.UID)) })
	return slices.CompactFunc(all, func(a, b deletedPod) bool { return a.UID == b.UID })
}

func packPods(pods []deletedPod) ([]byte, error) {
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	if err := json.NewEncoder(zip).Encode(pods); err != nil {
		return nil, err
	}
	err := zip.Close()
	return out.Bytes(), err
}

func unpackPods(packed []byte) (pods []deletedPod, err error) {
	zip, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	err = json.NewDecoder(io.LimitReader(zip, 32<<20)).Decode(&pods)
	return pods, err
}
