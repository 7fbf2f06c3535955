// Changes plans, commits, looks back, reverts and stages changes of networks: go run ./changes [URL]
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"sort"
	"strings"

	"skytrail"
)

var project = []string{"default-domain", "default-project"}

// errEnough ends the watch.
var errEnough = errors.New("enough")

func main() {
	url := "http://127.0.0.1:8082"
	if len(os.Args) > 1 {
		url = os.Args[1]
	}
	api := skytrail.NewApi(skytrail.NewClient(url))
	ctx := context.Background()
	for _, step := range []func(context.Context, *skytrail.Api) error{change, stage, resume} {
		if err := step(ctx, api); err != nil {
			log.Fatal(err)
		}
	}
}

var (
	made *skytrail.VirtualNetwork
	done *skytrail.Commit
)

func network(name string, mtu int64) *skytrail.VirtualNetwork {
	return &skytrail.VirtualNetwork{FqName: append(project[:2:2], name), Mtu: skytrail.Ptr(mtu)}
}

func large() map[string]any {
	return map[string]any{"mtu": skytrail.Above(1400)}
}

func change(ctx context.Context, api *skytrail.Api) error {
	networks := api.VirtualNetworks()
	var err error
	made, err = networks.Apply(ctx, network("first", 1400), skytrail.FieldOwner("example"))
	if err != nil {
		return err
	}
	larger, err := networks.ToUpdate(made.Uuid, &skytrail.VirtualNetwork{Mtu: skytrail.Ptr[int64](9000)})
	if err != nil {
		return err
	}
	second := networks.ToCreate(network("second", 9000))

	planned, err := api.Plan(ctx, larger, second)
	if err != nil {
		return err
	}
	kinds := map[string]bool{}
	for _, each := range planned.Derived {
		kinds[each.Type] = true
	}
	fmt.Printf("planned, would derive: %s\n", joined(kinds))
	done, err = api.Transaction(ctx, larger, second)
	if err != nil {
		return err
	}
	fmt.Printf("committed: %s\n", results(done))

	status, err := networks.Status(ctx, made.Uuid)
	if err != nil {
		return err
	}
	fmt.Printf("accepted: %s\n", status.Condition("accepted").Status)
	if err := list(ctx, networks); err != nil {
		return err
	}
	return lookBack(ctx, api)
}

func list(ctx context.Context, networks skytrail.Resources[skytrail.VirtualNetwork]) error {
	query := &skytrail.Query{Parent: project, Where: large(), Sort: "-name", PageSize: 1}
	pages := networks.Iterate(query)
	names := []string{}
	for pages.Next(ctx) {
		names = append(names, pages.Object().FqName[2])
	}
	if pages.Err() != nil {
		return pages.Err()
	}
	count, err := networks.Count(ctx, query)
	fmt.Printf("listed page by page: %s\ncounted: %d\n", strings.Join(names, ", "), count)
	return err
}

func lookBack(ctx context.Context, api *skytrail.Api) error {
	networks := api.VirtualNetworks()
	changes := networks.History(made.Uuid)
	if !changes.Next(ctx) {
		return changes.Err()
	}
	for _, field := range changes.Entry().Operations[0].Fields {
		if field.Path == "/mtu" {
			fmt.Printf("history: mtu from %s to %s\n", field.Before, field.After)
		}
	}
	before, err := networks.GetAt(ctx, made.Uuid, done.Revision-1)
	if err != nil {
		return err
	}
	fmt.Printf("a revision before: %d\n", *before.Mtu)
	if _, err := api.Revert(ctx, done.Change); err != nil {
		return err
	}
	now, err := networks.Get(ctx, made.Uuid)
	if err != nil {
		return err
	}
	fmt.Printf("reverted: %d\n", *now.Mtu)
	return nil
}

func stage(ctx context.Context, api *skytrail.Api) error {
	networks, sets := api.VirtualNetworks(), api.ChangeSets()
	larger, err := networks.ToUpdate(made.Uuid, &skytrail.VirtualNetwork{Mtu: skytrail.Ptr[int64](9000)})
	if err != nil {
		return err
	}
	draft, err := sets.Create(ctx, "larger", larger)
	if err != nil {
		return err
	}
	if _, err := sets.Add(ctx, draft.Id, networks.ToDelete(made.Uuid)); err != nil {
		return err
	}
	shared := &skytrail.VirtualNetwork{IsShared: skytrail.Ptr(true)}
	if _, err := networks.Update(ctx, made.Uuid, shared); err != nil {
		return err
	}
	reviewed, err := sets.Review(ctx, draft.Id)
	if err != nil {
		return err
	}
	fmt.Printf("overtaken: %s\n", reviewed.Conflicts[0].Pointer)
	if _, err := sets.Commit(ctx, draft.Id); errors.Is(err, skytrail.ErrConflict) {
		if _, err := sets.Rebase(ctx, draft.Id); err != nil {
			return err
		}
	}
	committed, err := sets.Commit(ctx, draft.Id)
	if err != nil {
		return err
	}
	fmt.Printf("change set: %s\n", results(committed))
	return nil
}

func resume(ctx context.Context, api *skytrail.Api) error {
	options := skytrail.WatchOptions{From: done.Revision, Query: &skytrail.Query{Where: large()}}
	err := api.VirtualNetworks().WatchWith(ctx, options,
		func(event skytrail.Event[skytrail.VirtualNetwork]) error {
			switch event.Kind {
			case skytrail.Present:
				fmt.Printf("watch resumes: %s with mtu %d\n", event.FqName[2], *event.Object.Mtu)
			case skytrail.Absent:
				fmt.Printf("watch resumes: %s is absent\n", event.FqName[2])
			case skytrail.Synced:
				return errEnough
			}
			return nil
		})
	if err != errEnough {
		return err
	}
	return nil
}

func results(commit *skytrail.Commit) string {
	found := []string{}
	for _, each := range commit.Results {
		found = append(found, each.Result)
	}
	return strings.Join(found, ", ")
}

func joined(names map[string]bool) string {
	found := []string{}
	for name := range names {
		found = append(found, name)
	}
	sort.Strings(found)
	return strings.Join(found, ", ")
}
