package skytrail

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Kinds of refusal, for errors.Is.
var (
	// ErrInvalid: the request is wrong; the text names the field.
	ErrInvalid = errors.New("invalid")
	// ErrUnauthenticated: the API does not know who asks.
	ErrUnauthenticated = errors.New("unauthenticated")
	// ErrDenied: who asks may not do this.
	ErrDenied = errors.New("denied")
	// ErrNotFound: there is no such object.
	ErrNotFound = errors.New("not found")
	// ErrConflict: the name is taken, something refers to the object, or it has children.
	ErrConflict = errors.New("conflict")
	// ErrPreconditionFailed: a quota is used up, or the object is no longer as it was read.
	ErrPreconditionFailed = errors.New("precondition failed")
	// ErrNotAvailable: this release does not have what was asked for.
	ErrNotAvailable = errors.New("not available")
)

var kinds = map[int]error{
	http.StatusBadRequest:            ErrInvalid,
	http.StatusUnauthorized:          ErrUnauthenticated,
	http.StatusForbidden:             ErrDenied,
	http.StatusNotFound:              ErrNotFound,
	http.StatusConflict:              ErrConflict,
	http.StatusPreconditionFailed:    ErrPreconditionFailed,
	http.StatusRequestEntityTooLarge: ErrInvalid,
	http.StatusUnprocessableEntity:   ErrInvalid,
	http.StatusNotImplemented:        ErrNotAvailable,
}

// Error is a refusal by the API: its status, its text, and the places that are wrong if it names any.
type Error struct {
	Status   int
	Text     string
	Problems []Problem
}

// Problem is one thing that is wrong with a request; Pointer is a JSON pointer into its body.
type Problem struct {
	Pointer string `json:"pointer"`
	Detail  string `json:"detail"`
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s (status %d)", e.Text, e.Status)
}

// Is makes errors.Is(err, ErrNotFound) and its like work.
func (e *Error) Is(target error) bool {
	return target != nil && kinds[e.Status] == target
}

// Unavailable means no answer, one that says "later", or one that is not of this API. Whether a
// write happened is open.
type Unavailable struct {
	Reason string
}

func (e *Unavailable) Error() string {
	return e.Reason
}

func refusal(status int, content []byte) error {
	found := &Error{Status: status, Text: strings.TrimSpace(string(content))}
	var document struct {
		Detail string    `json:"detail"`
		Errors []Problem `json:"errors"`
	}
	if json.Unmarshal(content, &document) == nil && document.Detail != "" {
		found.Text, found.Problems = document.Detail, document.Errors
	}
	switch status {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return &Unavailable{Reason: "the API cannot serve now: " + found.Text}
	}
	return found
}
