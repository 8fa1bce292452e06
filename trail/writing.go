package trail

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/openlanyard/lanyard/fault"
)

// idBits are those of an event's number within its second.
const idBits = 20

// writing is a transaction that adds events.
type writing struct {
	of     *Index
	tx     *sql.Tx
	texts  [][]byte
	folder string          // the account in whose folder they were; "": they are of the log
	newest time.Time       // of the events that were added
	next   map[int64]int64 // by the second: the next id
	seen   map[int64]bool  // ids of events in this transaction, hashed
	events map[shelf][]any
	terms  map[shelf][]entry
}

type entry struct{ term, id int64 }

// note remembers how far a source was read.
func (w *writing) note(ctx context.Context, source string, size, offset int64) error {
	_, err := w.tx.ExecContext(ctx, "INSERT OR REPLACE INTO source VALUES (?, ?, ?)", source, size, offset)
	return err
}

// flush writes the events that are not there yet.
func (w *writing) flush(ctx context.Context) error {
	w.events, w.terms, w.seen = map[shelf][]any{}, map[shelf][]entry{}, map[int64]bool{}
	accounts := map[shelf]map[string]int{management: {}, data: {}}
	known := map[shelf]*sql.Stmt{}
	for _, s := range shelves {
		stmt, err := w.tx.PrepareContext(ctx, "SELECT 1 FROM "+string(s)+"_term WHERE term = ?")
		if err != nil {
			return err
		}
		defer func() { _ = stmt.Close() }() // it ends with the transaction
		known[s] = stmt
	}
	for _, text := range w.texts {
		r, err := ParseRecord(text)
		if err != nil || !w.takes(r) {
			continue
		}
		account, s := r.RecipientAccountID, r.shelf()
		own := term(account, EventID, r.EventID)
		switch err := known[s].QueryRowContext(ctx, own).Scan(new(int)); {
		case err == nil || w.seen[own]:
			continue
		case !errors.Is(err, sql.ErrNoRows):
			return err
		}
		w.seen[own] = true
		if r.EventTime.After(w.newest) {
			w.newest = r.EventTime
		}
		id, err := w.id(ctx, r.EventTime.Unix())
		if err != nil {
			return err
		}
		w.events[s] = append(w.events[s], id, text)
		for _, t := range r.terms(account) {
			w.terms[s] = append(w.terms[s], entry{t, id})
		}
		accounts[s][account]++
	}
	for _, s := range shelves {
		if err := w.store(ctx, s, accounts[s]); err != nil {
			return err
		}
		if err := w.expire(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// takes reports whether an event belongs into the index. What others brought may be anything: it is to be an event of the account
// that they brought it for, and of a time at which it would go again.
func (w *writing) takes(r *Record) bool {
	now := w.of.Now()
	if r.EventID == "" || r.EventTime.Before(now.Add(-history)) {
		return false
	}
	return w.folder == "" || (r.RecipientAccountID == w.folder || r.RecipientAccountID == "") && !r.EventTime.After(now.Add(time.Hour))
}

// id gives out the ids of a second in turn, to both shelves. Those of a second that is full are of the next one.
func (w *writing) id(ctx context.Context, second int64) (int64, error) {
	for ; ; second++ {
		id, err := w.idIn(ctx, second)
		if err != nil {
			return 0, err
		}
		if id < (second+1)<<idBits {
			w.next[second] = id + 1
			return id, nil
		}
	}
}

func (w *writing) idIn(ctx context.Context, second int64) (int64, error) {
	id := w.next[second]
	if id == 0 {
		id = second << idBits
		for _, s := range shelves {
			var last sql.NullInt64
			if err := w.tx.QueryRowContext(ctx, "SELECT max(id) FROM "+string(s)+" WHERE id >= ? AND id < ?", second<<idBits, (second+1)<<idBits).Scan(&last); err != nil {
				return 0, err
			}
			if last.Valid {
				id = max(id, last.Int64+1)
			}
		}
	}
	return id, nil
}

func (w *writing) store(ctx context.Context, s shelf, accounts map[string]int) error {
	terms := w.terms[s]
	if len(terms) == 0 {
		return nil
	}
	slices.SortFunc(terms, func(a, b entry) int { return cmp.Or(cmp.Compare(a.term, b.term), cmp.Compare(a.id, b.id)) })
	pairs := make([]any, 0, 2*len(terms))
	for _, e := range terms {
		pairs = append(pairs, e.term, e.id)
	}
	if err := w.insert(ctx, "INSERT INTO "+string(s)+"_term VALUES ", pairs); err != nil {
		return err
	}
	if err := w.insert(ctx, "INSERT INTO "+string(s)+" VALUES ", w.events[s]); err != nil {
		return err
	}
	return w.count(ctx, s, accounts)
}

// count adds to the numbers of events, of each account and of all.
func (w *writing) count(ctx context.Context, s shelf, accounts map[string]int) error {
	sum := 0
	for account, n := range accounts {
		sum += n
		if _, err := w.tx.ExecContext(ctx, "INSERT INTO "+string(s)+"_account VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET n = n + excluded.n", account, n); err != nil {
			return err
		}
	}
	_, err := w.tx.ExecContext(ctx, "UPDATE "+string(s)+"_count SET n = n + ?", sum)
	return err
}

// insert writes rows of two values, many at a time: a statement costs more than a row.
func (w *writing) insert(ctx context.Context, into string, values []any) error {
	const most = 1000
	var full *sql.Stmt
	for len(values) > 0 {
		n := min(len(values), most)
		part := values[:n]
		values = values[n:]
		text := into + strings.Repeat("(?,?),", n/2-1) + "(?,?)"
		if n < most {
			_, err := w.tx.ExecContext(ctx, text, part...)
			return err
		}
		if full == nil {
			stmt, err := w.tx.PrepareContext(ctx, text)
			if err != nil {
				return err
			}
			defer func() { _ = stmt.Close() }() // it ends with the transaction
			full = stmt
		}
		if _, err := full.ExecContext(ctx, part...); err != nil {
			return err
		}
	}
	return nil
}

// expire removes the oldest events of a shelf where they are too old, or it has too many: those of the account that has most, so
// that none drives out another's.
func (w *writing) expire(ctx context.Context, s shelf) error {
	var n int
	var oldest sql.NullInt64
	if err := w.tx.QueryRowContext(ctx, "SELECT n, (SELECT min(id) FROM "+string(s)+") FROM "+string(s)+"_count").Scan(&n, &oldest); err != nil {
		return err
	}
	before := w.of.Now().Add(-history).Unix() << idBits
	switch {
	case n > w.of.Most:
		var largest string
		if err := w.tx.QueryRowContext(ctx, "SELECT name FROM "+string(s)+"_account ORDER BY n DESC LIMIT 1").Scan(&largest); err != nil {
			return err
		}
		return w.remove(ctx, s, "SELECT e.id, e.text FROM "+string(s)+"_term t CROSS JOIN "+string(s)+" e ON e.id = t.id WHERE t.term = ? ORDER BY t.id LIMIT ?",
			term(largest, all, ""), n-w.of.Most)
	case oldest.Valid && oldest.Int64 < before:
		return w.remove(ctx, s, "SELECT id, text FROM "+string(s)+" WHERE id < ? ORDER BY id LIMIT ?", before, 2*feedBatch)
	}
	return nil
}

// remove removes the events that a question finds.
func (w *writing) remove(ctx context.Context, s shelf, question string, values ...any) (err error) {
	rows, err := w.tx.QueryContext(ctx, question, values...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var ids []int64
	var gone []entry
	accounts := map[string]int{}
	for rows.Next() {
		var id int64
		var text []byte
		if err := rows.Scan(&id, &text); err != nil {
			return err
		}
		r, err := ParseRecord(text)
		if err != nil {
			return fmt.Errorf("reading an event of the index: %w", err)
		}
		for _, t := range r.terms(r.RecipientAccountID) {
			gone = append(gone, entry{t, id})
		}
		ids = append(ids, id)
		accounts[r.RecipientAccountID]--
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, e := range gone {
		if _, err := w.tx.ExecContext(ctx, "DELETE FROM "+string(s)+"_term WHERE term = ? AND id = ?", e.term, e.id); err != nil {
			return err
		}
	}
	for _, id := range ids {
		if _, err := w.tx.ExecContext(ctx, "DELETE FROM "+string(s)+" WHERE id = ?", id); err != nil {
			return err
		}
	}
	return w.count(ctx, s, accounts)
}

const (
	// maxPacked is more than a log file has: a batch, and its last record. maxUnpacked is too.
	maxPacked   = maxBytes + maxRecord
	maxUnpacked = 2 * maxBytes
	// maxRecord is more than the log lets a record have.
	maxRecord = 512 << 10
	// maxRead is more than is read for one record, with what the decoder reads ahead.
	maxRead = 8 * maxRecord
)

var errTooLarge = fault.New(fault.Invalid, "it is larger than log files are")

// unpack passes on a log file's records until visit returns false. Few bytes may unpack to very many: no more of them are held than
// a record has.
func unpack(body []byte, visit func(record []byte) bool) error {
	from, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return err
	}
	piece := &limited{from: io.LimitReader(from, maxUnpacked), left: maxRead}
	decoder := json.NewDecoder(piece)
	for _, want := range []json.Token{json.Delim('{'), "Records", json.Delim('[')} {
		if token, err := decoder.Token(); err != nil || token != want {
			return cmp.Or(err, fmt.Errorf("it has %v in the place of %v", token, want))
		}
	}
	for n := 0; decoder.More(); n++ {
		var record json.RawMessage
		if err := decoder.Decode(&record); err != nil {
			return err
		}
		if n == maxRecords || len(record) > maxRecord {
			return errTooLarge
		}
		if !visit(record) {
			return nil
		}
		piece.left = maxRead
	}
	_, err = decoder.Token() // the list's end
	return err
}

// limited is a reader that fails when more than is left is read of it.
type limited struct {
	from io.Reader
	left int
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, errTooLarge
	}
	n, err := l.from.Read(p[:min(len(p), l.left)])
	l.left -= n
	return n, err
}
