package connector

import (
	"context"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"
)

// annotationPrefix is of the annotations that mean something to the webhook.
const annotationPrefix = "eks.amazonaws.com/"

// accounts is a copy of what service accounts say to the webhook. Their metadata alone is asked for.
type accounts struct {
	store cache.Store
	watch cache.Controller
}

func newAccounts(client metadata.Interface) *accounts {
	all := client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"}).Namespace(metav1.NamespaceAll)
	a := &accounts{}
	a.store, a.watch = cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: &cache.ListWatch{
			ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return all.List(ctx, o) },
			WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
				return all.Watch(ctx, o)
			},
		},
		ObjectType: &metav1.PartialObjectMetadata{},
		Transform:  keepAnnotations,
		Handler:    cache.ResourceEventHandlerFuncs{},
	})
	return a
}

func keepAnnotations(whole any) (any, error) {
	o, ok := whole.(*metav1.PartialObjectMetadata)
	if !ok {
		return whole, nil
	}
	kept := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Namespace: o.Namespace, Name: o.Name, UID: o.UID, ResourceVersion: o.ResourceVersion,
	}}
	for name, value := range o.Annotations {
		if strings.HasPrefix(name, annotationPrefix) {
			metav1.SetMetaDataAnnotation(&kept.ObjectMeta, name, value)
		}
	}
	return kept, nil
}

// annotations returns what a service account says, as far as the copy is.
func (a *accounts) annotations(who Identity) map[string]string {
	found, ok, err := a.store.GetByKey(who.Namespace + "/" + who.ServiceAccount)
	if err != nil || !ok {
		return nil
	}
	return found.(*metav1.PartialObjectMetadata).Annotations
}

func (a *accounts) run(ctx context.Context) { a.watch.RunWithContext(ctx) }
