package skytrail

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
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

// List returns the objects of the type that the query asks for; nil asks for all.
func (r Resources[T]) List(ctx context.Context, query *Query) ([]*T, error) {
	parameters, err := query.parameters()
	if err != nil {
		return nil, err
	}
	var answer map[string][]map[string]*T
	path := "/" + url.PathEscape(r.typeName) + "s"
	asked := call{method: http.MethodGet, path: path, query: parameters}
	if _, err := r.client.do(ctx, asked, &answer); err != nil {
		return nil, err
	}
	found := []*T{}
	for _, item := range answer[r.typeName+"s"] {
		if item[r.typeName] == nil {
			return nil, &Unavailable{Reason: "the answer is not one of this API"}
		}
		found = append(found, item[r.typeName])
	}
	return found, nil
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
func (r Resources[T]) Delete(ctx context.Context, uuid string, options ...Option) error {
	asked := call{method: http.MethodDelete, path: r.path(uuid)}
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

// Query says which objects a list shall have.
type Query struct {
	// ParentUuid or Parent, a fully qualified name: only children of that object.
	ParentUuid string
	Parent     []string
	// Where: only objects whose properties, named as in the data model, equal all values.
	Where map[string]any
}

func (q *Query) parameters() (url.Values, error) {
	found := url.Values{"detail": {"true"}}
	if q == nil {
		return found, nil
	}
	if q.ParentUuid != "" {
		found.Set("parent_id", q.ParentUuid)
	}
	if len(q.Parent) > 0 {
		found.Set("parent_fq_name_str", strings.Join(q.Parent, ":"))
	}
	filters := []string{}
	for name, value := range q.Where {
		wanted, err := json.Marshal(value)
		if err != nil {
			return nil, err
		}
		if strings.Contains(string(wanted), ",") {
			return nil, fmt.Errorf("the filter %s cannot hold a comma: %s", name, wanted)
		}
		filters = append(filters, name+"=="+string(wanted))
	}
	if len(filters) > 0 {
		found.Set("filters", strings.Join(filters, ","))
	}
	return found, nil
}
