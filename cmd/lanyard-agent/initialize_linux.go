package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/openlanyard/lanyard/agent"
)

// initialize makes a dummy link that carries both addresses; on a kernel without dummy links a bridge without ports, which
// carries addresses as well, and without bridges the loopback link. Done again it changes nothing. A node without IPv6 gets
// IPv4 only: that is logged, and the server is told by --bind-hosts.
func initialize(ctx context.Context, log *slog.Logger) error {
	name, err := addLink(ctx, log)
	if err != nil {
		return err
	}
	made, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("finding the link %s: %w", name, err)
	}
	if err := netlink.LinkSetUp(made); err != nil {
		return fmt.Errorf("bringing the link %s up: %w", name, err)
	}
	if err := assign(ctx, made, net.ParseIP(agent.IPv4), 32); err != nil {
		return err
	}
	if err := assign(ctx, made, net.ParseIP(agent.IPv6), 128); err != nil {
		log.WarnContext(ctx, "no IPv6 on this node: leave its address out of --bind-hosts", slog.String("error", err.Error()))
	}
	return nil
}

// addLink returns the name of the link that is to carry the addresses. One that is there already, of whatever type, does.
func addLink(ctx context.Context, log *slog.Logger) (string, error) {
	attributes := netlink.LinkAttrs{Name: link}
	for _, l := range []netlink.Link{&netlink.Dummy{LinkAttrs: attributes}, &netlink.Bridge{LinkAttrs: attributes}} {
		err := netlink.LinkAdd(l)
		switch {
		case err == nil || errors.Is(err, unix.EEXIST):
			return link, nil
		case !errors.Is(err, unix.EOPNOTSUPP):
			return "", fmt.Errorf("adding the link %s: %w", link, err)
		}
		log.WarnContext(ctx, "this kernel lacks a type of link", slog.String("type", l.Type()))
	}
	log.WarnContext(ctx, "the loopback link carries the addresses")
	return "lo", nil
}

// assign gives the link an address and the route to it, which a dummy link's address of full length does not bring. When it
// returns, the address can be reached: until the kernel takes it as its own, what is sent to it goes out on the link and is lost.
func assign(ctx context.Context, made netlink.Link, ip net.IP, bits int) error {
	single := &net.IPNet{IP: ip, Mask: net.CIDRMask(bits, bits)}
	// No duplicate address detection: nobody else is on this link, and the server could not bind while it lasts.
	if err := netlink.AddrReplace(made, &netlink.Addr{IPNet: single, Flags: unix.IFA_F_NODAD}); err != nil {
		return fmt.Errorf("assigning %s to %s: %w", ip, made.Attrs().Name, err)
	}
	if err := netlink.RouteReplace(&netlink.Route{LinkIndex: made.Attrs().Index, Dst: single, Scope: netlink.SCOPE_LINK}); err != nil {
		return fmt.Errorf("routing %s to %s: %w", ip, made.Attrs().Name, err)
	}
	return awaitLocal(ctx, ip)
}

// awaitLocal waits until the kernel takes an assigned address as its own. It takes IPv6's in its own time, which under load was
// seen to be most of a second.
func awaitLocal(ctx context.Context, ip net.IP) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		routes, err := netlink.RouteGet(ip)
		if err == nil && len(routes) > 0 && routes[0].Type == unix.RTN_LOCAL {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s to be this node's own, whose routes are %v: %w", ip, routes, errors.Join(ctx.Err(), err))
		case <-time.After(time.Millisecond):
		}
	}
}
