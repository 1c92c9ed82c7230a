package interop

import (
	"context"
	"encoding/json"
	"fmt"
	"sort"
	"syscall"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// What aggregated tasks carry, whoever made them.
type total struct {
	Group string
	Sum   int
	IDs   []string
}

// startAggregator serves a queue with Asynq's server, which makes tasks of the
// type interop:total, and runs them.
func (w *world) startAggregator(queue string) {
	w.t.Helper()
	aggregate := func(group string, tasks []*asynq.Task) *asynq.Task {
		sum := total{Group: group}
		for _, task := range tasks {
			var p struct {
				N  int
				ID string
			}
			if err := json.Unmarshal(task.Payload(), &p); err != nil {
				w.t.Error(err)
			}
			sum.Sum += p.N
			sum.IDs = append(sum.IDs, p.ID)
		}
		payload, _ := json.Marshal(sum)
		return asynq.NewTask("interop:total", payload, asynq.Retention(time.Hour))
	}
	server := asynq.NewServer(w.opt, asynq.Config{
		Concurrency: 4, Queues: map[string]int{queue: 1},
		LogLevel: asynq.ErrorLevel, TaskCheckInterval: 200 * time.Millisecond,
		GroupAggregator:  asynq.GroupAggregatorFunc(aggregate),
		GroupGracePeriod: time.Second, GroupMaxSize: 20,
	})
	handler := func(context.Context, *asynq.Task) error { return nil }
	if err := server.Start(asynq.HandlerFunc(handler)); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(server.Shutdown)
}

// completed waits for n completed tasks of a type; their results.
func (w *world) completed(queue, kind string, n int) []*asynq.TaskInfo {
	w.t.Helper()
	var found []*asynq.TaskInfo
	w.until(fmt.Sprintf("%d of %s are completed", n, kind), func() bool {
		found = nil
		all, err := w.inspector.ListCompletedTasks(queue, asynq.PageSize(200))
		for _, info := range all {
			if info.Type == kind {
				found = append(found, info)
			}
		}
		return err == nil && len(found) >= n
	})
	return found
}

// totals waits until completed tasks of the type interop:total stand for n
// tasks; what they carry.
func (w *world) totals(queue string, n int) []total {
	w.t.Helper()
	var found []total
	w.until(fmt.Sprintf("%d tasks are in totals", n), func() bool {
		found = nil
		got := 0
		for _, info := range w.completed(queue, "interop:total", 0) {
			var one total
			if err := json.Unmarshal(info.Payload, &one); err != nil {
				w.t.Error(err)
			}
			found = append(found, one)
			got += len(one.IDs)
		}
		return got >= n
	})
	return found
}

// noGroups wants nothing of groups to be left in a queue.
func (w *world) noGroups(queue string) {
	w.t.Helper()
	keys, err := w.redis.Keys(context.Background(), "asynq:{"+queue+"}:g*").Result()
	if err != nil || len(keys) > 0 {
		w.t.Errorf("left behind: %v, %v", keys, err)
	}
	w.lunaq("fsck", "--queue", queue)
}

func TestGoEnqueuesGroupsAndLunaqdAggregates(t *testing.T) {
	w := newWorld(t)
	keep := []asynq.Option{asynq.Group("letters"), asynq.Retention(time.Hour)}
	var ids []string
	for i := 0; i < 3; i++ {
		payload := fmt.Appendf(nil, `{"n":%d}`, i)
		info := w.enqueue(asynq.NewTask("interop:batch", payload),
			append(keep, asynq.Unique(time.Hour))...)
		if info.State != asynq.TaskStateAggregating {
			t.Errorf("state %v after the enqueue", info.State)
		}
		ids = append(ids, info.ID)
	}
	plain := w.enqueue(asynq.NewTask("interop:echo", nil), keep...)
	w.startLunaqd("default=1")

	batch := w.completed("default", "interop:batch", 1)[0]
	var got struct {
		Group string
		IDs   []string
		Texts []int
	}
	if err := json.Unmarshal(batch.Result, &got); err != nil {
		t.Fatalf("%q: %v", batch.Result, err)
	}
	// Within a second Asynq's scores do not tell which came first.
	sort.Ints(got.Texts)
	sort.Strings(got.IDs)
	sort.Strings(ids)
	if got.Group != "letters" || fmt.Sprint(got.IDs) != fmt.Sprint(ids) ||
		fmt.Sprint(got.Texts) != "[0 1 2]" {
		t.Errorf("the handler saw %+v, enqueued were %v", got, ids)
	}
	// Of another type, whose handler takes no groups.
	w.settled("default", plain.ID, asynq.TaskStateCompleted)
	for _, id := range ids {
		if _, err := w.inspector.GetTaskInfo("default", id); err == nil {
			t.Errorf("%s is still there", id)
		}
	}
	// Their locks are gone with them.
	w.enqueue(asynq.NewTask("interop:batch", []byte(`{"n":0}`)),
		append(keep, asynq.Unique(time.Hour))...)
	w.completed("default", "interop:batch", 2)
	w.noGroups("default")
}

// A set that an Asynq server left behind when it died.
func TestLunaqdReclaimsAsynqsSet(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	for i := 0; i < 2; i++ {
		w.enqueue(asynq.NewTask("interop:batch", fmt.Appendf(nil, `{"n":%d}`, i)),
			asynq.Group("g"), asynq.Retention(time.Hour))
	}
	set := "asynq:{default}:g:g:5a7c4dd8-5c3f-4f5e-9bb7-3c9e0f1a2b3c"
	w.ok(w.redis.Rename(ctx, "asynq:{default}:g:g", set).Err())
	w.ok(w.redis.SRem(ctx, "asynq:{default}:groups", "g").Err())
	w.ok(w.redis.ZAdd(ctx, "asynq:{default}:aggregation_sets",
		redis.Z{Score: float64(time.Now().Add(2 * time.Second).Unix()), Member: set}).Err())
	w.startLunaqd("default=1", "LUNAQ_LEASE=10s")
	if out := w.lunaq("group", "ls"); len(out) == 0 {
		t.Error("the set is not shown")
	}
	batch := w.completed("default", "interop:batch", 1)[0]
	var got struct{ IDs []string }
	if err := json.Unmarshal(batch.Result, &got); err != nil || len(got.IDs) != 2 {
		t.Errorf("result %q, %v", batch.Result, err)
	}
	w.noGroups("default")
}

// And one that lunaqd left behind: Asynq's server puts it back, and does not
// announce its group; the next task of the group does.
func TestGoReclaimsLunaqdsSet(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	for i := 1; i <= 2; i++ {
		w.enqueue(asynq.NewTask("interop:sum",
			fmt.Appendf(nil, `{"n":%d,"nap":60}`, i)), asynq.Group("g"))
	}
	kill := w.spawnLunaqd("default=1", "LUNAQ_LEASE=10s")
	w.until("lunaqd holds the set", func() bool {
		n, err := w.redis.ZCard(ctx, "asynq:{default}:aggregation_sets").Result()
		return err == nil && n == 1
	})
	kill(syscall.SIGKILL)
	w.until("its set has ended", func() bool {
		sets, err := w.redis.ZRangeWithScores(ctx,
			"asynq:{default}:aggregation_sets", 0, -1).Result()
		return err == nil && len(sets) == 1 &&
			sets[0].Score <= float64(time.Now().Unix())
	})
	w.startAggregator("default")
	w.until("the tasks are back in their group", func() bool {
		n, err := w.redis.ZCard(ctx, "asynq:{default}:g:g").Result()
		return err == nil && n == 2
	})
	w.enqueue(asynq.NewTask("interop:sum", []byte(`{"n":3}`)), asynq.Group("g"))
	if got := w.totals("default", 3); len(got) != 1 || got[0].Sum != 6 {
		t.Errorf("Asynq's server made %+v", got)
	}
}
