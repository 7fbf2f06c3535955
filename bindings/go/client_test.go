package skytrail

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sort"
	"strings"
	"testing"
)

// asked is what the scripted API was asked; it answers every request with status and body.
type asked struct {
	method, uri, body, ifMatch string
}

func scripted(t *testing.T, status int, body string) (*Api, *asked) {
	t.Helper()
	seen := &asked{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, _ := io.ReadAll(r.Body)
		*seen = asked{r.Method, r.URL.RequestURI(), string(content), r.Header.Get("If-Match")}
		w.Header().Set("ETag", `"7"`)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	return NewApi(NewClient(server.URL)), seen
}

func TestUpdateReplacesGivenPropertiesWholeAndClearsNamedOnes(t *testing.T) {
	api, seen := scripted(t, 200, `{"uuid": "u"}`)
	changes := &VirtualNetwork{
		Mtu:                            Ptr[int64](1400),
		RouteTargetList:                &RouteTargetList{RouteTarget: []string{"target:1:2"}},
		MacLearningEnabled:             Ptr(false),
		MacLimitControl:                &MACLimitControlType{MacLimit: Ptr[int64](3)},
		NetworkPolicyRefs:              []Reference[VirtualNetworkPolicyType]{},
		VirtualNetworkFatFlowProtocols: nil,
	}

	_, err := api.VirtualNetworks().Update(
		context.Background(), "u", changes, Clear("display_name"), IfMatch(`"7"`))

	if err != nil {
		t.Fatal(err)
	}
	expected := `{"display_name":null,"mac_learning_enabled":false,` +
		`"mac_limit_control":{"mac_limit":3,"mac_limit_action":null},"mtu":1400,` +
		`"route_target_list":{"route_target":["target:1:2"]}}`
	if !sameJSON(t, seen.body, expected) || seen.method != "PATCH" || seen.ifMatch != `"7"` {
		t.Errorf("asked %+v", *seen)
	}
}

func TestCredentialsAreSentAndOriginalClientStaysAnonymous(t *testing.T) {
	var seen http.Header
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = r.Header
		_, _ = io.WriteString(w, "{}")
	}))
	defer server.Close()
	anonymous := NewClient(server.URL)
	clients := map[*Client]string{
		anonymous.WithToken("t"):     "t,",
		anonymous.WithBearer("t"):    ",Bearer t",
		anonymous.WithUser("u", "p"): ",Basic dTpw",
		anonymous:                    ",",
	}

	for client, expected := range clients {
		_, _ = NewApi(client).Tags().Get(context.Background(), "u")
		if found := seen.Get("X-Auth-Token") + "," + seen.Get("Authorization"); found != expected {
			t.Errorf("expected %s, found %s", expected, found)
		}
	}
}

func TestReadReturnsObjectAndTag(t *testing.T) {
	api, seen := scripted(t, 200, `{"uuid": "u", "fq_name": ["a", "b"], "unknown": {"x": 1}}`)

	found, tag, err := api.VirtualNetworks().Read(context.Background(), "u/../v")

	if err != nil || found.FqName[1] != "b" || tag != `"7"` {
		t.Errorf("found %+v, %s, %v", found, tag, err)
	}
	if seen.uri != "/api/v1/virtual-network/u%2F..%2Fv" {
		t.Errorf("asked for %s", seen.uri)
	}
}

func TestRefusalsHaveKindTextAndPlaces(t *testing.T) {
	problem := `{"type":"about:blank","status":400,"detail":"/mtuu: no such field",` +
		`"errors":[{"pointer":"/mtuu","detail":"no such field"}]}`
	api, _ := scripted(t, 400, problem)

	_, err := api.VirtualNetworks().Create(context.Background(), &VirtualNetwork{})

	var refused *Error
	if !errors.Is(err, ErrInvalid) || errors.Is(err, ErrNotFound) || !errors.As(err, &refused) {
		t.Fatal(err)
	}
	if refused.Text != "/mtuu: no such field" || refused.Problems[0].Pointer != "/mtuu" {
		t.Errorf("refused %+v", refused)
	}
}

func TestPlainTextRefusalKeepsItsText(t *testing.T) {
	api, _ := scripted(t, 404, "No such thing\n")

	_, err := api.VirtualNetworks().Get(context.Background(), "u")

	if !errors.Is(err, ErrNotFound) || err.Error() != "No such thing (status 404)" {
		t.Errorf("%v", err)
	}
}

func TestNoAnswerAndForeignAnswersAreUnavailability(t *testing.T) {
	busy, _ := scripted(t, 503, "later")
	foreign, _ := scripted(t, 200, "<html>")
	nobody := NewApi(NewClient("http://127.0.0.1:1"))

	for _, api := range []*Api{busy, foreign, nobody} {
		_, err := api.Projects().Get(context.Background(), "u")
		var unavailable *Unavailable
		if !errors.As(err, &unavailable) {
			t.Errorf("%v", err)
		}
	}
}

