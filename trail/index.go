package trail

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	_ "modernc.org/sqlite" // the driver

	"github.com/openlanyard/lanyard/arn"
	"github.com/openlanyard/lanyard/audit"
	"github.com/openlanyard/lanyard/fault"
)

const (
	// schemaVersion is that of the tables below. An index of another one is made anew.
	schemaVersion = 2
	// history is how long events stay in the index, as CloudTrail's event history keeps them.
	history = 90 * 24 * time.Hour
	// feedBatch is how many records one transaction takes: few milliseconds of work, for pods may wait for the same processor. After
	// each the index rests so many times as long as that took, while nobody asks: it is not to have more than a part of it. Where it
	// is late, that part is greater.
	feedBatch = 50
	rest      = 63
	lateRest  = 7
	behind    = 5 * time.Minute
	// scanEach is how often the sink is looked through for what others have brought there.
	scanEach = 15 * time.Second
	// maxRegions are those of an account that are looked at: AWS has half as many, and who may write an account's folder could
	// make any number, for which the others would wait.
	maxRegions = 64
	// spare is the part of the file system, in percent, that the index leaves to the log.
	spare = 10
)

// schema has two shelves: management events are few, and are not to be driven out by the data events of gateways. An event's id
// is the second of its time and a number within that, so that all orders are by time. A term is the hash of an account, a kind and a
// value.
var schema = func() string {
	tables := `
CREATE TABLE source (name TEXT PRIMARY KEY, size INTEGER NOT NULL, offset INTEGER NOT NULL) WITHOUT ROWID;
`
	for _, s := range shelves {
		tables += fmt.Sprintf(`
CREATE TABLE %[1]s (id INTEGER PRIMARY KEY, text BLOB NOT NULL);
CREATE TABLE %[1]s_term (term INTEGER NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (term, id)) WITHOUT ROWID;
CREATE TABLE %[1]s_account (name TEXT PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE %[1]s_count (n INTEGER NOT NULL);
INSERT INTO %[1]s_count VALUES (0);
`, s)
	}
	return tables + fmt.Sprintf("PRAGMA user_version = %d;", schemaVersion)
}()

type shelf string

const (
	management shelf = "management"
	data       shelf = "data"
)

var shelves = []shelf{management, data}

func (r *Record) shelf() shelf {
	if r.ManagementEvent {
		return management
	}
	return data
}

// Index finds events. It is a cache of the log and of the sink: one that is deleted, spoilt or of another version is filled anew.
type Index struct {
	IndexConfig
	db *sql.DB
	mu sync.Mutex // of who writes
}

// IndexConfig is what an index is of.
type IndexConfig struct {
	File   string                                                                                       // in a folder of its own
	Read   func(ctx context.Context, from audit.Mark, visit func(audit.Found) bool) (audit.Mark, error) // of this process's log; nil: none
	Sink   Sink                                                                                         // where others bring theirs to; nil: nobody does
	Most   int                                                                                          // events of each shelf; 5,000,000 unless set
	Logger *slog.Logger
	Now    func() time.Time // time.Now unless set
}

// OpenIndex opens the file, or makes it.
func OpenIndex(cfg IndexConfig) (*Index, error) {
	if cfg.Most <= 0 {
		cfg.Most = 5_000_000
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if err := os.MkdirAll(filepath.Dir(cfg.File), 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of the audit index: %w", err)
	}
	x := &Index{IndexConfig: cfg}
	err := x.open()
	if err == nil {
		return x, nil
	}
	cfg.Logger.Warn("the audit index is made anew", "why", err)
	for _, end := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(cfg.File + end); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("making the audit index anew: %w", err)
		}
	}
	if err := x.open(); err != nil {
		return nil, fmt.Errorf("opening the audit index: %w", err)
	}
	return x, nil
}

var pragmas = url.Values{
	"_pragma": {"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(NORMAL)", "cache_size(-32000)", "journal_size_limit(67108864)"},
	"_txlock": {"immediate"},
}.Encode()

func (x *Index) open() (err error) {
	if x.db, err = sql.Open("sqlite", "file:"+(&url.URL{Path: x.File}).EscapedPath()+"?"+pragmas); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, x.db.Close())
		}
	}()
	x.db.SetMaxOpenConns(4)
	var version, tables int
	if err := x.db.QueryRow("SELECT (SELECT user_version FROM pragma_user_version), (SELECT count(*) FROM sqlite_schema)").Scan(&version, &tables); err != nil {
		return err
	}
	if tables == 0 {
		_, err := x.db.Exec("BEGIN IMMEDIATE;" + schema + "COMMIT;")
		return err
	}
	if version != schemaVersion {
		return fmt.Errorf("it has version %d", version)
	}
	for _, s := range shelves {
		if _, err := x.db.Exec("SELECT n FROM " + string(s) + "_count"); err != nil {
			return err
		}
	}
	return nil
}

