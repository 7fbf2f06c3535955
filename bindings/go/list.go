package skytrail

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Query says which objects a list or a watch is about; nil or empty means all.
type Query struct {
	// ParentUuid or Parent, a fully qualified name: only children of that object.
	ParentUuid string
	Parent     []string
	// Where: only objects whose fields, named as in the data model, have all these values: text, a
	// number, a truth value, nil for none, a name or uuid for a reference, or a Comparison.
	Where map[string]any
	// Filters are texts of the API, for fields inside structures: "id_perms.enable:eq:true".
	Filters []string
	// Tags: only objects with all these tags, by their type.
	Tags map[string]string
	// Labels: only objects with these annotations; an empty value stands for any.
	Labels map[string]string
	// Sort names a field, "-" before it for downwards; by name when it is empty.
	Sort string
	// Revision shows the objects as of then; 0 means now.
	Revision int64
	// PageSize is how many objects one request reads; 0 leaves it to the API.
	PageSize int
}

// Comparison is a condition on a field of a Query.
type Comparison struct {
	operator string
	values   []any
}

// Above selects numbers over a bound.
func Above(bound int64) Comparison { return Comparison{"gt", []any{bound}} }

// AtLeast selects numbers from a bound on.
func AtLeast(bound int64) Comparison { return Comparison{"ge", []any{bound}} }

// Below selects numbers under a bound.
func Below(bound int64) Comparison { return Comparison{"lt", []any{bound}} }

// AtMost selects numbers up to a bound.
func AtMost(bound int64) Comparison { return Comparison{"le", []any{bound}} }

// OtherThan selects every value but one.
func OtherThan(value any) Comparison { return Comparison{"ne", []any{value}} }

// OneOf selects several values.
func OneOf(values ...any) Comparison { return Comparison{"in", values} }

// StartingWith selects texts by how they begin.
func StartingWith(text string) Comparison { return Comparison{"prefix", []any{text}} }

// Containing selects texts by a part.
func Containing(text string) Comparison { return Comparison{"contains", []any{text}} }

// Given selects fields that have any value.
func Given() Comparison { return Comparison{"exists", nil} }

// NotGiven selects fields that have no value.
func NotGiven() Comparison { return Comparison{"absent", nil} }

func filterOf(name string, wanted any) (string, error) {
	if wanted == nil {
		wanted = NotGiven()
	}
	comparison, isOne := wanted.(Comparison)
	if !isOne {
		comparison = Comparison{"eq", []any{wanted}}
	}
	if comparison.values == nil {
		return name + ":" + comparison.operator, nil
	}
	texts := []string{}
	for _, value := range comparison.values {
		switch found := value.(type) {
		case string, bool, int, int32, int64, uint, uint32, uint64:
			texts = append(texts, fmt.Sprint(found))
		case []string:
			texts = append(texts, strings.Join(found, ":"))
		default:
			return "", fmt.Errorf("the filter %s cannot compare with %v", name, value)
		}
	}
	if joined := strings.Join(texts, ""); comparison.operator == "in" && strings.Contains(joined, ",") {
		return "", fmt.Errorf("one of several values of %s cannot hold a comma: %q", name, texts)
	}
	return name + ":" + comparison.operator + ":" + strings.Join(texts, ","), nil
}

// selection is what a list and a watch have in common.
func (q *Query) selection() (url.Values, error) {
	found := url.Values{}
	if q == nil {
		return found, nil
	}
	for name, wanted := range q.Where {
		filter, err := filterOf(name, wanted)
		if err != nil {
			return nil, err
		}
		found.Add("filter", filter)
	}
	for _, filter := range q.Filters {
		found.Add("filter", filter)
	}
	for kind, value := range q.Tags {
		found.Add("tags", kind+"="+value)
	}
	for key, value := range q.Labels {
		if value != "" {
			key += "=" + value
		}
		found.Add("labels", key)
	}
	for _, text := range append(found["tags"], found["labels"]...) {
		if strings.Contains(text, ",") {
			return nil, fmt.Errorf("a tag or label cannot hold a comma: %q", text)
		}
	}
	if q.ParentUuid != "" {
		found.Set("parent", q.ParentUuid)
	} else if len(q.Parent) > 0 {
		found.Set("parent", strings.Join(q.Parent, ":"))
	}
	return found, nil
}

func (q *Query) parameters() (url.Values, error) {
	found, err := q.selection()
	if err != nil || q == nil {
		return found, err
	}
	if q.Sort != "" {
		found.Set("sort", q.Sort)
	}
	if q.Revision != 0 {
		found.Set("revision", strconv.FormatInt(q.Revision, 10))
	}
	if q.PageSize != 0 {
		found.Set("limit", strconv.Itoa(q.PageSize))
	}
	return found, nil
}

// List returns the objects that the query selects, all of one revision; nil asks for all.
func (r Resources[T]) List(ctx context.Context, query *Query) ([]*T, error) {
	found := []*T{}
	objects := r.Iterate(query)
	for objects.Next(ctx) {
		found = append(found, objects.Object())
	}
	if objects.Err() != nil {
		return nil, objects.Err()
	}
	return found, nil
}

// Count returns how many objects the query selects.
func (r Resources[T]) Count(ctx context.Context, query *Query) (int, error) {
	parameters, err := query.selection()
	if err != nil {
		return 0, err
	}
	parameters.Set("count", "true")
	var answer page[T]
	_, err = r.client.do(ctx, call{method: http.MethodGet, path: r.path(""), query: parameters}, &answer)
	return answer.Count, err
}

// Iterate returns the objects that the query selects one by one; a page is read when it is needed.
//
//	objects := networks.Iterate(nil)
//	for objects.Next(ctx) {
//		fmt.Println(objects.Object().FqName)
//	}
//	if objects.Err() != nil { ... }
//
// All pages show the configuration as of the first one, whatever is written meanwhile.
func (r Resources[T]) Iterate(query *Query) *Iterator[T] {
	parameters, err := query.parameters()
	return &Iterator[T]{resources: r, parameters: parameters, err: err, isFirst: true}
}

// Iterator walks over a list. Not for use by several goroutines at once.
type Iterator[T any] struct {
	resources  Resources[T]
	parameters url.Values
	err        error
	page       page[T]
	object     *T
	isFirst    bool
}

type page[T any] struct {
	Revision int64   `json:"revision"`
	Count    int     `json:"count"`
	Next     *string `json:"next"`
	Items    []*T    `json:"items"`
}

// Next moves to the next object; false after the last one and after an error.
func (i *Iterator[T]) Next(ctx context.Context) bool {
	for i.err == nil && len(i.page.Items) == 0 && (i.isFirst || i.page.Next != nil) {
		i.read(ctx)
	}
	if i.err != nil || len(i.page.Items) == 0 {
		i.object = nil
		return false
	}
	i.object, i.page.Items = i.page.Items[0], i.page.Items[1:]
	return true
}

func (i *Iterator[T]) read(ctx context.Context) {
	if !i.isFirst {
		i.parameters.Del("revision")
		i.parameters.Set("cursor", *i.page.Next)
	}
	var answer page[T]
	asked := call{method: http.MethodGet, path: i.resources.path(""), query: i.parameters}
	_, i.err = i.resources.client.do(ctx, asked, &answer)
	i.page, i.isFirst = answer, false
}

// Object is where Next has moved to.
func (i *Iterator[T]) Object() *T { return i.object }

// Err is what ended the walk early, nil if nothing did.
func (i *Iterator[T]) Err() error { return i.err }

// Revision is that of the configuration shown; 0 before the first Next.
func (i *Iterator[T]) Revision() int64 { return i.page.Revision }
