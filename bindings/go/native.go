package skytrail

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
)

// Operation is one operation of a transaction, a plan or a change set; collections make them.
type Operation map[string]any

// ToCreate is the operation that creates an object.
func (r Resources[T]) ToCreate(object *T) Operation {
	return Operation{"op": "create", "type": r.typeName, "object": object}
}

// ToApply is the operation that creates the object of this name or makes it so. Options: FieldOwner, Force.
func (r Resources[T]) ToApply(wanted *T, options ...Option) (Operation, error) {
	name, err := nameOf(wanted)
	if err != nil {
		return nil, err
	}
	operation := r.operation("apply", options, map[string]any{})
	operation["name"], operation["object"] = name, wanted
	return operation, nil
}

// ToUpdate is the operation that changes what is not empty in changes. Options: Clear, IfMatch.
func (r Resources[T]) ToUpdate(uuid string, changes *T, options ...Option) (Operation, error) {
	patch, err := mergePatch(changes)
	if err != nil {
		return nil, err
	}
	operation := r.operation("patch", options, patch)
	operation["uuid"], operation["object"] = uuid, patch
	return operation, nil
}

// ToDelete is the operation that removes an object. Options: Cascade, IfMatch.
func (r Resources[T]) ToDelete(uuid string, options ...Option) Operation {
	operation := r.operation("delete", options, map[string]any{})
	operation["uuid"] = uuid
	return operation
}

func (r Resources[T]) operation(verb string, options []Option, patch map[string]any) Operation {
	asked := call{query: url.Values{}}
	for _, option := range options {
		option(&asked, patch)
	}
	operation := Operation{"op": verb, "type": r.typeName}
	if asked.ifMatch != "" {
		operation["if_match"] = asked.ifMatch
	}
	if owner := asked.query.Get("field_owner"); owner != "" {
		operation["field_owner"] = owner
	}
	for _, name := range []string{"force", "cascade"} {
		if asked.query.Has(name) {
			operation[name] = true
		}
	}
	return operation
}

// FieldChange is one member of an object that changes; a side is nil where it was or will be absent.
type FieldChange struct {
	// Path is a JSON pointer.
	Path   string          `json:"path"`
	Before json.RawMessage `json:"from"`
	After  json.RawMessage `json:"to"`
}

// ObjectChange is what becomes of one object. Op is create, update or delete; Object is the whole
// of one that is created or, in the history, deleted.
type ObjectChange struct {
	Op     string          `json:"op"`
	Type   string          `json:"type"`
	Uuid   string          `json:"uuid"`
	FqName []string        `json:"fq_name"`
	Fields []FieldChange   `json:"fields"`
	Object json.RawMessage `json:"object"`
}

// Plan is what operations would change, as of Revision. Lists are cut at 500; counts are whole.
type Plan struct {
	Revision int64          `json:"revision"`
	Changes  []ObjectChange `json:"changes"`
	// Derived is what the compiler would write, unless DerivedUnknown says why nothing is known.
	Derived        []ObjectChange `json:"derived"`
	DerivedCount   int            `json:"derived_count"`
	DerivedUnknown string         `json:"derived_unknown"`
	// Reachability is the traffic, in words, that is allowed before and after between two parties.
	Reachability []struct {
		From   string   `json:"from"`
		To     string   `json:"to"`
		Before []string `json:"before"`
		After  []string `json:"after"`
	} `json:"reachability"`
	ReachabilityCount int `json:"reachability_count"`
	Hosts             []struct {
		Host       string `json:"host"`
		Interfaces int    `json:"interfaces"`
	} `json:"hosts"`
	HostsCount      int `json:"hosts_count"`
	InterfacesCount int `json:"interfaces_count"`
	// Violations are what the compiler could not carry out.
	Violations []struct {
		Type   string   `json:"type"`
		FqName []string `json:"fq_name"`
		Reason string   `json:"reason"`
		Detail string   `json:"detail"`
	} `json:"violations"`
	// Conflicts, of a change set: operations whose objects somebody has changed since.
	Conflicts []Problem `json:"conflicts"`
}

// Commit is what was written: its revision, its name in the history, a result per operation
// (created, changed, unchanged or deleted).
type Commit struct {
	Revision int64  `json:"revision"`
	Change   string `json:"change"`
	Results  []struct {
		Uuid   string `json:"uuid"`
		Result string `json:"result"`
	} `json:"results"`
}

