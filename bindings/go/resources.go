package skytrail

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Resources are all objects of one type. Errors are *Error, *Unavailable, or come from the context.
type Resources[T any] struct {
	client   *Client
	typeName string
}

// Reference is one outgoing reference: its target by name or uuid, and the link's own attribute.
type Reference[A any] struct {
	To   []string `json:"to,omitempty"`
	Uuid string   `json:"uuid,omitempty"`
	Attr *A       `json:"attr,omitempty"`
}

// NoAttribute stands for the attribute of a link that has none.
type NoAttribute struct{}

// Create makes an object and returns it with what the API filled in.
func (r Resources[T]) Create(ctx context.Context, object *T) (*T, error) {
	var made T
	_, err := r.client.do(ctx, call{method: http.MethodPost, path: r.path(""), body: object}, &made)
	return result(&made, err)
}

// Get returns the object with a uuid.
func (r Resources[T]) Get(ctx context.Context, uuid string) (*T, error) {
	found, _, err := r.Read(ctx, uuid)
	return found, err
}

// Read returns an object and the tag that makes a later write safe from lost updates (IfMatch).
func (r Resources[T]) Read(ctx context.Context, uuid string) (*T, string, error) {
	var found T
	tag, err := r.client.do(ctx, call{method: http.MethodGet, path: r.path(uuid)}, &found)
	read, err := result(&found, err)
	return read, tag, err
}

// GetByName returns the object with a fully qualified name.
func (r Resources[T]) GetByName(ctx context.Context, fqName ...string) (*T, error) {
	uuid, err := r.UuidOf(ctx, fqName...)
	if err != nil {
		return nil, err
	}
	return r.Get(ctx, uuid)
}

// UuidOf returns the uuid of a fully qualified name.
func (r Resources[T]) UuidOf(ctx context.Context, fqName ...string) (string, error) {
	var found struct {
		Uuid string `json:"uuid"`
	}
	body := map[string]any{"type": r.typeName, "fq_name": fqName}
	asked := call{method: http.MethodPost, path: "/fqname-to-id", body: body}
	_, err := r.client.do(ctx, asked, &found)
	return found.Uuid, err
}

// GetAt returns the object with a uuid as it was at a revision; for administrators.
func (r Resources[T]) GetAt(ctx context.Context, uuid string, revision int64) (*T, error) {
	var found T
	query := url.Values{"revision": {strconv.FormatInt(revision, 10)}}
	asked := call{method: http.MethodGet, path: r.path(uuid), query: query}
	_, err := r.client.do(ctx, asked, &found)
	return result(&found, err)
}

// Apply creates the object of this name or makes it say what is given; again, nothing changes.
// ErrConflict names the owner of a field that says otherwise. Options: FieldOwner, Force, IfMatch.
func (r Resources[T]) Apply(ctx context.Context, wanted *T, options ...Option) (*T, error) {
	name, err := nameOf(wanted)
	if err != nil {
		return nil, err
	}
	path := r.path("") + "/by-name/" + url.PathEscape(strings.Join(name, ":"))
	asked := call{method: http.MethodPut, path: path, query: url.Values{}, body: wanted}
	for _, option := range options {
		option(&asked, map[string]any{})
	}
	var made T
	_, err = r.client.do(ctx, asked, &made)
	return result(&made, err)
}

// Status tells how far the object's last change has come.
func (r Resources[T]) Status(ctx context.Context, uuid string) (*Status, error) {
	var found Status
	asked := call{method: http.MethodGet, path: r.path(uuid) + "/status"}
	_, err := r.client.do(ctx, asked, &found)
	return result(&found, err)
}

// History returns the changes of an object, the newest first.
func (r Resources[T]) History(uuid string) *Changes {
	return NewApi(r.client).History(HistoryQuery{Object: uuid})
}

// Update changes what is not nil or empty in changes, leaves the rest, and returns the object as it
// is then. A given property is replaced whole. Options: Clear, IfMatch.
func (r Resources[T]) Update(
	ctx context.Context, uuid string, changes *T, options ...Option,
) (*T, error) {
	patch, err := mergePatch(changes)
	if err != nil {
		return nil, err
	}
	asked := call{method: http.MethodPatch, path: r.path(uuid)}
	for _, option := range options {
		option(&asked, patch)
	}
	asked.body = patch
	var changed T
	_, err = r.client.do(ctx, asked, &changed)
	return result(&changed, err)
}

// Delete removes an object; ErrConflict while something refers to it or it has children.
// Options: Cascade, IfMatch.
func (r Resources[T]) Delete(ctx context.Context, uuid string, options ...Option) error {
	asked := call{method: http.MethodDelete, path: r.path(uuid), query: url.Values{}}
	for _, option := range options {
		option(&asked, map[string]any{})
	}
	_, err := r.client.do(ctx, asked, nil)
	return err
}

func (r Resources[T]) path(uuid string) string {
	collection := "/api/v1/" + url.PathEscape(r.typeName)
	if uuid == "" {
		return collection
	}
	return collection + "/" + url.PathEscape(uuid)
}

func result[T any](object *T, err error) (*T, error) {
	if err != nil {
		return nil, err
	}
	return object, nil
}

// Option changes how a write is done.
type Option func(*call, map[string]any)

// Clear removes properties or references, named as in the data model.
func Clear(properties ...string) Option {
	return func(_ *call, patch map[string]any) {
		for _, name := range properties {
			patch[name] = nil
		}
	}
}

// IfMatch lets a write happen only if the object still has the tag of a Read.
func IfMatch(tag string) Option {
	return func(asked *call, _ map[string]any) {
		asked.ifMatch = tag
	}
}

// FieldOwner names who applies; the user when it is not given.
func FieldOwner(name string) Option {
	return func(asked *call, _ map[string]any) {
		asked.query.Set("field_owner", name)
	}
}

// Force takes over fields that another owner applied.
func Force() Option {
	return func(asked *call, _ map[string]any) {
		asked.query.Set("force", "true")
	}
}

// Cascade also deletes what is in the way.
func Cascade() Option {
	return func(asked *call, _ map[string]any) {
		asked.query.Set("cascade", "true")
	}
}

// nameOf is the fully qualified name in a generated struct.
func nameOf(object any) ([]string, error) {
	encoded, err := json.Marshal(object)
	if err != nil {
		return nil, err
	}
	var identity struct {
		FqName []string `json:"fq_name"`
	}
	if err := json.Unmarshal(encoded, &identity); err != nil {
		return nil, err
	}
	if len(identity.FqName) == 0 {
		return nil, errors.New("the object has no name (FqName)")
	}
	return identity.FqName, nil
}
