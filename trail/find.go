package trail

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
func (x *Index) Find(ctx context.Context, q Query, before int64, visit func(Found) bool) error {
	var each []*results
	for _, s := range shelves {
		if s == data && !q.Data {
			continue
		}
		accounts, err := x.accounts(ctx, s, q.Account)
		if err != nil {
			return err
		}
		for _, account := range accounts {
			r := x.results(s, account, q, before)
			if r.step = mostAtOnce; len(accounts) > 1 {
				r.step = fewAtOnce
			}
			each = append(each, r)
			if err := r.next(ctx); err != nil {
				return err
			}
		}
	}
	for {
		var newest *results
		for _, r := range each {
			if len(r.page) > 0 && (newest == nil || r.page[0].ID > newest.page[0].ID) {
				newest = r
			}
		}
		if newest == nil || !visit(newest.page[0]) {
			return nil
		}
		newest.page = newest.page[1:]
		if err := newest.next(ctx); err != nil {
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

// results are those of one shelf and account. They are read some at a time: each that stayed open would hold one of the few
// connections to the file, and there may be many accounts.
type results struct {
	of     *Index
	text   string // of the question
	values []any  // in it, before from, before and step
	from   int64
	before int64 // what is not read yet
	step   int   // how many are read at once
	page   []Found
	over   bool // the page is the last
}

const (
	mostAtOnce = 64
	fewAtOnce  = 4 // at first, of each of several accounts
)

// next reads on where the page is at its end.
func (r *results) next(ctx context.Context) (err error) {
	if len(r.page) > 0 || r.over {
		return nil
	}
	rows, err := r.of.db.QueryContext(ctx, r.text, append(slices.Clone(r.values), r.from, r.before, r.step)...)
	if err != nil {
		return fmt.Errorf("asking the audit index: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	r.page = nil
	for rows.Next() {
		var f Found
		if err := rows.Scan(&f.ID, &f.Text); err != nil {
			return err
		}
		r.page = append(r.page, f)
		r.before = f.ID
	}
	r.over, r.step = len(r.page) < r.step, min(2*r.step, mostAtOnce)
	return rows.Err()
}

// results begins with the rarest of the terms, and holds each event that has it against the others.
func (x *Index) results(s shelf, account string, q Query, before int64) *results {
	var terms []int64
	for _, k := range kinds {
		if value := q.Has[k]; value != "" {
			terms = append(terms, term(account, k, value))
		}
	}
	if len(terms) == 0 {
		terms = []int64{term(account, all, "")}
	}
	r := &results{of: x, before: 1 << 62}
	if !q.Since.IsZero() {
		r.from = max(0, q.Since.Add(time.Second-1).Unix()) << idBits
	}
	if !q.Until.IsZero() {
		r.before = (max(0, q.Until.Unix()) + 1) << idBits
	}
	if before > 0 {
		r.before = min(r.before, before)
	}
	var text strings.Builder
	fmt.Fprintf(&text, "SELECT e.id, e.text FROM %s_term t", s)
	for i, t := range terms[1:] {
		fmt.Fprintf(&text, " CROSS JOIN %s_term t%d ON t%d.term = ? AND t%d.id = t.id", s, i, i, i)
		r.values = append(r.values, t)
	}
	fmt.Fprintf(&text, " CROSS JOIN %s e ON e.id = t.id WHERE t.term = ? AND t.id >= ? AND t.id < ? ORDER BY t.id DESC LIMIT ?", s)
	r.text, r.values = text.String(), append(r.values, terms[0])
	return r
}