// HistoryEntry is one change: who made it, when, and what it did. DerivedFrom is nil for what
// people changed, else the revision the compiler derived it from.
type HistoryEntry struct {
	Change      string         `json:"change"`
	Revision    int64          `json:"revision"`
	At          string         `json:"at"`
	By          string         `json:"by"`
	Operations  []ObjectChange `json:"operations"`
	RequestId   string         `json:"request_id"`
	DerivedFrom *int64         `json:"derived_from"`
}

// ChangeSet is operations gathered to be committed together; a listed one has only their number.
type ChangeSet struct {
	Id         string `json:"id"`
	Title      string `json:"title"`
	Author     string `json:"author"`
	Created    string `json:"created"`
	Operations []struct {
		Op   string `json:"op"`
		Type string `json:"type"`
		Uuid string `json:"uuid"`
		// Base is the revision of the object when the operation was added.
		Base int64 `json:"base"`
	} `json:"operations"`
	OperationsCount *int `json:"operations_count"`
}

// Condition is one step on the way of an object's last change: accepted, derived, distributed,
// programmed. Status is true, false or unknown.
type Condition struct {
	Type   string `json:"type"`
	Status string `json:"status"`
	Reason string `json:"reason"`
	Detail string `json:"detail"`
	Hosts  []struct {
		Host  string `json:"host"`
		State string `json:"state"`
	} `json:"hosts"`
}

// Status is how far the last change of an object has come.
type Status struct {
	Uuid       string      `json:"uuid"`
	Revision   int64       `json:"revision"`
	Conditions []Condition `json:"conditions"`
}

// Condition returns a condition by its type, nil if there is none.
func (s *Status) Condition(kind string) *Condition {
	for index := range s.Conditions {
		if s.Conditions[index].Type == kind {
			return &s.Conditions[index]
		}
	}
	return nil
}

type operations struct {
	Title      string      `json:"title,omitempty"`
	Operations []Operation `json:"operations"`
}

func several(given []Operation) operations {
	return operations{Operations: append([]Operation{}, given...)}
}

func ask[T any](ctx context.Context, client *Client, asked call) (*T, error) {
	var answer T
	_, err := client.do(ctx, asked, &answer)
	return result(&answer, err)
}

// Transaction carries out all operations as one revision, or none.
func (api *Api) Transaction(ctx context.Context, given ...Operation) (*Commit, error) {
	asked := call{method: http.MethodPost, path: "/api/v1/transaction", body: several(given)}
	return ask[Commit](ctx, api.client, asked)
}

// Rehearse returns what a transaction would change of what people configure, as far as the caller
// sees it; nothing is changed.
func (api *Api) Rehearse(ctx context.Context, given ...Operation) (*Plan, error) {
	query := url.Values{"dry_run": {"true"}}
	asked := call{method: http.MethodPost, path: "/api/v1/transaction", query: query, body: several(given)}
	return ask[Plan](ctx, api.client, asked)
}

// Plan returns all that would follow of a transaction, down to hosts; for administrators.
func (api *Api) Plan(ctx context.Context, given ...Operation) (*Plan, error) {
	asked := call{method: http.MethodPost, path: "/api/v1/plan", body: several(given)}
	return ask[Plan](ctx, api.client, asked)
}

// Change returns a change by its name, such as 812.0.
func (api *Api) Change(ctx context.Context, name string) (*HistoryEntry, error) {
	asked := call{method: http.MethodGet, path: "/api/v1/history/" + url.PathEscape(name)}
	return ask[HistoryEntry](ctx, api.client, asked)
}

// Revert makes the inverse of a change; ErrConflict where something has changed since, unless
// forced. Options: Force.
func (api *Api) Revert(ctx context.Context, name string, options ...Option) (*Commit, error) {
	return ask[Commit](ctx, api.client, revertCall(name, options))
}

// RehearseRevert returns what a revert would change; nothing is changed. Options: Force.
func (api *Api) RehearseRevert(ctx context.Context, name string, options ...Option) (*Plan, error) {
	asked := revertCall(name, options)
	asked.query.Set("dry_run", "true")
	return ask[Plan](ctx, api.client, asked)
}

func revertCall(name string, options []Option) call {
	path := "/api/v1/history/" + url.PathEscape(name) + "/revert"
	asked := call{method: http.MethodPost, path: path, query: url.Values{}}
	for _, option := range options {
		option(&asked, map[string]any{})
	}
	return asked
}

// HistoryQuery says which changes: of one object (its uuid), of a type, by a user; what the
// compiler derived only if asked.
type HistoryQuery struct {
	Object  string
	Type    string
	By      string
	Derived bool
}

