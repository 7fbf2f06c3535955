package skytrail

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"
)

var errEnough = errors.New("enough")

const (
	begin = `{"kind":"snapshot_begin","revision":4}` + "\n"
	end   = `{"kind":"snapshot_end","revision":4}` + "\n"
)

func TestWatchResumesByTheHistoryItWasToldOf(t *testing.T) {
	last := `{"kind":"revision_end","revision":5,"history":"0a1b"}` + "\n"
	_, asked := watched(t, 3, begin+end+last, putLine(6, "a"))

	if expected := []string{"", "6 0a1b"}; !reflect.DeepEqual(asked, expected) {
		t.Fatalf("asked for %q", asked)
	}
}

func putLine(revision int, uuid string) string {
	object := fmt.Sprintf(`{"uuid":"%s","fq_name":["%s"]}`, uuid, uuid)
	return fmt.Sprintf(`{"kind":"put","type":"tag","uuid":"%s","revision":%d,"object":%s}`+"\n",
		uuid, revision, object)
}

// watched serves one stream per connection, then silence, and returns what the first events were
// and which revisions were asked for.
func watched(t *testing.T, count int, streams ...string) ([]string, []string) {
	t.Helper()
	asked := []string{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given := r.URL.Query()
		asked = append(asked, strings.TrimSpace(given.Get("from_revision")+" "+given.Get("history")))
		if len(streams) == 0 {
			<-r.Context().Done()
			return
		}
		stream := streams[0]
		streams = streams[1:]
		if stream == "gone" {
			w.WriteHeader(http.StatusGone)
			return
		}
		_, _ = io.WriteString(w, stream)
	}))
	defer server.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	told := []string{}
	err := NewApi(NewClient(server.URL)).Tags().Watch(ctx, func(event Event[Tag]) error {
		told = append(told, fmt.Sprint(event.Kind, event.Uuid, event.Revision))
		if len(told) == count {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Fatalf("%v after %v", err, told)
	}
	return told, asked
}

func same(t *testing.T, found []string, expected ...string) {
	t.Helper()
	if !reflect.DeepEqual(found, expected) {
		t.Errorf("expected %v, found %v", expected, found)
	}
}

func TestWatchResumesAfterTheLastCompleteRevision(t *testing.T) {
	told, asked := watched(t, 5,
		begin+putLine(1, "a")+end+`{"kind":"revision_end","revision":5}`+"\n"+putLine(6, "b"),
		`{"kind":"delete","uuid":"a","fq_name":["a"],"revision":6}`+"\n")

	same(t, told, "0a1", "24", "25", "0b6", "1a6")
	same(t, asked, "", "6")
}

func TestWatchTellsWhatALaterSnapshotMisses(t *testing.T) {
	told, asked := watched(t, 5, begin+putLine(1, "a")+putLine(1, "b")+end, "gone", begin+putLine(1, "b")+end)

	same(t, told[:3], "0a1", "0b1", "24")
	same(t, told[3:], "0b1", "1a4")
	same(t, asked, "", "5", "")
}

func TestUnfinishedSnapshotIsAskedForAnewAndUnknownKindsAreSkipped(t *testing.T) {
	told, asked := watched(t, 2, begin+putLine(1, "a"), begin+`{"kind":"weather","revision":1}`+"\n"+putLine(1, "a"))

	same(t, told, "0a1", "0a1")
	same(t, asked, "", "")
}

func TestBrokenLineIsAReconnect(t *testing.T) {
	told, _ := watched(t, 2, begin+end+"{\n", `{"kind":"revision_end","revision":9}`+"\n")

	same(t, told, "24", "29")
}

func TestRefusalAndEndedContextEndAWatch(t *testing.T) {
	api, _ := scripted(t, 404, "no such type")
	ignore := func(Event[Tag]) error { return nil }
	ended, cancel := context.WithCancel(context.Background())
	cancel()

	if err := api.Tags().Watch(context.Background(), ignore); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v", err)
	}
	if err := api.Tags().Watch(ended, ignore); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	nowhere := NewApi(NewClient("http://\x7f"))
	if err := nowhere.Tags().Watch(context.Background(), ignore); err == nil {
		t.Error("an address that is none was asked for ever")
	}
}
