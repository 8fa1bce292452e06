package trail

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Query says which events to look for.
type Query struct {
	Account      string          // "": any
	Data         bool            // data events, too
	Has          map[Kind]string // values that a record has, all of them
	Since, Until time.Time       // the event's time, in whole seconds, both included; zero: open
}

// Found is an event of the index.
type Found struct {
	ID   int64 // by which events are ordered
	Text []byte
}

// Find passes on what fits a query, the newest first, until visit returns false. It begins with what is older than the event with
// the id before; 0: with the newest.
func (x *Index) Find(ctx context.Context, q Query, before int64, visit func(Found) bool) (err error) {
	var open []*results
	defer func() {
		for _, r := range open {
			err = errors.Join(err, r.rows.Close())
		}
	}()
	for _, s := range shelves {
		if s == data && !q.Data {
			continue
		}
		accounts, err := x.accounts(ctx, s, q.Account)
		if err != nil {
			return err
		}
		for _, account := range accounts {
			r, err := x.results(ctx, s, account, q, before)
			if err != nil {
				return err
			}
			open = append(open, r)
			if err := r.next(); err != nil {
				return err
			}
		}
	}
	for {
		var newest *results
		for _, r := range open {
			if !r.over && (newest == nil || r.at.ID > newest.at.ID) {
				newest = r
			}
		}
		if newest == nil || !visit(newest.at) {
			return nil
		}
		if err := newest.next(); err != nil {
			return err
		}
	}
}

func (x *Index) accounts(ctx context.Context, s shelf, one string) (names []string, err error) {
	if one != "" {
		return []string{one}, nil
	}
	rows, err := x.db.QueryContext(ctx, "SELECT name FROM "+string(s)+"_account")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, rows.Err()
}

// results are those of one shelf and account.
type results struct {
	rows *sql.Rows
	at   Found
	over bool
}

func (r *results) next() error {
	if r.over = !r.rows.Next(); r.over {
		return r.rows.Err()
	}
	return r.rows.Scan(&r.at.ID, &r.at.Text)
}

// results begins with the rarest of the terms, and holds each event that has it against the others.
func (x *Index) results(ctx context.Context, s shelf, account string, q Query, before int64) (*results, error) {
	var terms []int64
	for _, k := range kinds {
		if value := q.Has[k]; value != "" {
			terms = append(terms, term(account, k, value))
		}
	}
	if len(terms) == 0 {
		terms = []int64{term(account, all, "")}
	}
	from, to := int64(0), int64(1<<62)
	if !q.Since.IsZero() {
		from = max(0, q.Since.Add(time.Second-1).Unix()) << idBits
	}
	if !q.Until.IsZero() {
		to = (max(0, q.Until.Unix()) + 1) << idBits
	}
	if before > 0 {
		to = min(to, before)
	}
	var text strings.Builder
	var values []any
	fmt.Fprintf(&text, "SELECT e.id, e.text FROM %s_term t", s)
	for i, t := range terms[1:] {
		fmt.Fprintf(&text, " CROSS JOIN %s_term t%d ON t%d.term = ? AND t%d.id = t.id", s, i, i, i)
		values = append(values, t)
	}
	fmt.Fprintf(&text, " CROSS JOIN %s e ON e.id = t.id WHERE t.term = ? AND t.id >= ? AND t.id < ? ORDER BY t.id DESC", s)
	rows, err := x.db.QueryContext(ctx, text.String(), append(values, terms[0], from, to)...)
	if err != nil {
		return nil, fmt.Errorf("asking the audit index: %w", err)
	}
	return &results{rows: rows}, nil
}
