package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Bounds of the embedded member. etcd's own defaults, 128 operations and 1.5 MiB, would keep a cluster with its
// associations from being deleted in one transaction.
const (
	maxOperations   = 16 << 10
	maxRequestBytes = 32 << 20
	quotaBytes      = 8 << 30
)

// member is the sole member of an etcd cluster, in this process and without a socket.
type member struct {
	lock   *os.File
	etcd   *embed.Etcd
	client *clientv3.Client
	logger logger
}

func startMember(ctx context.Context, dir string, log *slog.Logger) (*member, error) {
	lock, err := lockFolder(dir)
	if err != nil {
		return nil, err
	}
	begun, err := begin(dir)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	m := &member{lock: lock, logger: newLogger(log)}
	if m.etcd, err = embed.StartEtcd(memberConfig(dir, m.logger.zap)); err != nil {
		_ = lock.Close() // the start's error is the one to tell
		return nil, fmt.Errorf("starting etcd in %s: %w", dir, err)
	}
	select {
	case <-m.etcd.Server.ReadyNotify():
	case err = <-m.etcd.Err():
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err == nil {
		err = begun()
	}
	if err != nil {
		m.etcd.Close()
		_ = lock.Close()
		return nil, fmt.Errorf("starting etcd in %s: %w", dir, err)
	}
	m.client = v3client.New(m.etcd.Server)
	m.logger.level.SetLevel(zapcore.WarnLevel)
	return m, nil
}

// memberConfig names no address to listen on; the default would be 2379 and 2380, open to all. The peer URL is only
// the member's name in its own list. A member alone elects itself after one timeout, so a short one makes the start quick.
func memberConfig(dir string, log *zap.Logger) *embed.Config {
	config := embed.NewConfig()
	config.Name = "lanyard"
	config.Dir = filepath.Join(dir, "etcd")
	config.ListenClientUrls, config.AdvertiseClientUrls, config.ListenPeerUrls = nil, nil, nil
	config.AdvertisePeerUrls = []url.URL{{Scheme: "http", Host: "127.0.0.1:1"}}
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	config.TickMs, config.ElectionMs = 10, 100
	config.AutoCompactionMode, config.AutoCompactionRetention = embed.CompactorModePeriodic, "1h"
	config.QuotaBackendBytes = quotaBytes
	config.MaxTxnOps, config.MaxRequestBytes = maxOperations, maxRequestBytes
	config.ZapLoggerBuilder = embed.NewZapLoggerBuilder(log)
	return config
}

// close stops etcd and frees the folder. A member without listeners would log its stop as four errors.
func (m *member) close() error {
	m.logger.level.SetLevel(zapcore.FatalLevel)
	err := m.client.Close()
	m.etcd.Close()
	if closing := m.lock.Close(); closing != nil {
		return fmt.Errorf("freeing the store's folder: %w", closing)
	}
	if err != nil && err != context.Canceled {
		return fmt.Errorf("closing the etcd client: %w", err)
	}
	return nil
}

// logger carries etcd's log lines to slog. Its level starts at errors that end the process.
type logger struct {
	zap   *zap.Logger
	level zap.AtomicLevel
}

func newLogger(log *slog.Logger) logger {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	level := zap.NewAtomicLevelAt(zapcore.FatalLevel)
	return logger{zap: zap.New(bridge{AtomicLevel: level, log: log}), level: level}
}

// bridge is a zap core that writes to slog.
type bridge struct {
	zap.AtomicLevel
	log    *slog.Logger
	fields []zapcore.Field
}

func (b bridge) With(fields []zapcore.Field) zapcore.Core {
	b.fields = append(b.fields[:len(b.fields):len(b.fields)], fields...)
	return b
}

// early are lines of a new member about itself: its first term is not written yet when it wants to note its version. It
// notes it soon after.
var early = map[string]bool{"Failed to detect schema version": true, "failed to update storage version": true}

func (b bridge) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if b.Enabled(entry.Level) && !early[entry.Message] {
		return checked.AddCore(entry, b)
	}
	return checked
}

func (b bridge) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	values := zapcore.NewMapObjectEncoder()
	for _, f := range b.fields {
		f.AddTo(values)
	}
	for _, f := range fields {
		f.AddTo(values)
	}
	level := slog.LevelError
	if entry.Level <= zapcore.WarnLevel {
		level = slog.LevelWarn
	}
	b.log.Log(context.Background(), level, "etcd: "+entry.Message, "fields", values.Fields)
	return nil
}

func (b bridge) Sync() error { return nil }