// Close closes the file.
func (x *Index) Close() error { return x.db.Close() }

// Run fills the index until ctx ends. An index that cannot be filled brings nothing down: what it lacks is in the log.
func (x *Index) Run(ctx context.Context) error {
	failing, scanned := false, time.Time{}
	var unscanned error // of the last look at the sink
	for {
		err := x.fill(ctx, true)
		if errors.Is(err, errOvertaken) {
			continue
		}
		if x.Sink != nil && x.Now().Sub(scanned) >= scanEach {
			unscanned = x.scan(ctx, true)
			scanned = x.Now()
		}
		err = errors.Join(err, unscanned) // a log that cannot be read is to hide nothing of others
		if ctx.Err() == nil && err != nil && !failing {
			x.Logger.Warn("the audit index is behind", "error", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

// Fill takes what the log has that the index has not.
func (x *Index) Fill(ctx context.Context) error {
	for {
		if err := x.fill(ctx, false); !errors.Is(err, errOvertaken) {
			return err
		}
	}
}

const logSource = "log"

// errOvertaken is that of who finds that another has filled the index meanwhile.
var errOvertaken = errors.New("the index has been filled from elsewhere")

// fill takes what the log has, a batch at a time.
func (x *Index) fill(ctx context.Context, calm bool) error {
	if x.Read == nil {
		return nil
	}
	at, err := logMark(ctx, x.db)
	if err != nil {
		return err
	}
	var texts [][]byte
	store := func(next audit.Mark) error {
		err := x.write(ctx, calm, time.Now(), func(w *writing) error {
			if now, err := logMark(ctx, w.tx); err != nil || now != at {
				return cmp.Or(err, errOvertaken)
			}
			w.texts = texts
			return w.note(ctx, logSource, next.File, next.Offset)
		})
		at, texts = next, nil
		return err
	}
	var failed error
	next, err := x.Read(ctx, at, func(f audit.Found) bool {
		if texts = append(texts, slices.Clone(f.Text)); len(texts) == feedBatch {
			failed = store(f.Next)
		}
		return failed == nil
	})
	if err = cmp.Or(failed, err); err != nil || next == at {
		return err
	}
	return store(next)
}

// logMark is how far the log was read.
func logMark(ctx context.Context, from interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
},
) (at audit.Mark, err error) {
	err = from.QueryRowContext(ctx, "SELECT size, offset FROM source WHERE name = ?", logSource).Scan(&at.File, &at.Offset)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return at, err
}

// write runs one transaction, and rests after it where that is calm, for the work on it that began before.
func (x *Index) write(ctx context.Context, calm bool, began time.Time, with func(*writing) error) error {
	newest, err := x.transact(ctx, with)
	if err != nil || !calm {
		return err
	}
	times := time.Duration(rest)
	if !newest.IsZero() && x.Now().Sub(newest) > behind {
		times = lateRest
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(times * time.Since(began)):
		return nil
	}
}

// transact returns the time of the newest event that was written.
func (x *Index) transact(ctx context.Context, with func(*writing) error) (newest time.Time, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.isFull() {
		return newest, fmt.Errorf("less than %d%% of the file system of %s is free, and left to the log", spare, x.File)
	}
	tx, err := x.db.BeginTx(ctx, nil)
	if err != nil {
		return newest, err
	}
	defer func() {
		if err != nil {
			_ = tx.Rollback() // the cause is told
		}
	}()
	w := &writing{of: x, tx: tx, next: map[int64]int64{}}
	if err := with(w); err != nil {
		return newest, err
	}
	if err := w.flush(ctx); err != nil {
		return newest, err
	}
	return w.newest, tx.Commit()
}

// isFull reports whether the file system has little left.
func (x *Index) isFull() bool {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(filepath.Dir(x.File), &fs); err != nil {
		return false
	}
	return fs.Bavail*100 < fs.Blocks*spare
}

// Scan takes the files of the sink that the index has not.
func (x *Index) Scan(ctx context.Context) error { return x.scan(ctx, false) }

// scan goes on where an account's folder cannot be read: others may have written that, and it is to hide nothing of another's.
func (x *Index) scan(ctx context.Context, calm bool) error {
	_, accounts, err := x.Sink.List(ctx, root)
	if err != nil {
		return fmt.Errorf("listing %s: %w", x.Sink, err)
	}
	var failed error
	for _, prefix := range accounts {
		account := behindSlash(strings.TrimSuffix(prefix, "/"))
		if !arn.IsAccount(account) {
			continue
		}
		failed = cmp.Or(failed, x.scanAccount(ctx, account, calm))
		if ctx.Err() != nil {
			break
		}
	}
	return failed
}

func (x *Index) scanAccount(ctx context.Context, account string, calm bool) error {
	_, regions, err := x.Sink.List(ctx, logs(account))
	if err != nil {
		return fmt.Errorf("listing %s: %w", x.Sink, err)
	}
	for _, region := range regions[:min(len(regions), maxRegions)] {
		if err := x.scanDays(ctx, account, region, calm); err != nil {
			return err
		}
	}
	return nil
}

// scanDays takes a region's days from the last one on that was looked at, and the day before it, whose files may have been late.
func (x *Index) scanDays(ctx context.Context, account, region string, calm bool) error {
	const day = 24 * time.Hour
	now := x.Now().UTC()
	from := now.Add(-history)
	var last int64
	if err := x.db.QueryRowContext(ctx, "SELECT size FROM source WHERE name = ?", region).Scan(&last); err == nil {
		from = time.Unix(last, 0).Add(-day)
	} else if !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	for at := from.Truncate(day); !at.After(now); at = at.Add(day) {
		prefix := region + at.UTC().Format("2006/01/02/")
		files, _, err := x.Sink.List(ctx, prefix)
		if err != nil {
			return fmt.Errorf("listing %s: %w", x.Sink, err)
		}
		taken, err := x.taken(ctx, prefix)
		if err != nil {
			return err
		}
		for _, file := range files {
			if size, known := taken[file.Name]; known && size == file.Size || !strings.HasSuffix(file.Name, ".json.gz") {
				continue
			}
			if err := x.take(ctx, account, file, calm); err != nil {
				return fmt.Errorf("reading %s of %s: %w", file.Name, x.Sink, err)
			}
		}
	}
	return x.write(ctx, calm, time.Now(), func(w *writing) error {
		// Names of days that are not looked at any more need not be remembered.
		if _, err := w.tx.ExecContext(ctx, "DELETE FROM source WHERE name > ? AND name < ?", region, region+now.Add(-3*day).Format("2006/01/02/")); err != nil {
			return err
		}
		return w.note(ctx, region, now.Unix(), 0)
	})
}

// taken are the sizes of a day's files as they were taken, by their names.
func (x *Index) taken(ctx context.Context, prefix string) (sizes map[string]int64, err error) {
	end := strings.TrimSuffix(prefix, "/") + "0" // the next sign after the slash
	rows, err := x.db.QueryContext(ctx, "SELECT name, size FROM source WHERE name > ? AND name < ?", prefix, end)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	sizes = map[string]int64{}
	for rows.Next() {
		var name string
		var size int64
		if err := rows.Scan(&name, &size); err != nil {
			return nil, err
		}
		sizes[name] = size
	}
	return sizes, rows.Err()
}

// take adds a file's records.
func (x *Index) take(ctx context.Context, account string, file File, calm bool) error {
	body, err := x.get(ctx, file) // to wait for is no work that is rested after
	var batch [][]byte
	began := time.Now()
	store := func(done bool) error {
		err := x.write(ctx, calm, began, func(w *writing) error {
			w.folder, w.texts = account, batch
			if !done {
				return nil
			}
			return w.note(ctx, file.Name, file.Size, 0)
		})
		batch, began = nil, time.Now()
		return err
	}
	if err == nil {
		var failed error
		err = unpack(body, func(record []byte) bool {
			if batch = append(batch, record); len(batch) == feedBatch {
				failed = store(false)
			}
			return failed == nil
		})
		if failed != nil {
			return failed
		}
	} else if !fault.Is(err, fault.Invalid) {
		return err
	}
	if err != nil { // it will not get better; and the others are to be read
		x.Logger.Warn("a file is no log file and is left out", "file", file.Name, "of", x.Sink.String(), "error", err)
	}
	return store(true)
}

func (x *Index) get(ctx context.Context, file File) ([]byte, error) {
	if file.Size > maxPacked {
		return nil, errTooLarge
	}
	return x.Sink.Get(ctx, file.Name)
}

// term is the hash of what is looked for.
func term(account string, k Kind, value string) int64 {
	sum := sha256.Sum256([]byte(account + "\x00" + string(k) + "\x00" + value))
	return int64(binary.BigEndian.Uint64(sum[:]))
}

// all is the kind of which each record has a value, the empty one.
const all Kind = ""

// terms are those of a record, each once.
func (r *Record) terms(account string) []int64 {
	terms := []int64{term(account, all, "")}
	for _, k := range kinds {
		for _, value := range r.Values(k) {
			if value != "" {
				terms = append(terms, term(account, k, value))
			}
		}
	}
	slices.Sort(terms)
	return slices.Compact(terms)
}
