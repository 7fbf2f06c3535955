package skytrail

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	lineBytesMax = 16 << 20
	// The API sends at least a bookmark every 10 s; after this long the connection is dead.
	silenceMax = 35 * time.Second
	delayFirst = 100 * time.Millisecond
	delayMax   = 5 * time.Second
)

// EventKind says what an Event tells.
type EventKind int

const (
	// Present: the object is there, new or changed. The same may be told twice.
	Present EventKind = iota
	// Absent: an object that was told is there no more, or is not selected any more.
	Absent
	// Synced: everything up to the revision has been told.
	Synced
)

// Event is one thing a watch tells. Object is nil unless Kind is Present.
type Event[T any] struct {
	Kind     EventKind
	Object   *T
	Uuid     string
	FqName   []string
	Revision int64
}

// Watch tells every object there is, then every change, until the context ends or tell returns an
// error, which Watch returns. It reconnects by itself and resumes after the last complete revision.
// A refusal (unknown type, missing rights) ends it with an *Error.
func (r Resources[T]) Watch(ctx context.Context, tell func(Event[T]) error) error {
	return r.WatchWith(ctx, WatchOptions{}, tell)
}

// WatchOptions says what a watch tells.
type WatchOptions struct {
	// Query selects objects; its Sort, Revision and PageSize mean nothing here.
	Query *Query
	// From goes on after an earlier watch: 1 + the Revision of its last Synced. 0 starts anew.
	From int64
	// Bookmarks tells Synced every 10 s also while nothing changes.
	Bookmarks bool
}

// WatchWith is Watch of what the options select, or from where they say.
func (r Resources[T]) WatchWith(ctx context.Context, options WatchOptions, tell func(Event[T]) error) error {
	selection, err := options.Query.selection()
	if err != nil {
		return err
	}
	state := watching[T]{
		tell: tell, known: map[string][]string{}, selection: selection, bookmarks: options.Bookmarks,
	}
	if options.From != 0 {
		state.resume = &options.From
	}
	delay := delayFirst
	for {
		progressed, err := r.connection(ctx, &state)
		var refused *Error
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &refused) && refused.Status == http.StatusGone:
			state.resume = nil
		case errors.As(err, &refused) && refused.Status < 500:
			return err
		case errors.As(err, new(*stopped)):
			return errors.Unwrap(err)
		}
		if progressed {
			delay = delayFirst
		}
		// Jitter keeps many clients of one restarted API from returning at once.
		wait := delay/2 + time.Duration(rand.Int63n(int64(delay/2)))
		delay = shorter(2*delay, delayMax)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

func shorter(one, other time.Duration) time.Duration {
	if one < other {
		return one
	}
	return other
}

// stopped carries an error that ends the watch out of a connection: mostly the caller's own.
type stopped struct{ cause error }

func (s *stopped) Error() string { return s.cause.Error() }
func (s *stopped) Unwrap() error { return s.cause }

// connection follows one stream until it ends; it returns whether anything was completed.
func (r Resources[T]) connection(ctx context.Context, state *watching[T]) (bool, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	silence := time.AfterFunc(silenceMax, cancel)
	defer silence.Stop()
	query := url.Values{"types": {r.typeName}}
	for name, values := range state.selection {
		query[name] = values
	}
	if state.resume != nil {
		query.Set("from_revision", strconv.FormatInt(*state.resume, 10))
		if state.history != "" {
			query.Set("history", state.history)
		}
	}
	asked := call{method: http.MethodGet, path: "/api/v1/watch", query: query}
	request, err := r.client.request(ctx, asked)
	if err != nil {
		// Asking again would not make an address of it.
		return false, &stopped{cause: err}
	}
	// The timeout of calls would end a stream that is well.
	patient := *r.client.HTTP
	patient.Timeout = 0
	reply, err := patient.Do(request)
	if err != nil {
		return false, err
	}
	defer reply.Body.Close()
	if reply.StatusCode >= 400 {
		content, _ := io.ReadAll(io.LimitReader(reply.Body, 1<<20))
		return false, refusal(reply.StatusCode, content)
	}
	lines := bufio.NewScanner(reply.Body)
	lines.Buffer(nil, lineBytesMax)
	progressed := false
	for lines.Scan() {
		silence.Reset(silenceMax)
		completed, err := state.take(lines.Bytes())
		progressed = progressed || completed
		if err != nil {
			return progressed, err
		}
	}
	return progressed, lines.Err()
}

// watching remembers where to resume, and what was told, so that what is missing from a later
// snapshot can be told as absent.
type watching[T any] struct {
	tell      func(Event[T]) error
	selection url.Values
	bookmarks bool
	resume    *int64
	history   string // what led there: a restored store has the revision with another one
	known     map[string][]string
	seen      map[string]bool
}

type watchLine struct {
	Kind     string          `json:"kind"`
	Revision int64           `json:"revision"`
	History  string          `json:"history"`
	Uuid     string          `json:"uuid"`
	FqName   []string        `json:"fq_name"`
	Object   json.RawMessage `json:"object"`
}

// take handles one line; true when everything up to some revision is complete.
func (w *watching[T]) take(text []byte) (bool, error) {
	var line watchLine
	if err := json.Unmarshal(text, &line); err != nil {
		return false, fmt.Errorf("a line of the watch: %w", err)
	}
	switch line.Kind {
	case "snapshot_begin":
		w.resume, w.seen = nil, map[string]bool{}
	case "put":
		return false, w.put(line)
	case "delete":
		delete(w.known, line.Uuid)
		return false, w.say(Event[T]{Kind: Absent, Uuid: line.Uuid, FqName: line.FqName, Revision: line.Revision})
	case "snapshot_end":
		if err := w.sweep(line.Revision); err != nil {
			return false, err
		}
		return w.completed(line, true)
	case "revision_end":
		return w.completed(line, true)
	case "bookmark":
		return w.completed(line, w.bookmarks)
	}
	// Kinds that a newer API may send are skipped.
	return false, nil
}

func (w *watching[T]) put(line watchLine) error {
	var object T
	var identity struct {
		FqName []string `json:"fq_name"`
	}
	if err := json.Unmarshal(line.Object, &object); err != nil {
		return fmt.Errorf("an object of the watch: %w", err)
	}
	if err := json.Unmarshal(line.Object, &identity); err != nil {
		return fmt.Errorf("an object of the watch: %w", err)
	}
	w.known[line.Uuid] = identity.FqName
	if w.seen != nil {
		w.seen[line.Uuid] = true
	}
	return w.say(Event[T]{
		Kind: Present, Object: &object, Uuid: line.Uuid, FqName: identity.FqName, Revision: line.Revision,
	})
}

func (w *watching[T]) sweep(revision int64) error {
	for uuid, fqName := range w.known {
		if w.seen[uuid] {
			continue
		}
		delete(w.known, uuid)
		event := Event[T]{Kind: Absent, Uuid: uuid, FqName: fqName, Revision: revision}
		if err := w.say(event); err != nil {
			return err
		}
	}
	w.seen = nil
	return nil
}

func (w *watching[T]) completed(line watchLine, told bool) (bool, error) {
	next := line.Revision + 1
	w.resume, w.history = &next, line.History
	if !told {
		return true, nil
	}
	return true, w.say(Event[T]{Kind: Synced, Revision: line.Revision})
}

func (w *watching[T]) say(event Event[T]) error {
	if err := w.tell(event); err != nil {
		return &stopped{cause: err}
	}
	return nil
}
