// Networks creates, reads, lists, changes, watches and deletes a network: go run ./networks [URL]
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"

	"skytrail"
)

var (
	project = []string{"default-domain", "default-project"}
	name    = append(project[:2:2], "example")
	ipam    = append(project[:2:2], "default-network-ipam")
)

// errFound ends the watch.
var errFound = errors.New("found")

func main() {
	url := "http://127.0.0.1:8082"
	if len(os.Args) > 1 {
		url = os.Args[1]
	}
	if err := run(context.Background(), skytrail.NewApi(skytrail.NewClient(url))); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, api *skytrail.Api) error {
	networks := api.VirtualNetworks()

	wanted := &skytrail.VirtualNetwork{
		FqName: name,
		Mtu:    skytrail.Ptr[int64](1400),
		NetworkIpamRefs: []skytrail.Reference[skytrail.VnSubnetsType]{{
			To: ipam,
			Attr: &skytrail.VnSubnetsType{IpamSubnets: []skytrail.IpamSubnetType{{
				Subnet: &skytrail.SubnetType{
					IpPrefix:    skytrail.Ptr("10.9.0.0"),
					IpPrefixLen: skytrail.Ptr[int64](24),
				},
			}}},
		}},
	}
	made, err := networks.Create(ctx, wanted)
	if err != nil {
		return err
	}
	subnet := made.NetworkIpamRefs[0].Attr.IpamSubnets[0]
	fmt.Printf("created %s with gateway %s\n", made.FqName[2], *subnet.DefaultGateway)

	if _, err := networks.Create(ctx, wanted); errors.Is(err, skytrail.ErrConflict) {
		fmt.Println("created again: conflict")
	}

	read, tag, err := networks.Read(ctx, made.Uuid)
	if err != nil {
		return err
	}
	fmt.Printf("read %s with mtu %d\n", strings.Join(read.FqName, ":"), *read.Mtu)

	query := &skytrail.Query{Parent: project, Where: map[string]any{"mtu": 1400}}
	found, err := networks.List(ctx, query)
	if err != nil {
		return err
	}
	names := []string{}
	for _, each := range found {
		names = append(names, each.FqName[2])
	}
	fmt.Printf("listed %s\n", strings.Join(names, ", "))

	changes := &skytrail.VirtualNetwork{IsShared: skytrail.Ptr(true)}
	changed, err := networks.Update(
		ctx, made.Uuid, changes, skytrail.Clear("mtu"), skytrail.IfMatch(tag),
	)
	if err != nil {
		return err
	}
	mtu := "none"
	if changed.Mtu != nil {
		mtu = fmt.Sprint(*changed.Mtu)
	}
	fmt.Printf("changed mtu to %s, shared to %t\n", mtu, *changed.IsShared)

	err = networks.Watch(ctx, func(event skytrail.Event[skytrail.VirtualNetwork]) error {
		if event.Kind != skytrail.Present || event.Uuid != made.Uuid {
			return nil
		}
		fmt.Printf("watch tells of %s\n", event.Object.FqName[2])
		return errFound
	})
	if err != errFound {
		return err
	}

	if err := networks.Delete(ctx, made.Uuid); err != nil {
		return err
	}
	if _, err := networks.GetByName(ctx, name...); errors.Is(err, skytrail.ErrNotFound) {
		fmt.Println("deleted, not found any more")
	}
	return nil
}
