package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
)

const (
	iamRoles                 = 200
	iamRounds, iamRequests   = 5, 5000
	iamPage, iamPageRequests = 10, 2000
	// iamClients are many, as an answer waits for the disk with its record, which it shares with those that come together.
	iamClients = 256
)

// iam measures what administrators' tools ask for most: a role by its name, and a page of a list. Each answer has its record
// in the audit, on the disk.
func (b *bench) iam(ctx context.Context) (err error) {
	progress("starting a control plane with %d roles", iamRoles)
	l, err := b.startLanyard(ctx, "iam")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.stop()) }()
	administrator, names := l.call(l.key), make([]string, iamRoles)
	for i := range names {
		names[i] = fmt.Sprintf("role-%03d", i)
		form := iamForm("CreateRole", "RoleName", names[i], "AssumeRolePolicyDocument", podTrust)
		if err := administrator(ctx, "iam", http.MethodPost, "/", form, nil); err != nil {
			return fmt.Errorf("making role %s: %w", names[i], err)
		}
	}
	var one, page [][]byte
	for _, name := range names {
		get, err := l.askIAM(iamForm("GetRole", "RoleName", name))
		if err != nil {
			return err
		}
		list, err := l.askIAM(iamForm("ListRoles", "MaxItems", strconv.Itoa(iamPage), "Marker", name))
		if err != nil {
			return err
		}
		one, page = append(one, get), append(page, list)
	}
	progress("reading roles: %d rounds of %d requests", iamRounds, iamRequests)
	for _, read := range []struct {
		what     string
		few      [][]byte
		requests int
		most     float64 // µs of CPU
		least    float64 // requests a second
	}{
		{"IAM: GetRole", one, iamRequests, 100, 10_000},
		{fmt.Sprintf("IAM: ListRoles, a page of %d", iamPage), page, iamPageRequests, 200, 0},
	} {
		answer, err := ask(ctx, l.address, read.few[0])
		if err != nil {
			return err
		}
		if err := b.readIAM(ctx, l, read.what, repeat(read.few, read.requests), len(answer), times(iamRounds, read.requests), read.most, read.least); err != nil {
			return err
		}
	}
	return nil
}

// readIAM measures one kind of read beside a handler that writes as many bytes.
func (b *bench) readIAM(ctx context.Context, l *lanyard, what string, requests func(int) ([][]byte, error), size int, how string, most, least float64) (err error) {
	floor, err := b.start(ctx, "echo", strconv.Itoa(size))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, floor.stop()) }()
	ours := &side{pid: l.cmd.Process.Pid, address: l.address, requests: requests, clients: iamClients}
	bare := &side{pid: floor.cmd.Process.Pid, address: floor.Address, requests: requests, clients: iamClients}
	if err := b.turns(ctx, iamRounds, ours, bare); err != nil {
		return err
	}
	than := fmt.Sprintf("net/http writing the same %d bytes", size)
	// 10,000 a second on two processors leave 200 µs for each; the load takes one of the two here.
	b.rows = append(b.rows, atMost(most, row{what: what + ", CPU", ours: ours.cost(), floor: bare.cost(), than: than, unit: "µs", how: how}))
	if least > 0 {
		b.rows = append(b.rows, atLeast(least, row{what: what + ", rate", ours: ours.rate(), floor: bare.rate(), than: than, unit: "/s", how: how}))
	}
	return nil
}

func iamForm(action string, more ...string) url.Values {
	form := url.Values{"Version": {"2010-05-08"}, "Action": {action}}
	for i := 0; i < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	return form
}

// askIAM is a request of the administrator.
func (l *lanyard) askIAM(form url.Values) ([]byte, error) {
	return l.signed(l.key, "iam", http.MethodPost, "/", "application/x-www-form-urlencoded", []byte(form.Encode()))
}
