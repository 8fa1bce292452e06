package main

import (
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"

	"github.com/openlanyard/lanyard/audit"
	"github.com/openlanyard/lanyard/fault"
	"github.com/openlanyard/lanyard/trail"
)

// trailFlags say where the audit is brought to, and how long the log keeps what is there.
type trailFlags struct {
	to, endpoint, region, keyFile, caFile string
	each, keep                            time.Duration
}

// sinkFlags are those of who reads, too.
func (t *trailFlags) sinkFlags(f *pflag.FlagSet, what string) {
	f.StringVar(&t.to, "trail", "", what+": file:///FOLDER or s3://BUCKET/PREFIX; empty: none")
	f.StringVar(&t.endpoint, "trail-endpoint", "", "URL of the bucket's store; empty: Amazon S3 in --trail-region")
	f.StringVar(&t.region, "trail-region", "us-east-1", "region of the bucket's store")
	f.StringVar(&t.keyFile, "trail-key-file", "", "file of the access key to the bucket")
	f.StringVar(&t.caFile, "trail-ca", "", "PEM file of the store's CA; empty: the system's")
}

func (t *trailFlags) add(f *pflag.FlagSet) {
	t.sinkFlags(f, "where the audit is brought to, in CloudTrail's layout")
	f.DurationVar(&t.each, "trail-interval", time.Minute, "how often there are files for --trail")
	f.DurationVar(&t.keep, "audit-retention", 0, "how long closed segments of the audit log stay, such as 2160h, at least until they are brought to --trail; 0: for good")
}

// sink returns where --trail leads; nil without it.
func (t *trailFlags) sink() (trail.Sink, error) {
	if t.keep < 0 || t.each < 0 {
		return nil, fault.New(fault.Invalid, "--audit-retention and --trail-interval: durations from 0 on are accepted")
	}
	if t.to == "" {
		return nil, nil
	}
	to, err := url.Parse(t.to)
	if err != nil || to.RawQuery != "" || to.Fragment != "" || to.User != nil {
		return nil, fault.New(fault.Invalid, "--trail %q: file:///FOLDER or s3://BUCKET/PREFIX is accepted", t.to)
	}
	switch {
	case to.Scheme == "file" && to.Host == "" && strings.HasPrefix(to.Path, "/"):
		return trail.Folder(filepath.FromSlash(to.Path)), nil
	case to.Scheme == "s3" && to.Host != "":
		return t.bucket(to)
	}
	return nil, fault.New(fault.Invalid, "--trail %q: file:///FOLDER or s3://BUCKET/PREFIX is accepted", t.to)
}

func (t *trailFlags) bucket(to *url.URL) (*trail.Bucket, error) {
	if t.keyFile == "" {
		return nil, fault.New(fault.Invalid, "--trail %q needs --trail-key-file", t.to)
	}
	endpoint, err := url.Parse(firstOf(t.endpoint, "https://s3."+t.region+".amazonaws.com"))
	if err != nil || endpoint.Scheme != "https" && endpoint.Scheme != "http" || endpoint.Host == "" || strings.Trim(endpoint.Path, "/") != "" {
		return nil, fault.New(fault.Invalid, "--trail-endpoint %q: http://HOST or https://HOST is accepted", t.endpoint)
	}
	id, secret, err := readKeyFile(t.keyFile)
	if err != nil {
		return nil, err
	}
	trusting := &client{}
	if err := trusting.trust(t.caFile); err != nil {
		return nil, err
	}
	b := &trail.Bucket{Endpoint: endpoint, Bucket: to.Host, Region: t.region, KeyID: id, SecretKey: secret, Client: trusting.unhurried()}
	if prefix := strings.Trim(to.Path, "/"); prefix != "" {
		b.Prefix = prefix + "/"
	}
	return b, nil
}

// indexFile is where a server has the index of its audit, within the folder of the log.
func indexFile(auditDir string) string { return filepath.Join(auditDir, "index", "index.db") }

// describeAudit has the metrics tell how a log does.
func describeAudit(metrics prometheus.Registerer, log *audit.Log) {
	gauge := func(name, help string, value func(audit.State) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return value(log.State()) })
	}
	counter := func(name, help string, value func(audit.State) float64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return value(log.State()) })
	}
	metrics.MustRegister(
		gauge("lanyard_audit_full", "1 while the audit log cannot be written, and nothing is decided that it would have to hold.", func(s audit.State) float64 {
			if s.Full {
				return 1
			}
			return 0
		}),
		gauge("lanyard_audit_places_in_use", "Decisions under way, each with a place in the audit log.", func(s audit.State) float64 { return float64(s.Places) }),
		counter("lanyard_audit_turned_away_total", "Requests that were refused because the audit log had no place for their record.", func(s audit.State) float64 { return float64(s.TurnedAway) }),
		counter("lanyard_audit_unauthenticated_dropped_total", "Records of unauthenticated calls that were left out, because there were too many.", func(s audit.State) float64 { return float64(s.Dropped) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "lanyard_audit_records_total", Help: "Records in the chain of the audit log."}, func() float64 { return float64(log.Head().Seq) }),
	)
}

// openDelivered opens a log with the delivery that it is to have, which may be nil, as metrics may.
func openDelivered(dir string, cfg audit.Config, d *trail.Delivery, metrics prometheus.Registerer) (*audit.Log, error) {
	if d != nil {
		if err := d.Open(); err != nil {
			return nil, err
		}
		cfg.Delivered = d.Delivered
	}
	log, err := audit.Open(dir, cfg)
	if err != nil {
		return nil, err
	}
	if d != nil {
		d.Log = log
	}
	if metrics != nil {
		describeAudit(metrics, log)
	}
	if d != nil && metrics != nil {
		d.Describe(metrics)
	}
	return log, nil
}

// startAudit comes before the other tasks, which thereby stop first: what they record as they stop is still written, and what the
// log writes as it stops, the counts of refusals among it, is still delivered.
func (t *tasks) startAudit(log *audit.Log, d *trail.Delivery) {
	if d != nil {
		t.start(d.Run)
	}
	t.start(log.Run)
}
