package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openlanyard/lanyard/fault"
)

// inParallel runs fn n times at once and fails the test with their errors.
func inParallel(t *testing.T, n int, fn func(i int) error) {
	t.Helper()
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { errs[i] = fn(i) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func (b *notebook) increment(ctx context.Context, keys ...string) error {
	return b.Update(ctx, func(tx *Tx) error {
		for _, key := range keys {
			next := note{}
			n, ok, err := b.notes.Read(tx, key)
			if err != nil {
				return err
			}
			if ok {
				next = *n
			}
			next.N++
			if err := b.notes.Put(tx, key, &next); err != nil {
				return err
			}
		}
		return nil
	})
}

func TestNoIncrementIsLost(t *testing.T) {
	book := fresh(t)
	const writers, each = 16, 20
	inParallel(t, writers, func(int) error {
		for range each {
			if err := book.increment(t.Context(), "counter"); err != nil {
				return err
			}
		}
		return nil
	})
	n, _, err := book.notes.Get("counter")
	if err != nil || n.N != writers*each {
		t.Errorf("got %+v, %v, want %d", n, err, writers*each)
	}
}

func TestReadersSeeAllOfATransactionOrNone(t *testing.T) {
	book := fresh(t)
	keys := []string{"a", "b", "c"}
	if err := book.increment(t.Context(), keys...); err != nil {
		t.Fatal(err)
	}
	var over atomic.Bool
	inParallel(t, 3, func(i int) error {
		if i == 0 {
			defer over.Store(true)
			for range 50 {
				if err := book.increment(t.Context(), keys...); err != nil {
					return err
				}
			}
			return nil
		}
		for !over.Load() {
			list, err := book.notes.List("", "", 0)
			if err != nil {
				return err
			}
			if a, b, c := list[0].Value.N, list[1].Value.N, list[2].Value.N; a != b || b != c {
				return fmt.Errorf("half a transaction: %d, %d, %d", a, b, c)
			}
		}
		return nil
	})
}

func TestAWriterReadsItsWrites(t *testing.T) {
	book := fresh(t)
	inParallel(t, 8, func(i int) error {
		for j := range 25 {
			key, want := strconv.Itoa(i), note{Owner: strconv.Itoa(i), N: j}
			if err := book.Update(t.Context(), func(tx *Tx) error { return book.notes.Put(tx, key, &want) }); err != nil {
				return err
			}
			got, _, err := book.notes.Get(key)
			if err != nil || got == nil || *got != want {
				return fmt.Errorf("Get after Update: got %+v, %v, want %+v", got, err, want)
			}
			if hits := book.byOwner.Get(key); len(hits) != 1 || *hits[0] != want {
				return fmt.Errorf("index after Update: got %v, want %+v", hits, want)
			}
		}
		return nil
	})
}

func TestALimitHoldsUnderConcurrency(t *testing.T) {
	book := fresh(t)
	const limit = 10
	full := fault.New(fault.Limit, "full")
	var made, refused atomic.Int64
	inParallel(t, 24, func(i int) error {
		err := book.Update(t.Context(), func(tx *Tx) error {
			if book.notes.ReadCount(tx, "c/") >= limit {
				return full
			}
			return book.notes.Put(tx, "c/"+strconv.Itoa(i), &note{})
		})
		switch {
		case err == nil:
			made.Add(1)
		case errors.Is(err, full):
			refused.Add(1)
		default:
			return err
		}
		return nil
	})
	if made.Load() != limit || refused.Load() != 14 || book.notes.Count("c/") != limit {
		t.Errorf("got %d made, %d refused, %d there, want 10, 14, 10", made.Load(), refused.Load(), book.notes.Count("c/"))
	}
}

func TestOnlyOneClaimsAnAbsentKey(t *testing.T) {
	book := fresh(t)
	taken := fault.New(fault.Exists, "taken")
	var winners atomic.Int64
	inParallel(t, 12, func(i int) error {
		err := book.Update(t.Context(), func(tx *Tx) error {
			if _, ok, err := book.notes.Read(tx, "name"); ok || err != nil {
				return errors.Join(err, taken)
			}
			return book.notes.Put(tx, "name", &note{N: i})
		})
		if err == nil {
			winners.Add(1)
		} else if !errors.Is(err, taken) {
			return err
		}
		return nil
	})
	if winners.Load() != 1 {
		t.Errorf("got %d winners, want 1", winners.Load())
	}
}

func TestTransactionSeesItsOwnWrites(t *testing.T) {
	book := fresh(t)
	book.put(t, "1", &note{Owner: "ann", Text: "one"})
	book.put(t, "2", &note{Owner: "ann", Text: "two"})
	book.put(t, "3", &note{Owner: "ann", Text: "three"})
	var got []string
	err := book.Update(t.Context(), func(tx *Tx) error {
		got = nil
		if err := errors.Join(
			book.notes.Put(tx, "0", &note{Owner: "ann", Text: "zero"}),
			book.notes.Put(tx, "2", &note{Owner: "bob", Text: "two"}),
			book.notes.Delete(tx, "3"),
		); err != nil {
			return err
		}
		_, gone, err := book.notes.Read(tx, "3")
		if err != nil {
			return err
		}
		for _, owner := range []string{"ann", "bob"} {
			hits, err := book.byOwner.Read(tx, owner)
			if err != nil {
				return err
			}
			for _, n := range hits {
				got = append(got, owner+" "+n.Text)
			}
		}
		got = append(got, fmt.Sprint(gone, book.notes.ReadCount(tx, "")))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"ann zero", "ann one", "bob two", "false 3"}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("got - want +\n%s", diff)
	}
}

func TestAnErrorOfTheFunctionWritesNothing(t *testing.T) {
	book := fresh(t)
	want := errors.New("changed my mind")
	err := book.Update(t.Context(), func(tx *Tx) error {
		return errors.Join(book.notes.Put(tx, "x", &note{}), want)
	})
	if !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
	book.has(t, "x", false)
}

// An error that rests on a record which has changed meanwhile is not told: the function is asked again.
func TestAnErrorFromAnOldReadIsNotReturned(t *testing.T) {
	book := fresh(t)
	runs := 0
	err := book.Update(t.Context(), func(tx *Tx) error {
		runs++
		_, ok, err := book.notes.Read(tx, "x")
		if runs == 1 {
			book.put(t, "x", &note{})
		}
		if !ok {
			return errors.Join(err, fault.New(fault.NotFound, "no x"))
		}
		return book.notes.Put(tx, "x", &note{N: 1})
	})
	if n, _, _ := book.notes.Get("x"); err != nil || runs != 2 || n.N != 1 {
		t.Errorf("got %v after %d runs, %+v, want a write by the second", err, runs, n)
	}
}

func TestEndlessConflictIsUnavailable(t *testing.T) {
	book := fresh(t)
	runs := 0
	err := book.Update(t.Context(), func(tx *Tx) error {
		runs++
		if _, _, err := book.notes.Read(tx, "x"); err != nil {
			return err
		}
		putRaw(t, book.Store, root+"note/x", fmt.Sprintf(`1 {"n":%d}`, runs))
		return book.notes.Put(tx, "x", &note{N: -1})
	})
	if !fault.Is(err, fault.Unavailable) || runs != tries {
		t.Errorf("got %v after %d runs, want Unavailable after %d", err, runs, tries)
	}
	if n, _, _ := book.notes.Get("x"); n.N != tries {
		t.Errorf("got %+v, want the other writer's", n)
	}
}

func TestAThousandRecordsInOneTransaction(t *testing.T) {
	book := fresh(t)
	const many = 1000
	err := book.Update(t.Context(), func(tx *Tx) error {
		for i := range many {
			if err := book.notes.Put(tx, fmt.Sprintf("c/%04d", i), &note{N: i}); err != nil {
				return err
			}
		}
		return nil
	})
	if got := book.notes.Count("c/"); err != nil || got != many {
		t.Fatalf("got %d, %v, want %d", got, err, many)
	}
	err = book.Update(t.Context(), func(tx *Tx) error {
		book.notes.ReadCount(tx, "c/")
		list, err := book.notes.List("c/", "", 0)
		for _, e := range list {
			err = errors.Join(err, book.notes.Delete(tx, e.Key))
		}
		return err
	})
	if got := book.notes.Count("c/"); err != nil || got != 0 {
		t.Fatalf("got %d, %v, want none", got, err)
	}
}
