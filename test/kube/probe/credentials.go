package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// fetches is what fetch has seen so far.
type fetches struct {
	Fetched, Failed int
	Sessions        int    // different ones
	Last            string // why the last failed one failed
	Slowest         time.Duration
}

// fetch asks the agent for credentials some 50 times a second, each time on a new connection, and never again after a
// failure; what it has seen it prints each second. It ends when it is told to.
func fetch() error {
	told, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	again, tell := time.NewTicker(20*time.Millisecond), time.NewTicker(time.Second)
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	out, before := json.NewEncoder(os.Stdout), ""
	var seen fetches
	for {
		select {
		case <-told.Done():
			return nil
		case <-tell.C:
			if err := out.Encode(seen); err != nil {
				return err
			}
			continue
		case <-again.C:
		}
		began := time.Now()
		session, err := credentials(&client)
		seen.Slowest = max(seen.Slowest, time.Since(began))
		if err != nil {
			seen.Failed++
			seen.Last = err.Error()
			continue
		}
		seen.Fetched++
		if session != before {
			seen.Sessions++
			before = session
		}
	}
}

// credentials fetches once as SDKs do, and is the id of the session's access key.
func credentials(client *http.Client) (string, error) {
	token, err := os.ReadFile(os.Getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"))
	if err != nil {
		return "", err
	}
	request, err := http.NewRequest(http.MethodGet, os.Getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI"), nil)
	if err != nil {
		return "", err
	}
	request.Header.Set("Authorization", string(token))
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(response.Body)
	if closing := response.Body.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return "", err
	}
	var answer struct{ AccessKeyId, SecretAccessKey, Token string } //nolint:revive // AWS's spelling
	if json.Unmarshal(body, &answer) != nil || response.StatusCode != http.StatusOK || answer.AccessKeyId == "" || answer.Token == "" {
		return "", fmt.Errorf("status %d: %.200s", response.StatusCode, body)
	}
	return answer.AccessKeyId, nil
}

// object writes an object with AWS's SDK for Go as any program does, and reads it again: BUCKET/KEY.
func object(name string) (string, error) {
	bucket, key, _ := strings.Cut(name, "/")
	ctx, cancel := context.WithTimeout(context.Background(), 6*patience)
	defer cancel()
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return "", err
	}
	client := s3.NewFromConfig(cfg)
	text := bytes.Repeat([]byte(key), 10_000)
	if _, err := client.PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: bytes.NewReader(text)}); err != nil {
		return "", err
	}
	got, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		return "", err
	}
	back, err := io.ReadAll(got.Body)
	if err := errors.Join(err, got.Body.Close()); err != nil {
		return "", err
	}
	if !bytes.Equal(back, text) {
		return "", fmt.Errorf("read %d bytes, want the %d that were written", len(back), len(text))
	}
	return fmt.Sprintf("wrote and read %d bytes", aws.ToInt64(got.ContentLength)), nil
}
