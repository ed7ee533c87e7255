package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// askAdmin asks the admin listener of a running door, an address or unix:/path, and reads its JSON into answer. A nil body
// is none.
func askAdmin(ctx context.Context, listener, method, target string, body []byte, answer any) error {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		if path, ok := strings.CutPrefix(listener, "unix:"); ok {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		}
		return (&net.Dialer{}).DialContext(ctx, "tcp", listener)
	}
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DialContext: dial}}
	req, err := http.NewRequestWithContext(ctx, method, "http://localhost"+target, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("no running door answers at %s: %w; name its admin.listen with --admin", listener, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("the door at %s broke off its answer: %w", listener, err)
	}
	if res.StatusCode != http.StatusOK {
		var said struct{ Error string }
		if json.Unmarshal(text, &said) != nil || said.Error == "" {
			said.Error = res.Status
		}
		return errors.New(said.Error)
	}
	return json.Unmarshal(text, answer)
}
