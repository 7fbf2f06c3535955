// Package skytrail is a typed client of the configuration API.
//
//	client := skytrail.NewClient("http://127.0.0.1:8082")
//	api := skytrail.NewApi(client)
//	net, err := api.VirtualNetworks().Create(ctx, &skytrail.VirtualNetwork{
//		FqName: []string{"default-domain", "default-project", "red"},
//		Mtu:    skytrail.Ptr[int64](1400),
//	})
//
// Structs and collections are generated from the data model; this file and its neighbours without
// "generated" in their names are not.
package skytrail

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	callTimeout = 30 * time.Second
	// A larger answer is refused rather than read into memory.
	answerBytesMax = 256 << 20
)

// Client knows where the API is and how to ask. It is safe for concurrent use.
type Client struct {
	baseURL string
	// Header is sent with every request; see WithToken, WithBearer and WithUser.
	Header http.Header
	// HTTP may be replaced for other TLS settings, proxies or timeouts.
	HTTP *http.Client
}

// NewClient returns a client of an API such as http://127.0.0.1:8082.
func NewClient(baseURL string) *Client {
	return &Client{
		baseURL: strings.TrimRight(baseURL, "/"),
		Header:  http.Header{},
		HTTP:    &http.Client{Timeout: callTimeout},
	}
}

// WithToken returns a client that sends a Keystone token.
func (c *Client) WithToken(token string) *Client {
	return c.with("X-Auth-Token", token)
}

// WithBearer returns a client that sends an OpenID Connect token.
func (c *Client) WithBearer(token string) *Client {
	return c.with("Authorization", "Bearer "+token)
}

// WithUser returns a client that sends the name and password of a local user.
func (c *Client) WithUser(name, password string) *Client {
	pair := base64.StdEncoding.EncodeToString([]byte(name + ":" + password))
	return c.with("Authorization", "Basic "+pair)
}

func (c *Client) with(name, value string) *Client {
	made := *c
	made.Header = http.Header{}
	for each, values := range c.Header {
		made.Header[each] = values
	}
	made.Header.Set(name, value)
	return &made
}

// Ptr returns a pointer to a value, as optional fields need it.
func Ptr[T any](value T) *T {
	return &value
}

type call struct {
	method  string
	path    string
	query   url.Values
	body    any
	ifMatch string
}

// do sends a request and decodes the answer of a success; the entity tag comes back beside it.
func (c *Client) do(ctx context.Context, asked call, answer any) (string, error) {
	request, err := c.request(ctx, asked)
	if err != nil {
		return "", err
	}
	reply, err := c.HTTP.Do(request)
	if err != nil {
		return "", &Unavailable{Reason: fmt.Sprintf("no answer from the API: %v", err)}
	}
	defer reply.Body.Close()
	content, err := io.ReadAll(io.LimitReader(reply.Body, answerBytesMax))
	if err != nil {
		return "", &Unavailable{Reason: fmt.Sprintf("the answer broke off: %v", err)}
	}
	if reply.StatusCode >= 400 {
		return "", refusal(reply.StatusCode, content)
	}
	if answer == nil {
		return "", nil
	}
	if err := json.Unmarshal(content, answer); err != nil {
		return "", &Unavailable{Reason: fmt.Sprintf("the answer is not one of this API: %v", err)}
	}
	return reply.Header.Get("ETag"), nil
}

func (c *Client) request(ctx context.Context, asked call) (*http.Request, error) {
	var content io.Reader
	if asked.body != nil {
		encoded, err := json.Marshal(asked.body)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(encoded)
	}
	address := c.baseURL + asked.path
	if len(asked.query) > 0 {
		address += "?" + asked.query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, asked.method, address, content)
	if err != nil {
		return nil, err
	}
	for name, values := range c.Header {
		request.Header[name] = values
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json")
	if asked.ifMatch != "" {
		request.Header.Set("If-Match", asked.ifMatch)
	}
	return request, nil
}
