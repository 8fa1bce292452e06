package registry

import (
	"context"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/store"
)

// DeletedPod is a pod that is gone. Its uid never comes back, so its tokens and sessions are refused whenever they were made.
type DeletedPod struct {
	UID                             string
	Namespace, Name, ServiceAccount string
}

// DeletedPods is what one report told.
type DeletedPods struct {
	ClusterID, Account string
	By                 string // the ARN of who reported
	At                 time.Time
	UIDs               []string
}

const (
	maxDeletedPods = 500
	// maxReports bounds what a connector gone wild may have stored: with full reports it is far more than a cluster deletes.
	maxReports = 20_000
	// keepDeleted is as long as a token and a session got with it in its last second may live.
	keepDeleted = DefaultMaxToken + keepRevocations
)

// podUID is a uid as API servers make them, of static pods too.
var podUID = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)

// DeletePods ends the tokens and sessions of pods that are gone. Told again it changes nothing. It returns how many uids
// were new.
func (r *Registry) DeletePods(ctx context.Context, account, cluster, by string, pods []DeletedPod) (int, error) {
	if len(pods) < 1 || len(pods) > maxDeletedPods {
		return 0, fault.New(fault.Invalid, "pods: 1 to %d are accepted, got %d", maxDeletedPods, len(pods))
	}
	for _, p := range pods {
		if !podUID.MatchString(p.UID) {
			return 0, fault.New(fault.Invalid, "uid %.100q: 1 to 64 letters, digits and dashes are accepted", p.UID)
		}
	}
	var added []string
	err := r.store.Update(ctx, func(tx *store.Tx) error {
		c, err := r.readCluster(tx, account, cluster)
		if err != nil {
			return err
		}
		added = nil
		for _, p := range pods {
			if !r.PodDeleted(c.ID, p.UID) && !slices.Contains(added, p.UID) {
				added = append(added, p.UID)
			}
		}
		if len(added) == 0 {
			return nil
		}
		if r.deleted.ReadCount(tx, c.ID+"/") >= maxReports {
			return fault.New(fault.Limit, "The cluster %s has the maximum of %d reports of deleted pods: report more pods at once.", cluster, maxReports)
		}
		now := r.now()
		// By time, so that those of one moment are beside each other.
		key := c.ID + "/" + strconv.FormatInt(now.UnixNano(), 16) + "-" + randomText(8, lowerAlnum)
		return r.deleted.Put(tx, key, &DeletedPods{c.ID, account, by, now, added})
	})
	return len(added), err
}

// PodDeleted reports whether the cluster's pod with the uid was reported as deleted.
func (r *Registry) PodDeleted(clusterID, uid string) bool {
	return uid != "" && len(r.deletedByUID.Get(clusterID+"/"+uid)) > 0
}