func TestListSendsWhatIsSelected(t *testing.T) {
	api, seen := scripted(t, 200, `{"revision": 7, "count": 1, "next": null, "items": [{"uuid": "u"}]}`)
	query := &Query{
		Parent:  []string{"a", "b"},
		Where:   map[string]any{"is_shared": true, "mtu": Above(1400), "display_name": nil},
		Filters: []string{"network_policy_refs:exists"},
		Tags:    map[string]string{"tier": "web"},
		Labels:  map[string]string{"team": ""},
		Sort:    "-mtu", Revision: 7, PageSize: 2,
	}

	found, err := api.VirtualNetworks().List(context.Background(), query)

	if err != nil || len(found) != 1 || found[0].Uuid != "u" {
		t.Errorf("found %v, %v", found, err)
	}
	address, _ := url.Parse(seen.uri)
	asked := address.Query()
	filters := asked["filter"]
	sort.Strings(filters)
	expected := "display_name:absent is_shared:eq:true mtu:gt:1400 network_policy_refs:exists"
	if strings.Join(filters, " ") != expected {
		t.Errorf("filters %v", filters)
	}
	asked.Del("filter")
	rest := "labels=team&limit=2&parent=a%3Ab&revision=7&sort=-mtu&tags=tier%3Dweb"
	if address.Path != "/api/v1/virtual-network" || asked.Encode() != rest {
		t.Errorf("asked for %s?%s", address.Path, asked.Encode())
	}
}

func TestPageIsReadWhenItsObjectsAreNeeded(t *testing.T) {
	pages := []string{
		`{"revision": 7, "count": 3, "next": "7.2", "items": [{"uuid": "a"}, {"uuid": "b"}]}`,
		`{"revision": 7, "count": 3, "next": null, "items": [{"uuid": "c"}]}`,
	}
	asked := []string{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, pages[len(asked)])
		asked = append(asked, r.URL.RawQuery)
	}))
	defer server.Close()
	objects := NewApi(NewClient(server.URL)).Tags().Iterate(&Query{Revision: 7})

	told := []string{}
	for objects.Next(context.Background()) {
		told = append(told, fmt.Sprint(objects.Object().Uuid, len(asked)))
	}

	if objects.Err() != nil || strings.Join(told, " ") != "a1 b1 c2" {
		t.Errorf("told %v, %v", told, objects.Err())
	}
	if strings.Join(asked, " ") != "revision=7 cursor=7.2" {
		t.Errorf("asked %v", asked)
	}
}

func TestFilterThatCannotBeSentIsRefused(t *testing.T) {
	api, seen := scripted(t, 200, "{}")

	_, comma := api.Tags().List(context.Background(), &Query{Where: map[string]any{"a": OneOf("b,c")}})
	_, number := api.Tags().List(context.Background(), &Query{Where: map[string]any{"a": 1.5}})

	if comma == nil || !strings.Contains(comma.Error(), "comma") || number == nil || seen.method != "" {
		t.Errorf("%v, %v, asked %+v", comma, number, *seen)
	}
}

func TestOptionsReachRequestsAndOperations(t *testing.T) {
	api, seen := scripted(t, 200, `{"uuid": "u"}`)
	networks, ctx := api.VirtualNetworks(), context.Background()
	wanted := &VirtualNetwork{FqName: []string{"a", "b c"}}

	_, _ = networks.Apply(ctx, wanted, FieldOwner("me"), Force())
	if seen.uri != "/api/v1/virtual-network/by-name/a:b%20c?field_owner=me&force=true" {
		t.Errorf("asked for %s", seen.uri)
	}
	_ = networks.Delete(ctx, "u", Cascade())
	if seen.uri != "/api/v1/virtual-network/u?cascade=true" {
		t.Errorf("asked for %s", seen.uri)
	}
	applied, _ := networks.ToApply(wanted, FieldOwner("me"), Force())
	updated, _ := networks.ToUpdate("u", &VirtualNetwork{Mtu: Ptr[int64](9)}, Clear("is_shared"), IfMatch("7"))
	encoded, _ := json.Marshal([]Operation{applied, updated, networks.ToDelete("u", Cascade())})
	expected := `[{"op":"apply","type":"virtual-network","name":["a","b c"],"field_owner":"me",
		"force":true,"object":{"fq_name":["a","b c"]}},
		{"op":"patch","type":"virtual-network","uuid":"u","if_match":"7","object":{"mtu":9,"is_shared":null}},
		{"op":"delete","type":"virtual-network","uuid":"u","cascade":true}]`
	if !sameJSON(t, string(encoded), expected) {
		t.Errorf("made %s", encoded)
	}
	if _, err := networks.Apply(ctx, &VirtualNetwork{}); err == nil {
		t.Error("an object without name was applied")
	}
}

func sameJSON(t *testing.T, one, other string) bool {
	t.Helper()
	return normal(t, one) == normal(t, other)
}

func normal(t *testing.T, text string) string {
	t.Helper()
	var value any
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatal(err)
	}
	encoded, _ := json.Marshal(value)
	return string(encoded)
}