// History returns changes, the newest first, read page by page; for administrators.
func (api *Api) History(query HistoryQuery) *Changes {
	parameters := url.Values{}
	for name, value := range map[string]string{"object": query.Object, "type": query.Type, "by": query.By} {
		if value != "" {
			parameters.Set(name, value)
		}
	}
	if query.Derived {
		parameters.Set("derived", "true")
	}
	return &Changes{client: api.client, parameters: parameters, isFirst: true}
}

// Changes walks over the history as an Iterator does over a list.
type Changes struct {
	client     *Client
	parameters url.Values
	page       changesPage
	entry      *HistoryEntry
	err        error
	isFirst    bool
}

type changesPage struct {
	Entries []*HistoryEntry `json:"entries"`
	Next    *string         `json:"next"`
}

// Next moves to the next change; false after the last one and after an error.
func (c *Changes) Next(ctx context.Context) bool {
	for c.err == nil && len(c.page.Entries) == 0 && (c.isFirst || c.page.Next != nil) {
		if !c.isFirst {
			c.parameters.Set("cursor", *c.page.Next)
		}
		var answer changesPage
		asked := call{method: http.MethodGet, path: "/api/v1/history", query: c.parameters}
		_, c.err = c.client.do(ctx, asked, &answer)
		c.page, c.isFirst = answer, false
	}
	if c.err != nil || len(c.page.Entries) == 0 {
		c.entry = nil
		return false
	}
	c.entry, c.page.Entries = c.page.Entries[0], c.page.Entries[1:]
	return true
}

// Entry is where Next has moved to.
func (c *Changes) Entry() *HistoryEntry { return c.entry }

// Err is what ended the walk early, nil if nothing did.
func (c *Changes) Err() error { return c.err }

// ChangeSets are operations gathered over time, reviewed, committed together; for administrators.
func (api *Api) ChangeSets() ChangeSets {
	return ChangeSets{client: api.client}
}

// ChangeSets are all change sets.
type ChangeSets struct {
	client *Client
}

// List returns every set with the number of its operations.
func (s ChangeSets) List(ctx context.Context) ([]ChangeSet, error) {
	var answer struct {
		ChangeSets []ChangeSet `json:"change_sets"`
	}
	_, err := s.client.do(ctx, setCall(http.MethodGet, "", ""), &answer)
	return answer.ChangeSets, err
}

// Create stores a new set; it is refused when its operations could not be carried out.
func (s ChangeSets) Create(ctx context.Context, title string, given ...Operation) (*ChangeSet, error) {
	asked := setCall(http.MethodPost, "", "")
	body := several(given)
	body.Title = title
	asked.body = body
	return ask[ChangeSet](ctx, s.client, asked)
}

// Get returns a set.
func (s ChangeSets) Get(ctx context.Context, id string) (*ChangeSet, error) {
	return ask[ChangeSet](ctx, s.client, setCall(http.MethodGet, id, ""))
}

// Add adds operations to a set.
func (s ChangeSets) Add(ctx context.Context, id string, given ...Operation) (*ChangeSet, error) {
	asked := setCall(http.MethodPost, id, "/operations")
	asked.body = several(given)
	return ask[ChangeSet](ctx, s.client, asked)
}

// Review returns the plan of a set, with what somebody else has changed since as Conflicts.
func (s ChangeSets) Review(ctx context.Context, id string) (*Plan, error) {
	return ask[Plan](ctx, s.client, setCall(http.MethodGet, id, "/plan"))
}

// Commit carries out all of a set and ends it; ErrConflict names what has changed since.
func (s ChangeSets) Commit(ctx context.Context, id string) (*Commit, error) {
	return ask[Commit](ctx, s.client, setCall(http.MethodPost, id, "/commit"))
}

// Rebase accepts the objects as they are now.
func (s ChangeSets) Rebase(ctx context.Context, id string) (*ChangeSet, error) {
	return ask[ChangeSet](ctx, s.client, setCall(http.MethodPost, id, "/rebase"))
}

// Discard ends a set without carrying it out.
func (s ChangeSets) Discard(ctx context.Context, id string) error {
	_, err := s.client.do(ctx, setCall(http.MethodDelete, id, ""), nil)
	return err
}

func setCall(method, id, action string) call {
	path := "/api/v1/change-sets"
	if id != "" {
		path += "/" + url.PathEscape(id)
	}
	return call{method: method, path: path + action}
}
