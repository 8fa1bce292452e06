// Command probe is what the pods of the tests run where they need no more: it says what a pod sees.
//
//	probe cat FILE          what is in a file
//	probe addresses         the pod's own addresses, one a line
//	probe dial HOST:PORT    the error of a connection, or "connected"
//	probe get URL           what an HTTP server answers
//	probe serve HOST:PORT   an HTTP server that answers the caller's address; until it is ended
//	probe fetch             fetches credentials from the agent all the time, and counts; until it is ended
//	probe object BUCKET/KEY writes an object with AWS's SDK, and reads it again
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// patience is for what a network loses without a word.
const patience = 5 * time.Second

func main() {
	if len(os.Args) < 2 {
		fail("cat, addresses, dial, get, serve, fetch and object are accepted")
	}
	verb, argument := os.Args[1], ""
	if len(os.Args) > 2 {
		argument = os.Args[2]
	}
	answer, err := does(verb, argument)
	if err != nil {
		fail(err)
	}
	fmt.Println(answer)
}

func fail(why any) {
	fmt.Fprintf(os.Stderr, "probe: %v\n", why)
	os.Exit(1)
}

func does(verb, argument string) (string, error) {
	switch verb {
	case "cat":
		text, err := os.ReadFile(argument)
		return string(text), err
	case "addresses":
		return addresses()
	case "dial":
		conn, err := net.DialTimeout("tcp", argument, patience)
		if err != nil {
			return err.Error(), nil
		}
		return "connected", conn.Close()
	case "get":
		return get(argument)
	case "serve":
		return "ended", serve(argument)
	case "fetch":
		return "ended", fetch()
	case "object":
		return object(argument)
	}
	return "", fmt.Errorf("%q: cat, addresses, dial, get, serve, fetch and object are accepted", verb)
}

func addresses() (text string, err error) {
	all, err := net.InterfaceAddrs()
	for _, a := range all {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.IsGlobalUnicast() {
			text += ip.IP.String() + "\n"
		}
	}
	return text, err
}

func get(url string) (string, error) {
	client := http.Client{Timeout: patience}
	response, err := client.Get(url)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(response.Body)
	if closing := response.Body.Close(); err == nil {
		err = closing
	}
	return response.Status + "\n" + string(body), err
}

// serve ends when it is told to, which the first process of a pod must ask for.
func serve(address string) error {
	told, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	server := &http.Server{Addr: address, ReadHeaderTimeout: patience, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		_, _ = fmt.Fprintln(w, host)
	})}
	ended := make(chan error, 1)
	go func() { ended <- server.ListenAndServe() }()
	select {
	case err := <-ended:
		return err
	case <-told.Done():
		return server.Close()
	}
}
